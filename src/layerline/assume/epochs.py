"""The number of epochs, from how long one takes here and how many steps a training needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline import figures
from layerline.assume.choice import Choice
from layerline.assume.pace import epoch_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.data.dataset import Dataset
    from layerline.engines.engine import Engine
    from layerline.recipe import Recipe

FEWEST, MOST = 8, 30
STEPS: Final = 800
"""Steps of a small set are worth having even where they take more epochs than MOST …"""
MOST_OF_SMALL: Final = 60
"""… up to this many."""
SECONDS: Final = 600.0
"""A training takes no longer by itself, but for the fewest epochs."""


def fewest(recipe: Recipe) -> int:
    """Return how many epochs are chosen at least: with a warm-up, more than that takes."""
    return max(FEWEST, int(recipe.warmup) + 1)


def choose(engine: Engine, data: Dataset, recipe: Recipe, clock: Callable[[], float]) -> tuple[Choice, float]:
    """Return the epochs, and the seconds that they will take; the engine's state is put back."""
    seconds = epoch_seconds(engine, data, recipe, clock)
    least = fewest(recipe)
    wanted = max(least, min(MOST_OF_SMALL, max(MOST, math.ceil(STEPS / recipe.steps(len(data.train))))))
    count = max(least, min(wanted, int(SECONDS / seconds)))
    if count == wanted:
        reason = f"{figures.seconds(count * seconds)} here"
    else:
        reason = f"what fits into {figures.seconds(SECONDS)} here, at {figures.seconds(seconds)} an epoch"
    return Choice(count, reason), count * seconds
