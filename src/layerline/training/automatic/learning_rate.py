"""The learning rate by a short range test (Smith 2017, arXiv:1506.01186, §3.3): some steps at each of several rates.

Each trial starts from the same weights and sees the same batches; its rate rises to its value over the first half of
the steps. The rate with the lowest loss on validation images wins, and half of it is used: the best rate for a hundred
steps is too high for a whole training (measured in docs/recipes.md).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.dataset import Split
from layerline.engines.epoch import plan_epoch
from layerline.numbers import display
from layerline.recipe.usual import RATES
from layerline.training.automatic.choice import Choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.data.dataset import Dataset
    from layerline.engines.epoch import Epoch
    from layerline.engines.interface import Engine
    from layerline.recipe import Recipe

DOUBLINGS: Final = range(-2, 4)
"""The learning rates tried are the default times 2 to the power of these."""
STEPS: Final = 100
FEWEST_STEPS: Final = 20
"""A test with fewer steps is not meaningful."""
WORK: Final = 4e11
"""Maximum multiply-adds of all trials together: some seconds on two cores. They are counted, not timed, so that the
same network and data get the same learning rate on every computer."""
SAMPLE: Final = 1_000
"""Validation images (training images if there are none) whose loss is compared."""
LEARNED: Final = 0.9
"""The loss must fall to this fraction of its initial value, or the test is inconclusive."""


def choose(engine: Engine, data: Dataset, recipe: Recipe, multiply_adds: int) -> Choice:
    """Return the learning rate for a recipe's optimizer; the engine's state is restored.

    multiply_adds: of a training step, per image.
    """
    default = RATES[recipe.optimizer]
    image_work = max(1, multiply_adds) * len(DOUBLINGS)
    steps = min(STEPS, int(WORK / image_work / recipe.batch_size))
    if steps < FEWEST_STEPS:
        return Choice(default, "the default: the network is too large for a short test")
    rates = [default * 2.0**k for k in DOUBLINGS]
    held = data.validation or data.train
    indices = np.ascontiguousarray(held.indices[:: max(1, len(held) // SAMPLE)][:SAMPLE])
    some, state, losses = Split(held.source, indices), engine.state(), []
    before = _loss(engine, some)
    plans = _plans(data, recipe, steps)
    for rate in rates:
        _train(engine, plans, recipe, rate)
        losses.append(math.inf if engine.diverged_step is not None else _loss(engine, some))
        engine.set_state(state)
    engine.reset_running()
    best = int(np.argmin(losses))
    if not losses[best] < LEARNED * before:
        tried = f"{display.rate(rates[0])} to {display.rate(rates[-1])}"
        return Choice(default, f"the default: no rate from {tried} learned enough in a {steps}-step test")
    winner = f"the best of {len(rates)} rates in a {steps}-step test"
    return Choice(rates[best] / 2, f"half of {display.rate(rates[best])}, {winner}")


def _plans(data: Dataset, recipe: Recipe, steps: int) -> list[Epoch]:
    """Return the epochs of a trial of `steps` steps, the last one only as far as needed."""
    short = dataclasses.replace(recipe, schedule="constant", warmup=0.0)
    plans: list[Epoch] = []
    while steps:
        plan = plan_epoch(short, data.train, len(plans) + 1, len(data.classes)).first(steps * recipe.batch_size)
        plans.append(plan)
        steps -= recipe.steps(len(plan.order))
    return plans


def _train(engine: Engine, plans: Sequence[Epoch], recipe: Recipe, rate: float) -> None:
    """Run a trial; the rate rises over the first half of its steps."""
    counts = [recipe.steps(len(plan.order)) for plan in plans]
    rates = rate * np.minimum(1.0, (np.arange(sum(counts)) + 1) / (sum(counts) / 2))
    for plan, count in zip(plans, counts, strict=True):
        if plan.number > 1 and engine.diverged_step is not None:
            return
        engine.train(dataclasses.replace(plan, learning_rates=rates[:count]), 0)
        rates = rates[count:]


def _loss(engine: Engine, some: Split) -> float:
    loss = float(engine.evaluate(some).losses.mean())
    return loss if math.isfinite(loss) else math.inf
