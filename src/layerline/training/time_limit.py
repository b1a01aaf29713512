"""The number of epochs that fit into a time limit: measured on the first steps, and fixed from then on.

The limit covers the whole training, from loading and compiling to the test, the baselines and the graphs. Whatever does
not need the network is done before the first epoch, so that its duration is known.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from layerline.measure import baselines
from layerline.training.automatic import timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.training.prepared import Prepared

SPARE: Final = 0.98
"""Fraction of the remaining time to plan for, because epochs vary in duration."""
FILES: Final = 0.8
"""Seconds for drawing a run's graphs and writing its report."""
KEEPING: Final = 0.0005
"""Seconds for writing the history and a checkpoint after each epoch."""


def fit_epochs(prepared: Prepared, clock: Callable[[], float], began: float, *, files: bool) -> Prepared:
    """Return the training with the number of epochs that fit into its `within`, at least one, and with the baselines.

    The engine's state is restored. began: start of its time, by the clock; files: whether the run has a folder, and so
    graphs.
    """
    engine, data, recipe = prepared.engine, prepared.data, prepared.recipe
    budget = recipe.within
    if budget is None:
        raise ValueError("the recipe has no time limit")
    compared = baselines.measured(data)
    found = timing.measured(engine, data, recipe, clock)
    held = len(data.test or ()) + (len(data.validation or ()) if files else 0)
    after = found.image * held + (FILES if files else 0.0)
    epoch = found.epoch(data) + (KEEPING if files else 0.0)
    left = (budget - (clock() - began) - after) * SPARE
    epochs = min(max(1, int(left / epoch)), 1_000_000)
    epochs = int(engine.ranks.first(str(epochs)))
    recipe = dataclasses.replace(recipe, epochs=epochs, within=None)
    return dataclasses.replace(prepared, recipe=recipe, baselines=compared)
