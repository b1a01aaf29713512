"""A recipe for a network and a data set: what was given stays, the rest is chosen or measured."""

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
    from layerline.network import Network
    from layerline.recipe import Recipe
    from layerline.training.automatic.choice import Choice


LONG: Final = 2e12
"""Multiply-adds from which on it is worth a second to say how long a training will take: half a minute on two cores."""


@dataclass(frozen=True)
class Completed:
    """A recipe that is whole, the engine that was made for it, and why its values are what they are."""

    recipe: Recipe
    engine: Engine
    reasons: dict[str, str] = field(default_factory=dict)
    """Key of the recipe → reason, for every value that was neither given nor a plain default."""
    seconds: float | None = None
    """How long the training will take, where that was measured: it takes long."""


def complete(
    network: Network,
    data: Dataset,
    recipe: Recipe,
    given: Collection[str],
    *,
    engine: str = "compiled",
    threads: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
    say: Callable[[str], None] | None = None,
) -> Completed:
    """Return the recipe, a value chosen where none was given: by rules, and the rate by a test of several.

    given: keys of the recipe that were asked for. say: is told what is being tried. The engine's weights are those
    that training starts with. Raises UserError where what was given does not go with the network, the data or itself.
    """
    say = say or _silent
    choices = choose(Facts.of(network, data), recipe, given)
    recipe = _with(recipe, choices)
    if "epochs" not in given:
        recipe = dataclasses.replace(recipe, epochs=epochs.fewest(recipe))
    checked(network, data, recipe)
    made = engines.make(engine, network, data.scaling, recipe, threads)
    check_memory(made, data, recipe)
    if "learning_rate" not in given or ("epochs" not in given and recipe.within is None):
        say("compiling")  # of a thousand layers it takes a minute
        made.prepare(data.train.source)
    if "learning_rate" not in given:
        say("trying learning rates")
        choices["learning_rate"] = learning_rate.choose(made, data, recipe, network.multiply_adds)
        recipe = _with(recipe, choices)
    if "epochs" not in given and recipe.within is None:
        choices["epochs"] = epochs.choose(recipe, len(data.train), network.multiply_adds)
        recipe = _with(recipe, choices)
    seconds = None
    if recipe.within is None and 3 * network.multiply_adds * len(data.train) * recipe.epochs > LONG:
        say("measuring how long an epoch takes")
        seconds = recipe.epochs * timing.measured(made, data, recipe, clock).epoch(data)
    return Completed(recipe, made, {key: choice.reason for key, choice in choices.items()}, seconds)


def _with(recipe: Recipe, choices: dict[str, Choice]) -> Recipe:
    values: dict[str, Any] = {key: choice.value for key, choice in choices.items()}
    return dataclasses.replace(recipe, **values)


def _silent(text: str) -> None:
    del text
