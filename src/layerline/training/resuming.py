"""TRAIN: resuming a stopped or killed run in its folder, bit-identically."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.engines.interface import Running
from layerline.engines.ranks import ALONE
from layerline.errors import DataError, UserError
from layerline.errors.wrong_calls import answered
from layerline.experiment.experiment import settle
from layerline.network import find, parse
from layerline.runs.checkpoint import Checkpoints, Snapshot
from layerline.runs.folder import RunFolder
from layerline.runs.names import CHECKPOINTS, ENDING, EXPERIMENT, GRAPHS, NETWORK, REPORT, RESULT
from layerline.runs.record import Record
from layerline.training import warm_start
from layerline.training.agreement_of_ranks import check_same_place
from layerline.training.prepared import prepare_experiment
from layerline.training.session import run
from layerline.training.watch import Watcher

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine
    from layerline.engines.ranks import Ranks
    from layerline.experiment.experiment import Experiment
    from layerline.runs.checkpoint import Identity, Latest
    from layerline.training.interrupt import Interrupt
    from layerline.training.prepared import Prepared
    from layerline.training.run import Run

MOST_DIFFERENCES: Final = 10
_MODIFIED: Final = "the file was modified: remove it to resume from the previous one, or train again"


@final
@dataclass(frozen=True, eq=False)
class Reopened:
    """A run that is ready to be resumed. Its folder is locked until `go_on` returns, or `folder.release`."""

    folder: RunFolder
    prepared: Prepared
    notes: tuple[str, ...]
    """Messages about damaged checkpoints, which are not used."""

    def go_on(self, watcher: Watcher, interrupt: Interrupt | None = None, **options: Any) -> Run:
        """Train the remaining epochs and write the files of the run; see `session.run`."""
        return run(self.prepared, self.folder, watcher, interrupt, **options)


def reopen(
    path: Path,
    flags: Mapping[str, Any],
    net: str | None = None,
    load: Callable[[Experiment], Dataset] | None = None,
    ranks: Ranks = ALONE,
) -> Reopened:
    """Return the run in the folder `path` at its newest intact checkpoint.

    flags, net: repeated options, which must match the run; only threads and the location of the data may change.
    load: loads the data of an experiment. ranks: the processes that train together, of which this is rank 0.
    Raises UserError if it is not a run, has finished, or is in use by another
    process, or if network, data, recipe or engine are different, with the differences.
    """
    folder = RunFolder.existing(path)
    try:
        with folder.named_as_given():
            return _reopened(folder, flags, net, load, ranks)
    except BaseException:
        folder.release()
        raise


def followed(
    path: Path,
    flags: Mapping[str, Any],
    net: str | None,
    load: Callable[[Experiment], Dataset] | None,
    ranks: Ranks,
) -> Prepared:
    """Return what rank 0 reopens, on another rank: the same run, of which it only reads. Raises UserError."""
    found = Checkpoints(path / CHECKPOINTS).newest()
    prepared = rebuilt(path, flags, net, load, weights=found is None, ranks=ranks)
    snapshot = _first(prepared.engine, len(prepared.data.classes)) if found is None else found.snapshot
    check_same_place(snapshot, ranks)
    return dataclasses.replace(prepared, resumed=snapshot)


def _reopened(
    folder: RunFolder,
    flags: Mapping[str, Any],
    net: str | None,
    load: Callable[[Experiment], Dataset] | None,
    ranks: Ranks,
) -> Reopened:
    path = folder.path
    drawn = all((path / name).exists() for name in (RESULT, REPORT, f"{GRAPHS[0]}.png"))
    if drawn and not (path / ENDING).exists():
        raise UserError(
            f"{path}: the run has finished",
            f"to train it further: layerline train {path} --epochs N; to repeat it: layerline rerun {path}",
        )
    if not (path / NETWORK).exists():
        raise UserError(f"{path}: the run was stopped before it started", "start it again with --force")
    found = Checkpoints(path / CHECKPOINTS).latest()
    prepared = rebuilt(folder.given, flags, net, load, weights=found is None, ranks=ranks)
    _check_same(path, prepared.identity, found)
    if found is not None:
        _check_fits(found, prepared)
        Checkpoints(path / CHECKPOINTS).set_aside(found)
    snapshot = _first(prepared.engine, len(prepared.data.classes)) if found is None else found.snapshot
    check_same_place(snapshot, ranks)
    prepared = dataclasses.replace(prepared, resumed=snapshot)
    return Reopened(folder, prepared, () if found is None else tuple(map(folder.reworded, found.damaged)))


def rebuilt(
    path: Path,
    flags: Mapping[str, Any],
    net: str | None = None,
    load: Callable[[Experiment], Dataset] | None = None,
    *,
    weights: bool = True,
    ranks: Ranks = ALONE,
) -> Prepared:
    """Return the training of the run in `path`, rebuilt from its files; see `reopen`. Raises UserError.

    weights: whether the weights of a warm start are needed; if not, their digest is that of the run's record.
    """
    experiment, about = settle(str(path / EXPERIMENT), flags), Record.read(path / EXPERIMENT).about
    if weights and about.start.digest is not None and experiment.start_from is None:
        raise UserError(
            f"{path}: started from a model in memory, which is in no file",
            "in Python: layerline.train(…, start_from=model), or with the network of from_torch",
        )
    data = _loaded(experiment, load)
    text = experiment.text if net is None else find(net)[1]
    network = parse(text, name=about.network.name or "network", input_shape=data.shape, classes=len(data.classes))
    known = None
    if not weights and about.start.digest is not None:
        known = warm_start.resumed(experiment.start_from, about.start, network)
    prepared = prepare_experiment(experiment, network, data, start=known, ranks=ranks)
    if prepared.start is not None and about.start.digest not in (None, prepared.start.digest):
        raise UserError(
            f"{path}: the weights that it started from have changed: those of {prepared.start.source} are now "
            f"{prepared.start.digest[:12]}… (SHA-256), were {str(about.start.digest)[:12]}…",
            f"restore them, or start a new run with the present ones: layerline train {path / EXPERIMENT}",
        )
    return prepared


def _loaded(experiment: Experiment, load: Callable[[Experiment], Dataset] | None) -> Dataset:
    """Return the data of a run. Raises DataError."""
    try:
        return experiment.load() if load is None else load(experiment)
    except DataError as error:
        elsewhere = "if the data has moved, add --data PATH or --data-dir DIR"
        raise DataError(error.message, elsewhere if error.help is None else f"{error.help}; {elsewhere}") from error


def _check_same(path: Path, identity: Identity, found: Latest | None) -> None:
    """Raise UserError if the training to resume is not the one that was started."""
    if found is not None:
        differences = identity.differences(found.identity)
    else:
        before = Record.read(path / EXPERIMENT).about.data.fingerprint
        differences = [] if before == identity.data["fingerprint"] else ["data: its content is not the run's"]
    if differences:
        raise UserError(
            f"{path}: cannot resume with different settings:\n    " + "\n    ".join(differences[:MOST_DIFFERENCES]),
            f"omit the options that differ, or start a new run: layerline train {path / EXPERIMENT} with the options "
            "to change",
        )


def _check_fits(found: Latest, prepared: Prepared) -> None:
    """Raise UserError if the newest checkpoint does not match this network, engine and data."""
    snapshot, like = found.snapshot, prepared.engine.state()
    parts = (
        ("weights", snapshot.state.weights, like.weights),
        ("optimizer tensors", snapshot.state.optimizer, like.optimizer),
        ("best weights", snapshot.best, like.weights),
        ("last weights", snapshot.last, like.weights),
    )
    for name, given, known in parts:
        if given is not None and _types(given) != _types(known):
            raise UserError(f"{found.path}: its {name} do not match this network and recipe", _MODIFIED)
    steps = prepared.recipe.steps(len(prepared.data.train))
    if snapshot.step >= max(1, steps):
        raise UserError(
            f"{found.path} is at step {snapshot.step:,d}, but an epoch has only {steps:,d} steps", _MODIFIED
        )


def _types(arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (array.shape, array.dtype.name) for name, array in arrays.items()}


def _first(engine: Engine, classes: int) -> Snapshot:
    """Return the snapshot of a training run that has not started."""
    return Snapshot((), 0, engine.state(), None, None, Running(0.0, np.zeros((3, classes), np.int64)))


@answered('resume("runs/lenet5-mnist-1")')
def resume(
    folder: str | os.PathLike[str],
    data: Dataset | None = None,
    *,
    threads: int | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Resume the stopped or killed run in `folder`, and return the run as `train` would have.

    Weights, optimizer state and history are bit-identical to those of an uninterrupted training, with any number of
    `threads`. data: needed if the run's experiment.toml has no path of the data, as for data in memory. Raises
    UserError if network, data, recipe or engine are not the run's.
    """
    flags = {} if threads is None else {"threads": threads}
    return reopen(Path(folder), flags, load=None if data is None else lambda _: data).go_on(watcher or Watcher())
