"""What the losses over the epochs say of the recipe: too slow, too fast, too long, too short."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from layerline.recipe import Recipe
    from layerline.run_folder import EpochRow

FEWEST_EPOCHS: Final = 4
"""With fewer, the course of a loss says nothing."""
NOTHING_LEARNED: Final = 0.02
"""A training loss within so much of ln K, in shares of ln K, is what guessing gives."""
TOO_HIGH: Final = 1.1
"""A training loss above so many ln K, after the first epoch, is worse than guessing."""
JUMP: Final = 0.15
"""A rise of the training loss from one epoch to the next, in shares of ln K, is a jump."""
LEFT: Final = 0.6
"""A loss is slow where more than so much of ln K is left (lenet5 on CIFAR-10, sgd, 6 epochs: 0.63 is left with a rate
of 0.004, which ten times as much improves from 0.495 to 0.597; 0.51 is left with 0.04, which is no longer slow),"""
SLOW: Final = 0.5
"""and where later steps gain more than this share of what early ones do."""
BELOW: Final = 0.001
"""A loss is below guessing, and something is learned, from this share of it on."""
HARDLY: Final = 0.85
"""Where more than so much of ln K is left, ten times the rate is tried, else four times."""
RISE: Final = 0.1
"""Validation loss has risen where it is above its best by more than this share,"""
RISE_NATS: Final = 0.02
"""and by more than so many nats."""
WAIT: Final = 0.1
"""Epochs since the best, as a share of all, from which on a training over-fits; at least 3."""
FALL: Final = 0.05
"""A loss still falls where the last quarter of the epochs lowered it by more than this share,"""
LAST_FALL: Final = 0.02
"""and the last epoch by more than this one,"""
NOTHING_LEFT: Final = 0.001
"""as long as more than this share of ln K is left: with ten classes a probability of 0.998 for the right one."""
_LARGEST_RATE: Final = 0.05


def of(history: Sequence[EpochRow], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Return the sentences that apply; train: images of each class, int64 (K,). One of the first three at most."""
    losses = np.array([row.train_loss for row in history], float)
    K = len(train)
    if len(losses) < FEWEST_EPOCHS or K < 2 or not np.isfinite(losses).all():
        return []
    for rule in (_too_high, _too_low, _nothing_learned):
        found = rule(losses, train, recipe)
        if found:
            return found
    return [*_over_fitted(history, losses), *_still_improving(history, losses, math.log(K))]


def _too_high(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Say that the learning rate is too high: after the first epoch, above 1.1 ln K once, or two jumps of 0.15 ln K."""
    guess = math.log(len(train))
    above = np.flatnonzero(losses[1:] > TOO_HIGH * guess) + 1
    jumps = np.flatnonzero(np.diff(losses) > JUMP * guess) + 1
    lower = f"The learning rate {figures.rate(recipe.learning_rate)} is too high: try --learning-rate {_tenth(recipe)}."
    if len(above):
        k = int(above[losses[above].argmax()])
        return [
            f"The training loss was {figures.loss(float(losses[k]))} in epoch {k + 1}, worse than guessing "
            f"({_guess(train)}). {lower}"
        ]
    if len(jumps) > 1:
        k = int(jumps[np.diff(losses)[jumps - 1].argmax()])
        return [
            f"The training loss jumped {len(jumps)} times, from {figures.loss(float(losses[k - 1]))} to "
            f"{figures.loss(float(losses[k]))} in epoch {k + 1}. {lower}"
        ]
    return []


def _too_low(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Say that the learning rate is too low: every epoch lowered the loss, all alike, and most of ln K is left.

    Alike: what a learning rate of 1 over a step would gain is, over the second half of the steps, more than half of
    what it is over the first half, both weighed by the schedule's learning rates.
    """
    guess, rates = math.log(len(train)), _rates(losses, train, recipe)
    if losses[-1] < LEFT * guess or not _falls(losses, rates, _entropy(train, recipe)):
        return []
    gone = np.cumsum(rates) - rates / 2  # the distance gone when half of an epoch is done, which its mean loss is of
    middle = int(np.searchsorted(gone, (gone[0] + gone[-1]) / 2))
    if not 0 < middle < len(gone) - 1:
        return []
    first = (losses[0] - losses[middle]) / (gone[middle] - gone[0])
    second = (losses[middle] - losses[-1]) / (gone[-1] - gone[middle])
    if second <= SLOW * first:
        return []
    rate = recipe.learning_rate
    return [
        f"The training loss fell by {figures.loss(float(losses[0] - losses[-1]))} only, to "
        f"{figures.loss(float(losses[-1]))}, in {len(losses)} epochs, and as fast at the end as at the beginning "
        f"({_guess(train)}): the learning rate {figures.rate(rate)} is too low. Try --learning-rate "
        f"{figures.rate((10 if losses[-1] > HARDLY * guess else 4) * rate)}."
    ]


def _nothing_learned(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Say that nothing was learned: the lowest training loss is not 2 % below what guessing by the shares gives.

    Where every epoch lowered it all the same, the rate is too low.
    """
    entropy = _entropy(train, recipe)
    if losses.min() < (1 - NOTHING_LEARNED) * entropy:
        return []
    wrong, other = "wrong", _tenth(recipe)
    if _falls(losses, _rates(losses, train, recipe), entropy):
        wrong, other = "too low", figures.rate(10 * recipe.learning_rate)
    return [
        f"The training loss is {figures.loss(float(losses[-1]))} after {len(losses)} epochs, which knowing nothing but "
        f"how frequent the classes are gives as well ({figures.loss(entropy)}): nothing was learned. Either the "
        f"learning rate {figures.rate(recipe.learning_rate)} is {wrong} (try --learning-rate {other}), or the "
        "labels have nothing to do with the images: look at them with layerline data show."
    ]


def _over_fitted(history: Sequence[EpochRow], losses: NDArray[np.float64]) -> list[str]:
    """Say since when the network over-fits: the training loss still falls, and the validation loss rises.

    At least 3 epochs, and a tenth of all, have passed since the epoch of the lowest validation loss; the mean of the
    last three is above it by more than 10 % and 0.02 nats; the training loss is lower than it was then.
    """
    held = _validation(history)
    if held is None:
        return []
    best, last = int(held.argmin()), len(held) - 1
    end = float(held[-3:].mean())
    if last - best < max(3, WAIT * len(held)) or losses[last] >= losses[best]:
        return []
    if end <= held[best] * (1 + RISE) or end <= held[best] + RISE_NATS:
        return []
    return [
        f"The network over-fits since epoch {best + 2}: from epoch {best + 1} to {last + 1} the training loss fell "
        f"from {figures.loss(float(losses[best]))} to {figures.loss(float(losses[last]))}, and the validation loss "
        f"rose from {figures.loss(float(held[best]))} to {figures.loss(float(held[last]))}. More images, "
        "--augment, Dropout or --weight-decay help; more epochs do not."
    ]


def _still_improving(history: Sequence[EpochRow], losses: NDArray[np.float64], guess: float) -> list[str]:
    """Say that a longer training would be better: the last epoch is the best and the loss still falls.

    Of the validation set, else of the training set. The last three epochs each lowered it, the last quarter of the
    epochs by more than 5 %, the last epoch by more than 2 %. Not where next to nothing is left of it.
    """
    held = _validation(history)
    name, course = ("training", losses) if held is None else ("validation", held)
    if course[-1] <= NOTHING_LEFT * guess:
        return []
    quarter = max(3, len(course) // 4)
    start = float(course[max(0, len(course) - 1 - quarter)])
    if course.argmin() != len(course) - 1 or not (np.diff(course[-4:]) < 0).all():
        return []
    if course[-1] > (1 - LAST_FALL) * course[-2] or course[-1] > (1 - FALL) * start:
        return []
    return [
        f"The {name} loss was still falling when the training ended, from {figures.loss(float(course[-2]))} to "
        f"{figures.loss(float(course[-1]))} in the last of {len(course)} epochs: train longer, with --epochs "
        f"{2 * len(course)}."
    ]


def _validation(history: Sequence[EpochRow]) -> NDArray[np.float64] | None:
    held = np.array([np.nan if row.validation_loss is None else row.validation_loss for row in history], float)
    return held if np.isfinite(held).all() else None


def _falls(losses: NDArray[np.float64], rates: NDArray[np.float64], entropy: float) -> bool:
    """Return whether every epoch lowered the loss, and not because it comes to rest at guessing as the rate falls.

    What steps that are too long leave above guessing goes with the rate; what short ones gain goes with the way, the
    sum of the rates. The one that explains the epochs behind the first better, by least squares, is the reason.
    """
    if not (np.diff(losses) < 0).all():
        return False
    if losses[-1] < (1 - BELOW) * entropy:
        return True
    rates = rates / rates.max()
    with_rate, with_way = (_unexplained(losses[1:], by[1:]) for by in (rates, np.cumsum(rates)))
    return with_way <= with_rate


def _unexplained(y: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    """Return the sum of squares that a straight line in x leaves of y; float64 (n,)."""
    x, y = x - x.mean(), y - y.mean()
    slope = x @ y / (x @ x) if x.any() else 0.0
    return float(((y - slope * x) ** 2).sum())


def _rates(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> NDArray[np.float64]:
    """Return the mean learning rate of each epoch that there was."""
    rates: NDArray[np.float64] = recipe.learning_rates(int(train.sum())).reshape(recipe.epochs, -1).mean(axis=1)
    return rates[: len(losses)]


def _entropy(train: NDArray[np.int64], recipe: Recipe) -> float:
    """Return the loss of knowing nothing but how frequent the classes are; with class weights they count alike."""
    shares = train[train > 0] / train.sum()
    return float(-(shares * np.log(shares)).sum()) if recipe.class_weights == "none" else math.log(len(train))


def _guess(train: NDArray[np.int64]) -> str:
    return f"guessing gives ln {len(train)} = {figures.loss(math.log(len(train)))}"


def _tenth(recipe: Recipe) -> str:
    return figures.rate(min(recipe.learning_rate / 10, _LARGEST_RATE))
