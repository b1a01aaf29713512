"""The learning rate by a short range test (Smith 2017, arXiv:1506.01186, §3.3): a few steps at each of several rates.

Each rate starts from the same weights and sees the same batches; over the first half of the steps it rises to its
value. The rate with the lowest loss on validation images wins, and half of it is taken: what is best for a hundred
steps is too high for a run (measured in docs/recipes.md).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.dataset import Split
from layerline.engines.epoch import plan_epoch
from layerline.numbers.display import rate as shown
from layerline.recipe.usual import RATES
from layerline.training.automatic.choice import Choice

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine
    from layerline.recipe import Recipe

DOUBLINGS: Final = range(-2, 4)
"""The rates tried are the default times 2 to the power of these."""
STEPS: Final = 100
FEWEST_STEPS: Final = 20
"""A test of fewer says nothing."""
WORK: Final = 4e11
"""Multiply-adds that all rates together may take: some seconds on two cores. They are counted, not timed, so that the
same network and data get the same rate on every computer."""
LOOKED_AT: Final = 1_000
"""Validation images, or where there are none training images, whose loss is compared."""
LEARNED: Final = 0.9
"""The loss must fall to this share of what it is at the start, or the test has shown nothing."""


def choose(engine: Engine, data: Dataset, recipe: Recipe, multiply_adds: int) -> Choice:
    """Return the learning rate for a recipe's optimizer; the engine's state is put back."""
    default = RATES[recipe.optimizer]
    image_work = 3 * max(1, multiply_adds) * len(DOUBLINGS)
    steps = min(STEPS, int(WORK / image_work / recipe.batch_size))
    if steps < FEWEST_STEPS:
        return Choice(default, "the network is too large for a short test of others")
    rates = [default * 2.0**k for k in DOUBLINGS]
    held = data.validation or data.train
    indices = np.ascontiguousarray(held.indices[:: max(1, len(held) // LOOKED_AT)][:LOOKED_AT])
    some, state, losses = Split(held.source, indices), engine.state(), []
    before = _loss(engine, some)
    for rate in rates:
        _train(engine, data, recipe, steps, rate)
        losses.append(math.inf if engine.diverged_step is not None else _loss(engine, some))
        engine.set_state(state)
    engine.reset_running()
    best = int(np.argmin(losses))
    if not losses[best] < LEARNED * before:
        return Choice(default, f"in {steps} steps no rate from {shown(rates[0])} to {shown(rates[-1])} learned enough")
    return Choice(
        rates[best] / 2, f"half of {shown(rates[best])}, with which {steps} steps from the start learned the most"
    )


def _train(engine: Engine, data: Dataset, recipe: Recipe, steps: int, rate: float) -> None:
    """Take so many steps, over as many epochs as they need; the rate rises over the first half of them."""
    short = dataclasses.replace(recipe, schedule="constant", warmup=0.0, learning_rate=rate)
    rates = rate * np.minimum(1.0, (np.arange(steps) + 1) / (steps / 2))
    number = 1
    while len(rates) and not (number > 1 and engine.diverged_step is not None):
        plan = plan_epoch(short, data.train, number, len(data.classes)).first(len(rates) * recipe.batch_size)
        count = recipe.steps(len(plan.order))
        engine.train(dataclasses.replace(plan, learning_rates=rates[:count]), 0)
        rates, number = rates[count:], number + 1


def _loss(engine: Engine, some: Split) -> float:
    loss = float(engine.evaluate(some).losses.mean())
    return loss if math.isfinite(loss) else math.inf
