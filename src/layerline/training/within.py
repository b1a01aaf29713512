"""As many epochs as fit into a time: measured on the first steps, fixed then, and the same ever after."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from layerline.data.dataset import Split
from layerline.engines.epoch import plan_epoch
from layerline.recipe.checks import NONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.data.dataset import Dataset
    from layerline.engines.engine import Engine
    from layerline.recipe import Recipe

FIRST_STEPS: Final = 4
"""Steps that are not counted: memory is touched for the first time."""
MEASURED_SECONDS: Final = 1.0
MOST_IMAGES: Final = 2_000
"""Validation images that are looked at."""
SPARE: Final = 0.97
"""The share of the time that is planned for: the rest is for what comes after the epochs."""


def fit_epochs(engine: Engine, data: Dataset, recipe: Recipe, clock: Callable[[], float]) -> Recipe:
    """Return the recipe with the epochs that fit into its `within`, at least one; the engine's state is put back."""
    budget = recipe.within_seconds
    if budget is None:
        return recipe
    began = clock()
    engine.prepare(data.train.source)
    state = engine.state()
    epoch = _training_seconds(engine, data, recipe, clock)
    if data.validation is not None:
        some = Split(data.validation.source, data.validation.indices[:MOST_IMAGES])
        engine.evaluate(some)  # writes its code
        start = clock()
        engine.evaluate(some)
        epoch += (clock() - start) * len(data.validation) / len(some)
    engine.set_state(state)
    engine.reset_running()
    left = budget * SPARE - (clock() - began)
    return dataclasses.replace(recipe, epochs=min(max(1, int(left / epoch)), 1_000_000), within=NONE)


def _training_seconds(engine: Engine, data: Dataset, recipe: Recipe, clock: Callable[[], float]) -> float:
    """Return how long the training pass of an epoch takes, from some of its steps."""
    plan = plan_epoch(dataclasses.replace(recipe, epochs=1), data.train, 1, len(data.classes))
    steps = recipe.steps(len(data.train))
    count = min(FIRST_STEPS, steps)
    while True:
        part = plan.first(count * recipe.batch_size)
        start = clock()
        engine.train(part, 0)
        took = clock() - start
        if count == steps or took >= MEASURED_SECONDS / 2:
            return took * steps / count
        count = min(steps, max(2 * count, int(count * MEASURED_SECONDS / max(took, 1e-3))))
