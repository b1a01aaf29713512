"""TRAIN: a warm start: a new training with the weights of an earlier one, for the same layers, images and classes."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline.errors import DataError, NetworkError, UserError
from layerline.experiment import toml_file
from layerline.experiment.experiment import settle
from layerline.network.start import Start, digest
from layerline.numbers import display
from layerline.runs import history
from layerline.runs.folder import is_run
from layerline.runs.names import ENDING, EXPERIMENT, HISTORY, NETWORK, RESULT
from layerline.runs.record import Record
from layerline.training import run_of_model
from layerline.training.model import Model
from layerline.training.run import Run
from layerline.training.stored import stored

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from layerline.data.dataset import Dataset
    from layerline.experiment.experiment import Experiment
    from layerline.network import Network

_NAMED: Final = 5
_FLAG: Final = "--start-from"


def started(given: str | os.PathLike[str] | Model | Run, network: Network, data: Dataset) -> Start:
    """Return the start with the weights of a run or model, in memory or on disk.

    Raises UserError if it cannot be read, or has other classes, images or layers, with what differs.
    """
    model, source, epoch = _found(given)
    name = f"{_FLAG} {display.name(source or 'a model in memory', 200)}"
    _check_classes(name, model.classes, data)
    _check_layers(name, source, model.network, network)
    return Start(digest(model.weights), model.weights, source, epoch)


def _found(given: str | os.PathLike[str] | Model | Run) -> tuple[Model, str | None, int | None]:
    """Return the model, its place as typed, and the epoch that its weights are from, if known. Raises UserError."""
    if isinstance(given, Model):
        return given, None, None
    if isinstance(given, Run):
        return given.model, None if given.folder is None else str(given.folder), given.model_epoch
    found = stored(Path(given))
    return found.model, str(given), found.unfinished or _epoch(Path(given))


def further(run: Path, flags: Mapping[str, Any]) -> Experiment:
    """Return the experiment that trains a finished run further: its network, data and recipe, from its weights.

    The splits stay as they are, also with another seed. Raises UserError if the run did not finish.
    """
    written = toml_file.read(run / EXPERIMENT).values
    if not (run / RESULT).exists() or (run / ENDING).exists():
        net, data, folder = (shlex.quote(str(each)) for each in (run / NETWORK, written.get("data", "DATA"), run))
        anew = f"layerline train {net} --data {data} {_FLAG} {folder} starts a new run with its best weights so far"
        raise UserError(
            f"{run}: the run did not finish, so there are two ways to train it further",
            f"layerline train --resume {folder} finishes it; {anew}",
        )
    splits = {"split_seed": written.get("seed", 0)} if "seed" in flags and "split_seed" not in written else {}
    experiment = settle(str(run / EXPERIMENT), {"start_from": str(run), **splits, **flags})
    name = Record.read(run / EXPERIMENT).about.network.name
    return experiment if name is None else dataclasses.replace(experiment, file=name)


def leak(start: Start, data: Dataset) -> str | None:
    """Return a remark if the weights may have been trained on images of this test set, else None."""
    if start.source is None or data.test is None or "test" not in data.cuts:
        return None
    count = run_of_model.seen(run_of_model.find(Path(start.source)), data, [("test", data.test)])
    if count is None:
        return (
            f"It is unknown whether the weights of {start.source} were trained on images of this test set: if they "
            "were, its scores are too high."
        )
    total = display.count(len(data.test))
    few = f"{display.count(count)} of the {total} test images were not held out when the weights of {start.source} "
    return f"{few}were trained: the test scores are too high." if count else None


def _epoch(path: Path) -> int | None:
    """Return the epoch that the model of a run is from; None for a model file outside of a run folder."""
    folder = path if path.is_dir() else path.parent
    if not is_run(folder) or not (folder / HISTORY).exists():
        return None
    best = history.best(history.read(folder / HISTORY))
    return None if best is None else best.epoch


def _check_classes(name: str, classes: tuple[str, ...], data: Dataset) -> None:
    if classes == data.classes:
        return
    more = [each for each in classes if each not in data.classes]
    missing = [each for each in data.classes if each not in classes]
    parts = [f"the weights have {_listed(more)}"] * bool(more) + [f"the data has {_listed(missing)}"] * bool(missing)
    raise DataError(
        f"{name}: its classes are not those of the data: {', '.join(parts) or 'their order differs'}",
        f"train on the same classes, or omit {_FLAG}: weights for other classes are not supported yet",
    )


def _listed(names: list[str]) -> str:
    some = ", ".join(display.name(name, 20) for name in names[:_NAMED])
    return f"{some} and {len(names) - _NAMED} more" if len(names) > _NAMED else some


def _check_layers(name: str, source: str | None, theirs: Network, ours: Network) -> None:
    """Raise an error if the weights are those of another network, by name, shape or input."""
    if theirs.input_shape != ours.input_shape:
        C, H, W = theirs.input_shape
        raise DataError(
            f"{name}: its images are {C}×{H}×{W}, these are {'×'.join(map(str, ours.input_shape))}",
            f"use images of that size; image files are resized with --size {H}x{W}",
        )
    a, b = ({key: tuple(weight.shape) for key, weight in each.weights.items()} for each in (theirs, ours))
    if a == b:
        return
    key = next(key for key in (*a, *b) if a.get(key) != b.get(key))
    kinds = ["missing" if shape is None else "×".join(map(str, shape)) for shape in (a.get(key), b.get(key))]
    file = None if source is None else Path(source) / NETWORK
    there = "" if file is None or not file.exists() else f": {file}"
    raise NetworkError(
        f"{name}: its network is not {display.name(ours.name)}: {key} is {kinds[0]} there and {kinds[1]} here",
        f"train its network{there}, or omit {_FLAG}",
    )
