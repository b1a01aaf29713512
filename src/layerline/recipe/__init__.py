"""The training recipe: every setting that is not part of the network or the data, checked once."""

from __future__ import annotations

from layerline.recipe.recipe import BESTS, DECAYS, INITS, OPTIMIZERS, SCHEDULES, Recipe
from layerline.recipe.recipe_options import RecipeOptions
from layerline.recipe.together import check_together
from layerline.recipe.words import CLASS_WEIGHTS

__all__ = [
    "BESTS",
    "CLASS_WEIGHTS",
    "DECAYS",
    "INITS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Recipe",
    "RecipeOptions",
    "check_together",
]
