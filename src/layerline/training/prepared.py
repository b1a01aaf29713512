"""TRAIN: a training that is ready to start, and the only place where it is put together."""

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
    """A network, data, recipe and engine: checked, complete, and ready to train."""

    network: Network
    data: Dataset
    recipe: Recipe
    engine: Engine
    """Made for these three."""
    start: Snapshot | None = None
    """Where to resume; None: from the start, with the engine's initial weights, drawn by the recipe's seed."""
    threads: int | None = None
    """The requested number; None: all cores."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Key of the recipe → reason of the automatic choice."""
    seconds: float | None = None
    """Estimated duration of the training, if it was measured because it is long."""
    experiment: Experiment | None = None
    """What was requested; None for a training from Python with data in memory, whose path is not known."""
    baselines: Baselines | None = None
    """The baselines, if they were computed before the training."""

    @property
    def identity(self) -> Identity:
        """Return everything that its results depend on."""
        return Identity.of(self.network, self.data, self.recipe, self.engine)

    def record(self, folder: Path) -> Record:
        """Return its experiment.toml, for `folder`."""
        return Record.of(self.network, self.data, self.recipe, self.engine, self.experiment, folder, self.reasons)

    def with_seed(self, seed: int) -> Prepared:
        """Return the same training with another seed on the same splits. Raises UserError if memory is too small."""
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
    """Return a training that is ready to start. Raises UserError if network, data, recipe and engine do not match.

    given: keys of the recipe that were specified; all others are chosen or measured; None: the recipe is complete.
    allow: check the data and accept these kinds of findings; None: do not check it, for example because it was checked
    when it was loaded. say: called with a description of each stage.
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
    """Return the training of an experiment: exactly that of a file, or with automatic choices for the rest."""
    return prepare(
        *(network, data, experiment.recipe),
        given=None if experiment.exact else experiment.given,
        engine=experiment.engine,
        threads=experiment.threads,
        experiment=experiment,
        say=say,
    )
