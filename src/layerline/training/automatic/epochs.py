"""The number of epochs, from the number of steps that a training run needs and the work per epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.numbers import display
from layerline.training.automatic.choice import Choice

if TYPE_CHECKING:
    from layerline.recipe import Recipe

FEWEST, MOST = 8, 30
STEPS: Final = 800
"""Small data sets get at least this many steps, even if that takes more epochs than MOST …"""
MOST_OF_SMALL: Final = 60
"""… up to this many."""
WORK: Final = 1e14
"""Multiply-adds that limit the automatic number of epochs, down to the minimum: six minutes on two fast cores
(vgg-small: 2.7·10¹¹ per second, Zen 5, 2026-11-29), half an hour on slow ones. They are counted, not timed, so that a
command gives the same training on every computer."""


def fewest(recipe: Recipe) -> int:
    """Return the minimum number of epochs: with a warm-up, more than the warm-up."""
    return max(FEWEST, int(recipe.warmup) + 1)


def choose(recipe: Recipe, images: int, multiply_adds: int) -> Choice:
    """Return the number of epochs. multiply_adds: of a training step, per image."""
    least = fewest(recipe)
    wanted = max(least, min(MOST_OF_SMALL, max(MOST, math.ceil(STEPS / recipe.steps(images)))))
    epoch = max(1, multiply_adds) * images
    count = max(least, min(wanted, int(WORK / epoch)))
    if count < wanted:
        budget = f"{display.count(int(WORK / 1e12))}·10¹² multiply-adds"
        return Choice(count, f"limited to about {budget} of work, at least {least} epochs")
    if count == least:
        return Choice(count, "longer than the warm-up")
    if count == MOST:
        return Choice(count, "enough for most data sets")
    return Choice(count, f"for {display.count(STEPS)} steps, at most {MOST_OF_SMALL} epochs")
