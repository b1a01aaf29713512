"""TRAIN: the training that a call in Python describes, `train(network, data, …)` or `train_seeds(…)`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from layerline.experiment.experiment import ALLOW, Experiment
from layerline.training import by_name, warm_start
from layerline.training.feature_trials import chosen, suits
from layerline.training.prepared import prepare
from layerline.training.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from layerline.data.dataset import Dataset
    from layerline.engines.placement import Placement
    from layerline.network.pretrained import Pretrained
    from layerline.recipe import Recipe
    from layerline.training.interrupt import Interrupt
    from layerline.training.model import Model
    from layerline.training.prepared import Prepared
    from layerline.training.run import Run
    from layerline.training.watch import Progress


@final
@dataclass(frozen=True, eq=False)
class TrainCall:
    """The arguments of a call."""

    function: str
    """For messages: train or train_seeds."""
    network: Any
    data: Any
    recipe: Recipe | None
    """The one that was passed, which is complete; None: what `options` does not have is chosen."""
    options: Mapping[str, Any]
    requested: Recipe
    """With the options."""
    engine: str
    threads: int | None
    placement: Placement
    allow: Collection[str]
    start_from: str | os.PathLike[str] | Model | Run | None = None
    tries: bool = True
    """Whether networks may be tried; not if epochs are reported while they run, of which only some would count."""

    def prepared(self, watcher: Watcher, interrupt: Interrupt) -> Prepared:
        """Return the training. Without a network, photos get pretrained features and a network from scratch, as on the
        command line, and `watcher` the progress of both. Raises UserError."""
        seed = self.requested.seed
        network, data, experiment = by_name.both_of(
            *(self.network, self.data, self.recipe, seed, self.allow), self.function
        )

        def scratch() -> Prepared:
            start = None if self.start_from is None else warm_start.started(self.start_from, network, data)
            return self._prepare(network, data, experiment, start=start, allow=self.allow)

        def features(found: Pretrained) -> Callable[[], Prepared]:
            other = self._open(data).with_features_of(found.name)
            images = data if experiment is None else other.load()
            examined = self.allow if experiment is None else None
            read = other.network(images)
            start = warm_start.pretrained_start(found, read)
            written = None if experiment is None else other
            return lambda: self._prepare(read, images, written, start=start, allow=examined)

        if self._tries(data):
            return chosen(scratch, features, lambda _: _Progress(watcher), interrupt)
        return scratch()

    def _prepare(self, network: Any, data: Dataset, experiment: Experiment | None, **more: Any) -> Prepared:
        return prepare(
            *(network, data, self.requested),
            given=self.options if self.recipe is None else None,
            engine=self.engine,
            threads=self.threads,
            placement=self.placement,
            experiment=experiment,
            **more,
        )

    def _tries(self, data: Dataset) -> bool:
        """Return whether the network is to be chosen for photos, with nothing that suits only one of the networks."""
        given = self.network is not None or self.recipe is not None or self.start_from is not None
        free = self.tries and not given and self.engine == "compiled"
        ready = isinstance(self.data, str | os.PathLike) or (data.shape[0] == 3 and not any(data.scaling.shift))
        return free and ready and suits(self._open(data), data)

    def _open(self, data: Dataset) -> Experiment:
        """Return the experiment without a network. Data in memory keeps its size."""
        cuts: dict[str, Any] = {ALLOW: tuple(self.allow)} if self.allow else {}
        source = os.fspath(self.data) if isinstance(self.data, str | os.PathLike) else ""
        if not source:
            cuts["size"] = "x".join(map(str, data.shape[1:]))
        parts = (self.requested, self.engine, self.threads, self.placement, None, frozenset(self.options))
        return Experiment(None, "", source, cuts, *parts)


@final
class _Progress(Watcher):
    """Forwards the progress of a trial, but not its epochs, of which only those of the better network count."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def progress(self, progress: Progress) -> None:
        self._watcher.progress(progress)
