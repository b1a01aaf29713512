"""Remarks from the loss curves: on the learning rate (rates.py), and on training too long or too short."""

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
"""With fewer epochs a loss curve shows nothing except about the learning rate, which it shows sooner."""
RISE: Final = 0.1
"""The validation loss has risen if it is above its minimum by more than this fraction,"""
RISE_NATS: Final = 0.02
"""by more than this many nats,"""
RISE_ERRORS: Final = 2.0
"""and by more than this many standard errors, estimated as loss / √images: single losses vary that much."""
WAIT: Final = 0.1
"""Epochs since the best, as a fraction of all, after which a training run counts as overfitting; at least 3."""
AT_ITS_LOWEST: Final = 0.02
"""More epochs may help if the validation loss ends within this fraction of its minimum,"""
FALL: Final = 0.03
"""the second half of the epochs lowered it by more than this fraction,"""
APART: Final = 1.5
"""it is less than this many times the training loss (the training images are not yet memorized),"""
MUCH_LEFT: Final = 0.02
"""and it is still more than this fraction of ln K."""
KNOWN: Final = 0.3
"""The network memorizes if its training accuracy is this far above the majority class,"""
MEMORIZED: Final = 0.95
"""(from this training accuracy on; below it the network is said to fit the training images),"""
NO_BETTER: Final = 2.0
"""no epoch's validation accuracy, nor the test's, is more than this many standard errors above the majority class,"""
GENERALIZES: Final = 0.5
"""and a network that kept this fraction of its lead on new images would have that many standard errors more."""


def of(
    history: Sequence[EpochRow],
    counts: Mapping[str, NDArray[np.int64]],
    recipe: Recipe,
    test_accuracy: float | None = None,
) -> list[str]:
    """Return the remarks that apply; counts: images of each class, int64 (K,), for train and any other split."""
    losses = np.array([row.train_loss for row in history], float)
    train = counts["train"]
    if not len(losses) or len(train) < 2 or not np.isfinite(losses).all():
        return []
    found = rates.of(losses, train, recipe)
    if found or len(losses) < FEWEST_EPOCHS:
        return found
    found = _memorized(history, counts, test_accuracy)
    if found:
        return found
    images = int(counts["validation"].sum()) if "validation" in counts else 0
    return [*_overfitting(history, losses, images), *_still_improving(history, losses, recipe, math.log(len(train)))]


def _memorized(
    history: Sequence[EpochRow], counts: Mapping[str, NDArray[np.int64]], test_accuracy: float | None
) -> list[str]:
    """Remark that the network fits the training images but no others: labels and images may be unrelated.

    That needs enough validation images. A network that generalizes halfway, from always predicting the largest class
    to its training accuracy, must be ruled out: halfway lies outside the 95% Wilson interval of the best validation
    accuracy. From 180 images on, this follows from the other conditions.
    """
    held = [row.validation_accuracy for row in history]
    images = counts.get("validation")
    if images is None or any(accuracy is None for accuracy in held) or not images.sum():
        return []
    best, own = max(accuracy for accuracy in held if accuracy is not None), history[-1].train_accuracy
    largest, bound = _guessing(images)
    halfway = largest + GENERALIZES * (own - largest)
    if best > bound or own < largest + KNOWN or _at_most(best, int(images.sum())) >= halfway:
        return []
    test = counts.get("test")
    if test_accuracy is not None and test is not None and test.sum() and test_accuracy > _guessing(test)[1]:
        return []
    does = "has memorized" if own >= MEMORIZED else "fits"
    return [
        f"The network {does} the training images (accuracy {display.fraction(own, 3)}) but does not generalize: "
        f"its best validation accuracy is {display.fraction(best, 3)}, and always predicting the largest class gives "
        f"{display.fraction(largest, 3)}. The labels may be unrelated to the images: inspect them with layerline data "
        "show."
    ]


def _guessing(images: NDArray[np.int64]) -> tuple[float, float]:
    """Return the accuracy of always predicting the largest class, and two standard errors more."""
    N = int(images.sum())
    largest = float(images.max() / N)
    return largest, largest + NO_BETTER * math.sqrt(largest * (1 - largest) / N)


def _at_most(accuracy: float, N: int) -> float:
    """Return the upper end of the Wilson interval of an accuracy on N images, two standard errors wide.

    Wilson 1927: unlike accuracy ± two standard errors, it is not empty if no image or every image is right.
    """
    z = NO_BETTER
    return (accuracy + z**2 / (2 * N) + z * math.sqrt(accuracy * (1 - accuracy) / N + (z / (2 * N)) ** 2)) / (
        1 + z**2 / N
    )


def _overfitting(history: Sequence[EpochRow], losses: NDArray[np.float64], images: int) -> list[str]:
    """Remark that the network is overfitting, and since when: the validation loss rises while the training loss falls.

    At least 3 epochs, and a tenth of all, have passed since the epoch of the lowest validation loss; the mean of the
    last three is above it by more than 10%, 0.02 nats and two standard errors; the training loss is lower than then.
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
        f"The network has been overfitting since epoch {best + 2}: from epoch {best + 1} to {last + 1} the training "
        f"loss fell from {display.loss(float(losses[best]))} to {display.loss(float(losses[last]))} while the "
        f"validation loss rose from {display.loss(float(held[best]))} to {display.loss(float(held[last]))}: it is "
        "becoming overconfident. More images, --augment, Dropout or --weight-decay may help."
    ]


def _still_improving(
    history: Sequence[EpochRow], losses: NDArray[np.float64], recipe: Recipe, guess: float
) -> list[str]:
    """Remark that more epochs may help: the validation loss ends at its minimum, and near the training loss.

    It ends within 2% of its minimum, the second half of the epochs lowered it by more than 3%, it is less than 1.5
    times the training loss, and more than 2% of ln K. How much the last epochs lowered it is ignored: a learning rate
    that falls to 0 hides that. The remark appeared for 89% of 136 training runs whose test loss fell by a tenth when
    they were twice as long; of those that got it, the test loss fell in 92% (benchmarks/remarks.py).
    """
    held = _validation(history)
    if held is None:
        return []
    end, middle = float(held[-1]), float(held[(len(held) - 1) // 2])
    near = end <= (1 + AT_ITS_LOWEST) * held.min() and end < APART * losses[-1]
    if not near or middle - end <= FALL * end or end <= MUCH_LEFT * guess:
        return []
    return [
        f"The validation loss was still falling when training ended ({display.loss(end)} after {len(held)} epochs), "
        f"and the training loss ({display.loss(float(losses[-1]))}) is not far below it. More epochs may help: try "
        f"--epochs {2 * len(held)}{_same_recipe(recipe)}."
    ]


def _validation(history: Sequence[EpochRow]) -> NDArray[np.float64] | None:
    held = np.array([np.nan if row.validation_loss is None else row.validation_loss for row in history], float)
    return held if np.isfinite(held).all() else None


def _same_recipe(recipe: Recipe) -> str:
    """Return the options to add to --epochs, without which another optimizer or learning rate might be chosen."""
    return f" --optimizer {recipe.optimizer} --learning-rate {display.rate(recipe.learning_rate)}"
