"""The time per epoch on this machine, measured on some of its steps and a part of its validation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.data.dataset import Split
from layerline.engines.epoch import plan_epoch

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine
    from layerline.recipe import Recipe

FIRST_STEPS: Final = 4
"""Steps that are not counted, because they touch memory for the first time."""
MEASURED_SECONDS: Final = 1.0
MOST_IMAGES: Final = 2_000
"""Maximum validation images to time."""


@dataclass(frozen=True)
class Timing:
    """Measured times, in seconds."""

    training: float
    """Of the training pass of an epoch."""
    image: float
    """Of evaluating one image."""

    def epoch(self, data: Dataset) -> float:
        """Return the time per epoch: training and validation."""
        return self.training + self.image * len(data.validation or ())


def measured(engine: Engine, data: Dataset, recipe: Recipe, clock: Callable[[], float]) -> Timing:
    """Return the measured times of a training run; the engine's state is restored."""
    engine.prepare(data.train.source)
    state = engine.state()
    training, image = _training_seconds(engine, data, recipe, clock), 0.0
    held = data.validation or data.test
    if held is not None:
        some = Split(held.source, held.indices[:MOST_IMAGES])
        engine.evaluate(some)  # compiles its code
        start = clock()
        engine.evaluate(some)
        image = (clock() - start) / len(some)
    engine.set_state(state)
    engine.reset_running()
    return Timing(training, image)


def _training_seconds(engine: Engine, data: Dataset, recipe: Recipe, clock: Callable[[], float]) -> float:
    """Return the time of an epoch's training pass, extrapolated from some of its steps."""
    plan = plan_epoch(dataclasses.replace(recipe, epochs=1), data.train, 1, len(data.classes))
    steps = recipe.steps(len(data.train))
    count = min(FIRST_STEPS, steps)
    while True:
        part = plan.first(count * recipe.batch_size)
        start = clock()
        engine.train(part, 0)
        took = engine.ranks.largest(clock() - start)
        if count == steps or took >= MEASURED_SECONDS / 2:
            return took * steps / count
        count = min(steps, max(2 * count, int(count * MEASURED_SECONDS / max(took, 1e-3))))
