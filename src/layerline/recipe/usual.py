"""Learning rates in the middle of those that work: what is tried first, and what others are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from layerline.recipe.recipe import Recipe

RATES: Final = {"muon": 0.004, "adamw": 0.002, "sgd": 0.02}
"""Of each optimizer, with its usual momentum (measured in docs/recipes.md)."""
_MOMENTUM: Final = 0.9


def usual_rate(recipe: Recipe) -> float:
    """Return the usual learning rate of a recipe's optimizer.

    A step of SGD goes η / (1 − μ) far in the end, so that a smaller momentum μ takes a larger rate η.
    """
    rate = RATES[recipe.optimizer]
    return rate * (1 - recipe.momentum) / (1 - _MOMENTUM) if recipe.optimizer == "sgd" else rate
