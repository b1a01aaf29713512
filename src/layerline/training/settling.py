"""TRAIN: whether validation scores that jump are those of a learning rate that is still high, and will settle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.recipe import Recipe
    from layerline.runs.history import EpochRow

DROP: Final = 0.05
"""The validation accuracy jumps if it is this much below the best so far,"""
ERRORS: Final = 3.0
"""and this many standard errors, so that the choice of validation images cannot explain it."""
HIGH: Final = 0.5
"""The learning rate is high if it is at least this fraction of the highest,"""
LOW: Final = 0.2
"""and low at the end of a schedule that settles if it is at most this fraction."""


def jumped(history: Sequence[EpochRow], images: int) -> bool:
    """Return whether the last validation accuracy fell far below the best before, while the training accuracy did not.

    If both fell, the learning rate is too high, and nothing says that it will settle. images: validation's.
    """
    *before, now = history
    known = [row.validation_accuracy for row in before if row.validation_accuracy is not None]
    if now.validation_accuracy is None or not known or not images:
        return False
    best = max(known)
    if best - now.validation_accuracy < max(DROP, ERRORS * math.sqrt(best * (1 - best) / images)):
        return False
    return max(row.train_accuracy for row in before) - now.train_accuracy < DROP


def note(history: Sequence[EpochRow], recipe: Recipe, train: int, validation: int) -> str | None:
    """Return the note that the scores will settle, if the last epoch's jumped while the learning rate is high.

    None if the rate is not high any more, or will not fall: the jump then has another cause. train, validation: numbers
    of images.
    """
    if not jumped(history, validation):
        return None
    every, steps, epoch = recipe.learning_rates(train), recipe.steps(train), len(history)
    rates, highest = every[steps - 1 :: steps], float(every.max())  # rates: at the end of each epoch
    later = [k for k in range(epoch, len(rates)) if rates[k] <= LOW * highest]
    if rates[epoch - 1] < HIGH * highest or not later:
        return None
    now = display.rate(float(rates[epoch - 1]))
    return (
        f"the validation scores jump while the learning rate is high ({now}); they usually settle as it falls, "
        f"to {display.rate(float(rates[-1]))} in epoch {len(rates)}"
    )
