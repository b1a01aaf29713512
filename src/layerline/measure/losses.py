"""What the losses over the epochs say of a training: of its rate (rates.py), and whether it was too long or too
short."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.measure import rates
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.recipe import Recipe
    from layerline.runs.history import EpochRow

FEWEST_EPOCHS: Final = 4
"""With fewer, the course of a loss says nothing; what it says of the rate it says sooner."""
RISE: Final = 0.1
"""Validation loss has risen where it is above its best by more than this share,"""
RISE_NATS: Final = 0.02
"""by more than so many nats,"""
RISE_ERRORS: Final = 2.0
"""and by more than so many standard errors, taken as the loss itself over √images: single losses spread as far."""
WAIT: Final = 0.1
"""Epochs since the best, as a share of all, from which on a training over-fits; at least 3."""
AT_ITS_LOWEST: Final = 0.02
"""More epochs may help where the validation loss ends within this share of its lowest,"""
FALL: Final = 0.03
"""the second half of the epochs lowered it by more than this share,"""
APART: Final = 1.5
"""it is less than so many times the training loss: the training images are not yet learned by heart,"""
MUCH_LEFT: Final = 0.02
"""and more than this share of ln K is left of it."""
KNOWN: Final = 0.3
"""Training images are learned where the accuracy on them is so far above what always saying one class gives,"""
NO_BETTER: Final = 2.0
"""and nothing else is, where no epoch's validation accuracy is so many standard errors above that."""


def of(history: Sequence[EpochRow], counts: Mapping[str, NDArray[np.int64]], recipe: Recipe) -> list[str]:
    """Return the sentences that apply; counts: images of each class, int64 (K,), of train and perhaps validation."""
    losses = np.array([row.train_loss for row in history], float)
    train = counts["train"]
    if not len(losses) or len(train) < 2 or not np.isfinite(losses).all():
        return []
    found = rates.of(losses, train, recipe)
    if found or len(losses) < FEWEST_EPOCHS:
        return found
    found = _learned_by_heart(history, counts)
    if found:
        return found
    images = int(counts["validation"].sum()) if "validation" in counts else 0
    return [*_over_fitted(history, losses, images), *_still_improving(history, losses, recipe, math.log(len(train)))]


def _learned_by_heart(history: Sequence[EpochRow], counts: Mapping[str, NDArray[np.int64]]) -> list[str]:
    """Say that what holds for the training images holds for no others: the labels may be unrelated to the images."""
    held = [row.validation_accuracy for row in history]
    images = counts.get("validation")
    if images is None or any(accuracy is None for accuracy in held) or not images.sum():
        return []
    largest = float(images.max() / images.sum())
    spread = math.sqrt(largest * (1 - largest) / int(images.sum()))
    best, own = max(accuracy for accuracy in held if accuracy is not None), history[-1].train_accuracy
    if best > largest + NO_BETTER * spread or own < largest + KNOWN:
        return []
    return [
        f"The network has learned the training images by heart (accuracy {display.fraction(own, 3)}) and nothing that "
        f"holds for others: its best validation accuracy is {display.fraction(best, 3)}, and always saying the largest "
        f"class gives {display.fraction(largest, 3)}. The labels may have nothing to do with the images: look at them "
        "with layerline data show."
    ]


def _over_fitted(history: Sequence[EpochRow], losses: NDArray[np.float64], images: int) -> list[str]:
    """Say since when the network over-fits: the training loss still falls, and the validation loss rises.

    At least 3 epochs, and a tenth of all, have passed since the epoch of the lowest validation loss; the mean of the
    last three is above it by more than 10 %, 0.02 nats and two standard errors; the training loss is lower than then.
    """
    held = _validation(history)
    if held is None:
        return []
    best, last = int(held.argmin()), len(held) - 1
    end = float(held[-3:].mean())
    if last - best < max(3, WAIT * len(held)) or losses[last] >= losses[best]:
        return []
    error = float(held[best]) / math.sqrt(images) if images else 0.0
    if end <= held[best] + max(held[best] * RISE, RISE_NATS, RISE_ERRORS * error):
        return []
    return [
        f"The network over-fits since epoch {best + 2}: from epoch {best + 1} to {last + 1} the training loss fell "
        f"from {display.loss(float(losses[best]))} to {display.loss(float(losses[last]))}, and the validation loss "
        f"rose from {display.loss(float(held[best]))} to {display.loss(float(held[last]))}: it becomes too sure of "
        "itself. More images, --augment, Dropout or --weight-decay may help."
    ]


def _still_improving(
    history: Sequence[EpochRow], losses: NDArray[np.float64], recipe: Recipe, guess: float
) -> list[str]:
    """Say that more epochs may help: the validation loss is still at its lowest, and near the training loss.

    It ends within 2 % of its lowest, the second half of the epochs lowered it by more than 3 %, it is less than 1.5
    times the training loss, and more than 2 % of ln K. A rate that falls to 0 hides by how much the last epochs lowered
    it, which therefore counts for nothing. Of 136 trainings whose test loss fell by a tenth when they were twice as
    long 89 % are told so; it fell in 92 % of those that are told (benchmarks/remarks.py).
    """
    held = _validation(history)
    if held is None:
        return []
    end, middle = float(held[-1]), float(held[(len(held) - 1) // 2])
    near = end <= (1 + AT_ITS_LOWEST) * held.min() and end < APART * losses[-1]
    if not near or middle - end <= FALL * end or end <= MUCH_LEFT * guess:
        return []
    return [
        f"The validation loss was still falling when the training ended, to {display.loss(end)} after {len(held)} "
        f"epochs, and the training loss ({display.loss(float(losses[-1]))}) is not far below it: more epochs may help, "
        f"with --epochs {2 * len(held)}{_as_before(recipe)}."
    ]


def _validation(history: Sequence[EpochRow]) -> NDArray[np.float64] | None:
    held = np.array([np.nan if row.validation_loss is None else row.validation_loss for row in history], float)
    return held if np.isfinite(held).all() else None


def _as_before(recipe: Recipe) -> str:
    """Return the options beside --epochs: without them another optimizer or rate might be chosen."""
    return f" --optimizer {recipe.optimizer} --learning-rate {display.rate(recipe.learning_rate)}"
