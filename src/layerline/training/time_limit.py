"""As many epochs as fit into a time: measured on the first steps, fixed then, and the same ever after.

The time is that of the whole training: from its beginning, with reading and compiling, to the end, with the test, what
the network is compared with, and the pictures. What does not need the network is done before the first epoch, so that
how long it took is known.
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
"""The share of the time left that is planned for: no two epochs take equally long."""
FILES: Final = 0.8
"""Seconds in which a run's graphs and its report are drawn."""
KEEPING: Final = 0.0005
"""Seconds after each epoch in which it is written down, with a checkpoint beside."""


def fit_epochs(prepared: Prepared, clock: Callable[[], float], began: float, *, files: bool) -> Prepared:
    """Return the training with the epochs that fit into its `within`, at least one, and with the baselines.

    The engine's state is put back. began: when, by the clock, its time began; files: whether the run has a folder, and
    so pictures.
    """
    engine, data, recipe = prepared.engine, prepared.data, prepared.recipe
    budget = recipe.within
    if budget is None:
        raise ValueError("the recipe has no time to fit into")
    beside = baselines.measured(data)
    found = timing.measured(engine, data, recipe, clock)
    held = len(data.test or ()) + (len(data.validation or ()) if files else 0)
    after = found.image * held + (FILES if files else 0.0)
    epoch = found.epoch(data) + (KEEPING if files else 0.0)
    left = (budget - (clock() - began) - after) * SPARE
    epochs = min(max(1, int(left / epoch)), 1_000_000)
    recipe = dataclasses.replace(recipe, epochs=epochs, within=None)
    return dataclasses.replace(prepared, recipe=recipe, beside=beside)
