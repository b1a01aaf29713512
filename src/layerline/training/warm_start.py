"""TRAIN: a warm start: a new training with the weights of an earlier one, or with pretrained ones."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline.errors import DataError, NetworkError, UserError
from layerline.experiment import toml_file
from layerline.experiment.experiment import settle
from layerline.experiment.options import BY_KEY
from layerline.network import pretrained
from layerline.network.pretrained.backbones import BACKBONES, names_backbone
from layerline.network.pretrained.transfer import names_of, start_of, title_of
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
    from collections.abc import Collection, Mapping, Set

    from layerline.data.dataset import Dataset
    from layerline.experiment.experiment import Experiment
    from layerline.network import Network, Node
    from layerline.network.pretrained import Pretrained
    from layerline.runs.record import AboutStart

_FLAG: Final = "--start-from"


def started(given: str | os.PathLike[str] | Model | Run, network: Network, data: Dataset) -> Start:
    """Return the start with the weights of a run or model, in memory or on disk, or of a backbone by its name.

    With other classes, the last layer with weights starts with random ones. Raises UserError if the weights cannot be
    read, or are for other images or layers, with what differs.
    """
    if names_backbone(given):
        return pretrained_start(pretrained.get(str(given)), network)
    model, source, epoch = _found(given)
    name = f"{_FLAG} {display.name(source or 'a model in memory', 200)}"
    last = _last(network)
    names = frozenset() if model.classes == data.classes else frozenset(last.weights)
    _check_layers(name, source, model.network, network, names)
    weights = {key: array for key, array in model.weights.items() if key not in names}
    return Start(digest(weights), weights, source, epoch, head=last.index if names else None)


def pretrained_start(found: Pretrained, network: Network) -> Start:
    """Return the start with the weights of a backbone. Raises UserError if they do not fit."""
    start = start_of(BACKBONES[found.name], found.weights)
    name = f"{_FLAG} {found.name}"
    theirs = {} if start.weights is None else {key: tuple(array.shape) for key, array in start.weights.items()}
    ours = {key: tuple(weight.shape) for key, weight in network.weights.items()}
    key = next((key for key in theirs if theirs[key] != ours.get(key)), None)
    if key is not None:
        has, needs = (_shape(shape) for shape in (theirs[key], ours.get(key)))
        raise NetworkError(
            f"{name}: {display.name(network.name)} does not begin with its layers: {key} is {has} there, {needs} here",
            f"--from {found.name} classifies by its features; layerline new {found.name} writes its network",
        )
    return _with_head(start, network, theirs.keys())


def _with_head(start: Start, network: Network, names: Set[str]) -> Start:
    """Return the start of a network whose head begins with the first weight that is not one of `names`."""
    head = (node.index for node in network.nodes if not names >= node.weights.keys())
    return dataclasses.replace(start, head=next(head, None))


def resumed(source: str | None, known: AboutStart, network: Network) -> Start:
    """Return the start of a run that is resumed, whose checkpoint has the weights. known: its digest, from the record.

    source: as in the run's record.
    """
    start = Start(str(known.digest), None, source, known.epoch)
    if not names_backbone(source):
        return start
    backbone = BACKBONES[str(source)]
    return _with_head(dataclasses.replace(start, title=title_of(backbone)), network, names_of(backbone))


def _last(network: Network) -> Node:
    """Return the last layer with weights."""
    return next(node for node in reversed(network.nodes) if node.weights)


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

    The splits stay as they are, also with another seed. With layers to unfreeze, their learning rate is chosen if it is
    not specified. Raises UserError if the run did not finish.
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
    if "unfreeze" in flags and "backbone_rate" not in flags:
        experiment = dataclasses.replace(experiment, given=frozenset(BY_KEY) - {"backbone_rate"}, exact=False)
    name = Record.read(run / EXPERIMENT).about.network.name
    return experiment if name is None else dataclasses.replace(experiment, file=name)


def leak(start: Start, data: Dataset) -> str | None:
    """Return a remark if the weights may have been trained on images of this test set, else None."""
    if start.source is None or names_backbone(start.source) or data.test is None or "test" not in data.cuts:
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


def _check_layers(name: str, source: str | None, theirs: Network, ours: Network, fresh: Collection[str]) -> None:
    """Raise an error if the weights are those of another network, by name, shape or input; `fresh` ones may differ."""
    if theirs.input_shape != ours.input_shape:
        C, H, W = theirs.input_shape
        raise DataError(
            f"{name}: its images are {C}×{H}×{W}, these are {'×'.join(map(str, ours.input_shape))}",
            f"use images of that size; image files are resized with --size {H}x{W}",
        )
    a, b = (
        {key: tuple(weight.shape) for key, weight in each.weights.items() if key not in fresh}
        for each in (theirs, ours)
    )
    if a == b:
        return
    key = next(key for key in (*a, *b) if a.get(key) != b.get(key))
    kinds = [_shape(shape) for shape in (a.get(key), b.get(key))]
    file = None if source is None else Path(source) / NETWORK
    there = "" if file is None or not file.exists() else f": {file}"
    raise NetworkError(
        f"{name}: its network is not {display.name(ours.name)}: {key} is {kinds[0]} there and {kinds[1]} here",
        f"train its network{there}, or omit {_FLAG}",
    )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "×".join(map(str, shape)) or "a number"
