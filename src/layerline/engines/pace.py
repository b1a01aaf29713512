"""What changes from step to step, worked out in Python: a row of numbers a step, which the driver hands to kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from layerline.compiler.values import PACE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.engines.epoch import Epoch
    from layerline.recipe import Recipe


def pace(epoch: Epoch, recipe: Recipe) -> NDArray[np.float64]:
    """Return float64 (steps, len(PACE)) for an epoch."""
    steps, M = recipe.steps(len(epoch.order)), len(epoch.order)
    rows = np.empty((steps, len(PACE)))
    sizes = np.minimum(recipe.batch_size, M - recipe.batch_size * np.arange(steps))
    rows[:, 0] = epoch.learning_rates[:steps]
    rows[:, 1] = 1 / (sizes if epoch.weights is None else epoch.weights[:steps])
    return rows
