"""The number of epochs, from how many steps a training needs and how much work an epoch is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.numbers import display
from layerline.training.automatic.choice import Choice

if TYPE_CHECKING:
    from layerline.recipe import Recipe

FEWEST, MOST = 8, 30
STEPS: Final = 800
"""Steps of a small set are worth having even where they take more epochs than MOST …"""
MOST_OF_SMALL: Final = 60
"""… up to this many."""
WORK: Final = 1e14
"""Multiply-adds that a training does by itself at most, but for the fewest epochs: six minutes on two fast cores
(vgg-small: 2.7·10¹¹ a second, Zen 5, 2026-11-29), half an hour on slow ones. They are counted, not timed, so that one
command is one training on every computer."""


def fewest(recipe: Recipe) -> int:
    """Return how many epochs are chosen at least: with a warm-up, more than that takes."""
    return max(FEWEST, int(recipe.warmup) + 1)


def choose(recipe: Recipe, images: int, multiply_adds: int) -> Choice:
    """Return the epochs for so many training images of so many multiply-adds each, forward.

    The way back counts as two forward.
    """
    least = fewest(recipe)
    wanted = max(least, min(MOST_OF_SMALL, max(MOST, math.ceil(STEPS / recipe.steps(images)))))
    epoch = 3 * max(1, multiply_adds) * images
    count = max(least, min(wanted, int(WORK / epoch)))
    if count < wanted:
        return Choice(count, f"as many as {display.count(int(WORK / 1e12))}·10¹² multiply-adds allow, at least {least}")
    if count == least:
        return Choice(count, "more than the warm-up")
    return Choice(
        count, "enough for most" if count == MOST else f"{display.count(STEPS)} steps, or as near as that comes"
    )
