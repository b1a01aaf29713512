"""As many epochs as fit into a time: measured on the first steps, fixed then, and the same ever after."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from layerline.assume.pace import epoch_seconds
from layerline.recipe.checks import NONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.data.dataset import Dataset
    from layerline.engines.engine import Engine
    from layerline.recipe import Recipe

SPARE: Final = 0.97
"""The share of the time that is planned for: the rest is for what comes after the epochs."""


def fit_epochs(engine: Engine, data: Dataset, recipe: Recipe, clock: Callable[[], float]) -> Recipe:
    """Return the recipe with the epochs that fit into its `within`, at least one; the engine's state is put back."""
    budget = recipe.within_seconds
    if budget is None:
        return recipe
    began = clock()
    epoch = epoch_seconds(engine, data, recipe, clock)
    left = budget * SPARE - (clock() - began)
    return dataclasses.replace(recipe, epochs=min(max(1, int(left / epoch)), 1_000_000), within=NONE)
