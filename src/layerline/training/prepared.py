"""TRAIN: a training run that is ready to start, and the only place where it is put together."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

from layerline import engines
from layerline.data.checking.doctor import examined
from layerline.engines.agreement import check_images, check_trained, checked
from layerline.engines.memory_check import check_memory
from layerline.engines.ranks import ALONE
from layerline.errors import DataError
from layerline.network.pretrained.backbones import BACKBONES
from layerline.runs.checkpoint import Identity
from layerline.runs.record import Record
from layerline.training.agreement_of_ranks import check_batch, check_same, recipe_of_first
from layerline.training.automatic import complete
from layerline.training.model import card_of, preprocessing_of
from layerline.training.warm_start import started

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine
    from layerline.engines.placement import Placement
    from layerline.engines.ranks import Ranks
    from layerline.experiment.experiment import Experiment
    from layerline.network import Network
    from layerline.network.start import Start
    from layerline.recipe import Recipe
    from layerline.runs.checkpoint import Snapshot
    from layerline.runs.model_file import Card, Preprocessing
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
    start: Start | None = None
    """Weights of an earlier training that the engine has got; None: drawn by the recipe's seed."""
    resumed: Snapshot | None = None
    """Where to resume; None: from the start, with the engine's initial weights."""
    tried: Snapshot | None = None
    """The end of this training if it was run as a trial, before it had a folder; see `trials`."""
    threads: int | None = None
    """The requested number; None: all cores."""
    placement: Placement | None = None
    """The requested device and precision of the torch engine; None: automatic."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Key of the recipe → reason of the automatic choice."""
    seconds: float | None = None
    """Estimated duration of the training, if it was measured because it is long."""
    experiment: Experiment | None = None
    """What was requested; None for a training run from Python with data in memory, whose path is not known."""
    baselines: Baselines | None = None
    """The baselines, if they were computed before the training."""

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """Return how the model's images are to be prepared: as the data's were."""
        return preprocessing_of(self.data)

    @property
    def card(self) -> Card:
        """Return everything that its model file will have except the weights."""
        return card_of(self.network, self.data.classes, self.data.scaling, self.preprocessing)

    @property
    def identity(self) -> Identity:
        """Return everything that its results depend on."""
        return Identity.of(self.network, self.data, self.recipe, self.engine, self.start)

    def record(self, folder: Path) -> Record:
        """Return its experiment.toml, for `folder`."""
        parts = (self.network, self.data, self.recipe, self.engine, self.experiment)
        return Record.of(*parts, folder, self.reasons, self.start)

    def with_seed(self, seed: int) -> Prepared:
        """Return the same training with another seed on the same splits. Raises UserError if memory is too small."""
        if seed == self.recipe.seed:
            return self
        return self._other(recipe=dataclasses.replace(self.recipe, seed=seed))

    def with_data(self, data: Dataset, experiment: Experiment | None) -> Prepared:
        """Return the same training on other splits of the same images. Raises UserError if memory is too small."""
        return self._other(data=data, experiment=experiment, baselines=None)

    def _other(self, **changed: Any) -> Prepared:
        other = dataclasses.replace(self, **changed, tried=None)
        parts = (other.network, other.data.scaling, other.recipe, other.threads)
        engine = engines.make(self.engine.name, *parts, placement=self.placement, start=self.start)
        check_memory(engine, other.data, other.recipe)
        return dataclasses.replace(other, engine=engine)


def prepare(
    network: Network,
    data: Dataset,
    recipe: Recipe,
    *,
    given: Collection[str] | None = None,
    engine: str = "compiled",
    threads: int | None = None,
    placement: Placement | None = None,
    start: Start | None = None,
    allow: Collection[str] | None = None,
    experiment: Experiment | None = None,
    say: Callable[[str], None] | None = None,
    ranks: Ranks = ALONE,
) -> Prepared:
    """Return a training run that is ready to start. Raises UserError if network, data, recipe and engine do not match.

    given: keys of the recipe that were specified; all others are chosen or measured; None: the recipe is complete.
    start: weights of an earlier training to start from; None: those of the network, else drawn by the recipe's seed.
    allow: check the data and accept these kinds of findings; None: do not check it, for example because it was checked
    when it was loaded. say: called with a description of each stage. ranks: the processes that train together; it is
    checked that all were given the same.
    """
    check_images(network, data)  # while it is known where the network is from
    check_trained(network)
    start = start or network.start
    network = dataclasses.replace(network, start=None).with_backbone(0 if start is None else start.backbone(network))
    _check_frozen(network, start)
    _check_scaling(start, data)
    if allow is not None:
        data = examined(data, allow)
    chosen = None
    if given is not None:
        choose = functools.partial(complete, engine=engine, threads=threads, placement=placement, start=start, say=say)
        chosen = choose(network, data, recipe, given)
        recipe = recipe_of_first(chosen.recipe, given, ranks)
    if chosen is not None and ranks.size == 1:
        made = chosen.engine
    else:
        checked(network, data, recipe)
        check_batch(recipe, ranks)
        make = functools.partial(engines.make, placement=placement, start=start, ranks=ranks)
        made = make(engine, network, data.scaling, recipe, threads)
        check_memory(made, data, recipe)
    prepared = Prepared(
        *(network, data, recipe, made),
        threads=threads,
        placement=placement,
        start=start,
        reasons={} if chosen is None else chosen.reasons,
        seconds=None if chosen is None else chosen.seconds,
        experiment=experiment,
    )
    check_same(prepared)
    return prepared


def _check_frozen(network: Network, start: Start | None) -> None:
    """Raise NetworkError if frozen layers would keep random weights."""
    fresh = network.nodes if start is None else start.fresh(network)
    first = next((node for node in fresh if node.frozen_parameters), None)
    if first is not None:
        raise network.refusal(
            first,
            "this layer is frozen, so it would keep its random weights",
            f"add --start-from with a run, a model file or a pretrained network ({', '.join(BACKBONES)})"
            if start is None
            else f"{start.text} has no weights for it: move the `End` of the Freeze to before line {first.line}",
        )


def _check_scaling(start: Start | None, data: Dataset) -> None:
    """Raise DataError if images are normalized before pretrained layers, which have their own preprocessing."""
    if start is not None and start.title is not None and any(data.scaling.shift):
        raise DataError(
            f"--normalize standard: the network has the preprocessing of {start.title}, for pixels from 0 to 1",
            "omit --normalize",
        )


def prepare_experiment(
    experiment: Experiment,
    network: Network,
    data: Dataset,
    say: Callable[[str], None] | None = None,
    start: Start | None = None,
    ranks: Ranks = ALONE,
) -> Prepared:
    """Return the training of an experiment: exactly that of a file, or with automatic choices for the rest.

    start: if it is known already; otherwise it is read from the experiment's `start_from`. ranks: as for `prepare`.
    """
    if start is None and experiment.start_from is not None:
        start = started(experiment.start_from, network, data)
    return prepare(
        *(network, data, experiment.recipe),
        given=None if experiment.exact else experiment.given,
        engine=experiment.engine,
        threads=experiment.threads,
        placement=experiment.placement,
        start=start,
        experiment=experiment,
        say=say,
        ranks=ranks,
    )
