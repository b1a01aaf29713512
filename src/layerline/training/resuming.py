"""TRAIN: going on with a run that was stopped or killed, in its own folder, to the bits it would have had."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.engines.interface import Running
from layerline.errors import DataError, UserError
from layerline.experiment.experiment import settle
from layerline.network import find, parse
from layerline.runs.checkpoint import Checkpoints, Snapshot
from layerline.runs.folder import RunFolder
from layerline.runs.names import CHECKPOINTS, ENDING, EXPERIMENT, GRAPHS, NETWORK, REPORT, RESULT
from layerline.runs.record import Record
from layerline.training.prepared import prepare_experiment
from layerline.training.session import run
from layerline.training.watch import Watcher

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine
    from layerline.experiment.experiment import Experiment
    from layerline.runs.checkpoint import Identity, Latest
    from layerline.training.interrupt import Interrupt
    from layerline.training.prepared import Prepared
    from layerline.training.run import Run

MOST_DIFFERENCES: Final = 10
_ANEW: Final = "the file was changed: remove it to go on from the one before, or train again"


@final
@dataclass(frozen=True, eq=False)
class Reopened:
    """A run that can go on. Its folder is locked until `go_on` ends, or `folder.release`."""

    folder: RunFolder
    prepared: Prepared
    notes: tuple[str, ...]
    """What was found damaged, and is not used."""

    def go_on(self, watcher: Watcher, interrupt: Interrupt | None = None, **options: Any) -> Run:
        """Train the rest and write the files of the run; see `session.run`."""
        return run(self.prepared, self.folder, watcher, interrupt, **options)


def reopen(
    path: Path,
    flags: Mapping[str, Any],
    net: str | None = None,
    load: Callable[[Experiment], Dataset] | None = None,
) -> Reopened:
    """Return the run in the folder `path` as it was at its newest checkpoint that is whole.

    flags, net: what the user asks for again, which must be what the run has; threads, and where the data lies, may be
    others. load: gives the data of an experiment. Raises UserError where it is no run, has come to its end, another
    process is at it, or network, data, recipe or engine are not its own: with the differences.
    """
    folder = RunFolder.existing(path)
    try:
        with folder.named_as_given():
            return _reopened(folder, flags, net, load)
    except BaseException:
        folder.release()
        raise


def _reopened(
    folder: RunFolder, flags: Mapping[str, Any], net: str | None, load: Callable[[Experiment], Dataset] | None
) -> Reopened:
    path = folder.path
    drawn = all((path / name).exists() for name in (RESULT, REPORT, f"{GRAPHS[0]}.png"))
    if drawn and not (path / ENDING).exists():
        raise UserError(f"{path}: the run has come to its end", f"train it again: layerline rerun {path}")
    if not (path / NETWORK).exists():
        raise UserError(f"{path}: the run was stopped before it began", "start it again with --force")
    found = Checkpoints(path / CHECKPOINTS).latest()
    prepared = rebuilt(folder.given, flags, net, load)
    _check_same(path, prepared.identity, found)
    if found is not None:
        _check_fits(found, prepared)
        Checkpoints(path / CHECKPOINTS).set_aside(found)
    snapshot = _first(prepared.engine, len(prepared.data.classes)) if found is None else found.snapshot
    prepared = dataclasses.replace(prepared, start=snapshot)
    return Reopened(folder, prepared, () if found is None else tuple(map(folder.words, found.damaged)))


def rebuilt(
    path: Path,
    flags: Mapping[str, Any],
    net: str | None = None,
    load: Callable[[Experiment], Dataset] | None = None,
) -> Prepared:
    """Return what the run in `path` trains, made anew from its files; see `reopen`. Raises UserError."""
    experiment = settle(str(path / EXPERIMENT), flags)
    data = _loaded(experiment, load)
    text = experiment.text if net is None else find(net)[1]
    name = Record.read(path / EXPERIMENT).about.network.name or "network"
    network = parse(text, name=name, input_shape=data.shape, classes=len(data.classes))
    return prepare_experiment(experiment, network, data)


def _loaded(experiment: Experiment, load: Callable[[Experiment], Dataset] | None) -> Dataset:
    """Return the data of a run. Raises DataError."""
    try:
        return experiment.load() if load is None else load(experiment)
    except DataError as error:
        elsewhere = "if the data lies elsewhere now, add --data PATH or --data-dir DIR"
        raise DataError(error.message, elsewhere if error.help is None else f"{error.help}; {elsewhere}") from error


def _check_same(path: Path, identity: Identity, found: Latest | None) -> None:
    """Raise UserError where what would go on is not what was begun."""
    if found is not None:
        differences = identity.differences(found.identity)
    else:
        before = Record.read(path / EXPERIMENT).about.data.fingerprint
        differences = [] if before == identity.data["fingerprint"] else ["data: another content than the run's"]
    if differences:
        raise UserError(
            f"{path}: cannot go on, for this is not the run that was begun:\n    "
            + "\n    ".join(differences[:MOST_DIFFERENCES]),
            "leave out what differs; or begin a run of its own: layerline train "
            f"{path / EXPERIMENT} with what is to be different",
        )


def _check_fits(found: Latest, prepared: Prepared) -> None:
    """Raise UserError where the newest checkpoint is not what this network, engine and data can go on from."""
    kept, like = found.snapshot, prepared.engine.state()
    parts = (
        ("weights", kept.state.weights, like.weights),
        ("optimizer's tensors", kept.state.optimizer, like.optimizer),
        ("best weights", kept.best, like.weights),
        ("last weights", kept.last, like.weights),
    )
    for name, given, known in parts:
        if given is not None and _forms(given) != _forms(known):
            raise UserError(f"{found.path}: its {name} are not those of this network and recipe", _ANEW)
    if kept.step >= max(1, prepared.recipe.steps(len(prepared.data.train))):
        raise UserError(f"{found.path}: it is after step {kept.step:,d} of an epoch that has fewer", _ANEW)


def _forms(arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (array.shape, array.dtype.name) for name, array in arrays.items()}


def _first(engine: Engine, classes: int) -> Snapshot:
    """Return the snapshot of a training that has not begun."""
    return Snapshot((), 0, engine.state(), None, None, Running(0.0, np.zeros((3, classes), np.int64)))


def resume(
    folder: str | os.PathLike[str],
    data: Dataset | None = None,
    *,
    threads: int | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Go on with the run in `folder` that was stopped or killed, and return it as `train` would have.

    The weights, the optimizer's tensors and the history become, bit for bit, those of a training that was never
    stopped, with any number of `threads`. data: where the run's experiment.toml does not say where it lies, as for a
    training from Python. Raises UserError where network, data, recipe or engine are not the run's own.
    """
    flags = {} if threads is None else {"threads": threads}
    return reopen(Path(folder), flags, load=None if data is None else lambda _: data).go_on(watcher or Watcher())
