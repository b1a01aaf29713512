"""TRAIN: a training that can begin, and the one place where it is put together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from layerline import engines
from layerline.data.checking.doctor import examined
from layerline.engines.agreement import checked
from layerline.engines.memory_check import check_memory
from layerline.runs.checkpoint import Identity
from layerline.runs.record import Record
from layerline.training.automatic import complete

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine
    from layerline.experiment.experiment import Experiment
    from layerline.network import Network
    from layerline.recipe import Recipe
    from layerline.runs.checkpoint import Snapshot
    from layerline.runs.result import Baselines


@final
@dataclass(frozen=True, eq=False)
class Prepared:
    """What is trained, on what, how and by what: checked, with nothing left to choose."""

    network: Network
    data: Dataset
    recipe: Recipe
    engine: Engine
    """Made for these three."""
    start: Snapshot | None = None
    """Where it goes on; None: at its beginning, with the weights of the engine, which the recipe's seed draws."""
    threads: int | None = None
    """As many as were asked for; None: every core."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Key of the recipe → why its value was chosen, where nobody gave it."""
    seconds: float | None = None
    """How long the training will take, where that was measured: it takes long."""
    experiment: Experiment | None = None
    """What was asked for; None for a training from Python, of whose data nobody knows where it lies."""
    beside: Baselines | None = None
    """The baselines, where they were measured before the training."""

    @property
    def identity(self) -> Identity:
        """Return what its bits depend on."""
        return Identity.of(self.network, self.data, self.recipe, self.engine)

    def record(self, folder: Path) -> Record:
        """Return what experiment.toml says of it, in `folder`."""
        return Record.of(self.network, self.data, self.recipe, self.engine, self.experiment, folder, self.reasons)

    def with_seed(self, seed: int) -> Prepared:
        """Return the same with another seed, on data that are cut alike. Raises UserError where memory is short."""
        if seed == self.recipe.seed:
            return self
        recipe = dataclasses.replace(self.recipe, seed=seed)
        engine = engines.make(self.engine.name, self.network, self.data.scaling, recipe, self.threads)
        check_memory(engine, self.data, recipe)
        return dataclasses.replace(self, recipe=recipe, engine=engine)


def prepare(
    network: Network,
    data: Dataset,
    recipe: Recipe,
    *,
    given: Collection[str] | None = None,
    engine: str = "compiled",
    threads: int | None = None,
    allow: Collection[str] | None = None,
    experiment: Experiment | None = None,
    say: Callable[[str], None] | None = None,
) -> Prepared:
    """Return a training that can begin. Raises UserError where network, data, recipe and engine do not go together.

    given: keys of the recipe that were asked for, all others being chosen or measured; None: it is taken as it is.
    allow: the data is examined, and these kinds of findings are let pass; None: it was examined when it was loaded, or
    is not to be. say: is told what is being tried.
    """
    if allow is not None:
        data = examined(data, allow)
    if given is not None:
        found = complete(network, data, recipe, given, engine=engine, threads=threads, say=say)
        return Prepared(
            *(network, data, found.recipe, found.engine),
            threads=threads,
            reasons=found.reasons,
            seconds=found.seconds,
            experiment=experiment,
        )
    checked(network, data, recipe)
    made = engines.make(engine, network, data.scaling, recipe, threads)
    check_memory(made, data, recipe)
    return Prepared(network, data, recipe, made, threads=threads, experiment=experiment)


def prepare_experiment(
    experiment: Experiment, network: Network, data: Dataset, say: Callable[[str], None] | None = None
) -> Prepared:
    """Return the training of an experiment: of a file as it is, else with choices for what was not given."""
    return prepare(
        *(network, data, experiment.recipe),
        given=None if experiment.exact else experiment.given,
        engine=experiment.engine,
        threads=experiment.threads,
        experiment=experiment,
        say=say,
    )
