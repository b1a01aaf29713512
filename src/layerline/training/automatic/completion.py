"""Completes a recipe for a network and a data set: specified values stay, the rest is chosen or measured."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from layerline import engines
from layerline.engines.agreement import checked
from layerline.engines.memory_check import check_memory
from layerline.training.automatic import epochs, learning_rate, timing
from layerline.training.automatic.facts import Facts
from layerline.training.automatic.rules import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine
    from layerline.engines.placement import Placement
    from layerline.network import Network
    from layerline.network.start import Start
    from layerline.recipe import Recipe
    from layerline.training.automatic.choice import Choice


LONG: Final = 2e12
"""Above this many multiply-adds (half a minute on two cores), a second is spent to estimate the training time."""


@dataclass(frozen=True)
class Completed:
    """A complete recipe, its engine, and the reasons of the automatic choices."""

    recipe: Recipe
    engine: Engine
    reasons: dict[str, str] = field(default_factory=dict)
    """Key of the recipe → reason, for every value that was neither specified nor a plain default."""
    seconds: float | None = None
    """Estimated duration of the training, if it was measured because it is long."""


def complete(
    network: Network,
    data: Dataset,
    recipe: Recipe,
    given: Collection[str],
    *,
    engine: str = "compiled",
    threads: int | None = None,
    placement: Placement | None = None,
    start: Start | None = None,
    clock: Callable[[], float] = time.perf_counter,
    say: Callable[[str], None] | None = None,
) -> Completed:
    """Return the recipe with missing values chosen: by rules, and the learning rate by a short test of several.

    given: keys of the recipe that were specified. start: weights to start from, also in the test of learning rates.
    say: called with a description of each stage. The engine has the initial weights. Raises UserError if specified
    values do not fit the network, the data or each other.
    """
    say = say or _silent
    choices = choose(Facts.of(network, data, start), recipe, given)
    recipe = _with(recipe, choices)
    if "epochs" not in given:
        recipe = dataclasses.replace(recipe, epochs=epochs.fewest(recipe))
    checked(network, data, recipe)
    work = _work(network, recipe)
    made = engines.make(engine, network, data.scaling, recipe, threads, placement=placement, start=start)
    check_memory(made, data, recipe)
    if "learning_rate" not in given or ("epochs" not in given and recipe.within is None):
        say("compiling")  # takes a minute for a thousand layers
        made.prepare(data.train.source)
    if "learning_rate" not in given:
        say("trying learning rates")
        choices["learning_rate"] = learning_rate.choose(made, data, recipe, work)
        recipe = _with(recipe, choices)
    if "epochs" not in given and recipe.within is None:
        choices["epochs"] = epochs.choose(recipe, len(data.train), work)
        recipe = _with(recipe, choices)
    seconds = None
    if recipe.within is None and work * len(data.train) * recipe.epochs > LONG:
        say("measuring the time per epoch")
        seconds = recipe.epochs * timing.measured(made, data, recipe, clock).epoch(data)
    return Completed(recipe, made, {key: choice.reason for key, choice in choices.items()}, seconds)


def _work(network: Network, recipe: Recipe) -> int:
    """Return the multiply-adds of a training step per image; stored features are computed once, not in each step."""
    if engines.stores_features(network, recipe):
        return network.after(network.frozen_end).step_multiply_adds
    return network.step_multiply_adds


def _with(recipe: Recipe, choices: dict[str, Choice]) -> Recipe:
    values: dict[str, Any] = {key: choice.value for key, choice in choices.items()}
    return dataclasses.replace(recipe, **values)


def _silent(text: str) -> None:
    del text
