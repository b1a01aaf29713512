"""The tables of an epoch that machine code reads: everything that changes from step to step or image to image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.compiler.kernels.optimizers import HYPER_NAMES
from layerline.compiler.plane import capacity
from layerline.compiler.values import STEP_SCALARS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import Scaling
    from layerline.engines.epoch import Epoch
    from layerline.recipe import Recipe

_NOTHING: Final = np.zeros(1, np.int32)
"""Placeholder for a table that machine code does not read."""


def tables(epoch: Epoch, recipe: Recipe) -> dict[str, NDArray[Any]]:
    """Return the arrays of an epoch by the name of the pointer they go to."""
    seed = (recipe.seed & 0xFFFFFFFF, recipe.seed >> 32)
    given = np.zeros(0) if epoch.class_weights is None else epoch.class_weights
    weights = np.zeros(capacity(len(given) + 1), np.float32)
    weights[: len(given) + 1] = [*given, given.sum()]
    return {
        "step_scalars": step_scalars(epoch, recipe),
        "rng_key": np.array([*seed, epoch.number], np.uint32),
        "class_weights": weights,
        "moves": _NOTHING if epoch.drawn is None else epoch.drawn.moves,
        "numbers": _NOTHING if epoch.drawn is None else epoch.drawn.numbers,
    }


def step_scalars(epoch: Epoch, recipe: Recipe) -> NDArray[np.float64]:
    """Return the per-step numbers of the optimizer, float64 (steps, len(STEP_SCALARS)), one row per step."""
    steps, M = recipe.steps(len(epoch.order)), len(epoch.order)
    sizes = np.minimum(recipe.batch_size, M - recipe.batch_size * np.arange(steps))
    t = epoch.first_step + 1 + np.arange(steps)
    rates = epoch.learning_rates[:steps]
    columns = {
        "rate": rates,
        "inverse": 1 / (sizes if epoch.weights is None else epoch.weights[:steps]),
        "adam_rate": rates / (1 - recipe.beta1**t),
        "adam_scale": 1 / np.sqrt(1 - recipe.beta2**t),
    }
    return np.column_stack([columns[name] for name in STEP_SCALARS])


def constants(recipe: Recipe, scaling: Scaling) -> dict[str, NDArray[np.float32]]:
    """Return the arrays that are constant during a run, by the name of the pointer they go to."""
    values = {**vars(recipe), "one_minus_beta1": 1 - recipe.beta1, "one_minus_beta2": 1 - recipe.beta2}
    hyper = [float(values[name]) if isinstance(values.get(name), int | float) else 0.0 for name in HYPER_NAMES]
    return {
        "hyper": np.array(hyper, np.float32),
        "scale": np.array(scaling.scale, np.float32),
        "shift": np.array(scaling.shift, np.float32),
    }
