"""What the losses over the epochs say of the learning rate: too high, too low, or nothing that a rate would mend.

A rate is called wrong only where it is far from the usual one of its optimizer and the losses show it: what an ordinary
training of a hard set looks like (a loss that falls slowly from epoch to epoch) is no reason to change the rate.
benchmarks/remarks.py has how often each sentence is right, and how often its advice helped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.numbers import display
from layerline.recipe.usual import usual_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.recipe import Recipe

NOTHING_LEARNED: Final = 0.02
"""A training loss within so much of what guessing gives, in shares of it, has learned nothing."""
TOO_HIGH: Final = 1.1
"""A training loss above so many ln K, after the first epoch, is worse than guessing."""
JUMP: Final = 0.15
"""A rise of the training loss from one epoch to the next, in shares of ln K, is a jump."""
FAR_BELOW: Final = 1 / 8
"""A rate of less than this share of the usual one may be too low,"""
FAR_ABOVE: Final = 4.0
"""one of more than this many times the usual one too high."""
MUCH_LEFT: Final = 0.1
"""A training has not come far where more than so much of ln K is left."""


def of(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Return the sentence that applies, if one does. losses: float64 (epochs,), finite; train: images of each class."""
    for rule in (_too_high, _too_low, _nothing_learned):
        found = rule(losses, train, recipe)
        if found:
            return found
    return []


def _too_high(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Say that the rate is too high: above the usual one, and the loss shows it.

    After the first epoch it is once above 1.1 ln K, or has jumped twice by 0.15 ln K; or the rate is more than four
    times the usual one and nothing was learned, after however few epochs.
    """
    guess = math.log(len(train))
    if recipe.learning_rate <= usual_rate(recipe):
        return []
    advice = f"The learning rate {display.rate(recipe.learning_rate)} is too high: try {_usual(recipe)}."
    above = np.flatnonzero(losses[1:] > TOO_HIGH * guess) + 1
    if len(above):
        k = int(above[losses[above].argmax()])
        return [
            f"The training loss was {display.loss(float(losses[k]))} in epoch {k + 1}, worse than guessing "
            f"({_guess(train)}). {advice}"
        ]
    jumps = np.flatnonzero(np.diff(losses) > JUMP * guess) + 1
    if len(jumps) > 1:
        k = int(jumps[np.diff(losses)[jumps - 1].argmax()])
        return [
            f"The training loss jumped {len(jumps)} times, from {display.loss(float(losses[k - 1]))} to "
            f"{display.loss(float(losses[k]))} in epoch {k + 1}. {advice}"
        ]
    if recipe.learning_rate > FAR_ABOVE * usual_rate(recipe) and _learned_nothing(losses, train, recipe):
        return [f"{_as_guessing(losses, train, recipe)}. {advice}"]
    return []


def _too_low(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Say that the rate is too low: below an eighth of the usual one, no epoch raised the loss, much of it is left."""
    slow = recipe.learning_rate < FAR_BELOW * usual_rate(recipe) and losses[-1] > MUCH_LEFT * math.log(len(train))
    if not slow or (np.diff(losses) > 0).any():
        return []
    epochs = display.counted(len(losses), "epoch")
    fell = "" if len(losses) == 1 else f" fell by {display.loss(float(losses[0] - losses[-1]))} only, to"
    return [
        f"The training loss{fell or ' is'} {display.loss(float(losses[-1]))} after {epochs} ({_guess(train)}). The "
        f"learning rate {display.rate(recipe.learning_rate)} is too low: try {_usual(recipe)}."
    ]


def _nothing_learned(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Say that nothing was learned at a rate that is not far off: no epoch's loss is 2 % below what guessing gives."""
    if not _learned_nothing(losses, train, recipe) or len(losses) < 2:
        return []
    return [
        f"{_as_guessing(losses, train, recipe)}: nothing was learned. The labels may have nothing to do with the "
        "images (look at them with layerline data show), or the training may be too short."
    ]


def _learned_nothing(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> bool:
    return bool(losses.min() >= (1 - NOTHING_LEARNED) * _entropy(train, recipe))


def _as_guessing(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> str:
    epochs = display.counted(len(losses), "epoch")
    return (
        f"The training loss is {display.loss(float(losses[-1]))} after {epochs}, which knowing nothing but how "
        f"frequent the classes are gives as well ({display.loss(_entropy(train, recipe))})"
    )


def _usual(recipe: Recipe) -> str:
    """Return the options that train with the usual rate: the optimizer too, which a rate alone might change."""
    momentum = f" --momentum {display.rate(recipe.momentum)}" if recipe.optimizer == "sgd" else ""
    return f"--optimizer {recipe.optimizer}{momentum} --learning-rate {display.rate(usual_rate(recipe))}"


def _entropy(train: NDArray[np.int64], recipe: Recipe) -> float:
    """Return the loss of knowing nothing but how frequent the classes are; with class weights they count alike."""
    shares = train[train > 0] / train.sum()
    return float(-(shares * np.log(shares)).sum()) if recipe.class_weights is None else math.log(len(train))


def _guess(train: NDArray[np.int64]) -> str:
    return f"guessing gives ln {len(train)} = {display.loss(math.log(len(train)))}"
