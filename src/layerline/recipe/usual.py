"""The usual learning rates, in the middle of the range that works: tried first, and a reference for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from layerline.recipe.recipe import Recipe

RATES: Final = {"muon": 0.004, "adamw": 0.002, "sgd": 0.02}
"""The usual rate of each optimizer, with its usual momentum (measurements are in docs/recipes.md)."""
_MOMENTUM: Final = 0.9


def usual_rate(recipe: Recipe) -> float:
    """Return the usual learning rate of a recipe's optimizer.

    A step of SGD adds up to η / (1 − μ), so that a smaller momentum μ needs a larger rate η.
    """
    rate = RATES[recipe.optimizer]
    return rate * (1 - recipe.momentum) / (1 - _MOMENTUM) if recipe.optimizer == "sgd" else rate
