"""A saved run: all files of its folder, read and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from layerline.errors import UserError
from layerline.network import parse
from layerline.network_file import LARGEST_FILE
from layerline.runs import history, metrics, model_file, predictions, texts
from layerline.runs.ending import Ending
from layerline.runs.fold_runs import FoldRuns
from layerline.runs.names import ENDING, EXPERIMENT, FOLDS, HISTORY, MODEL, NETWORK, PREDICTIONS, RESULT
from layerline.runs.record import Record
from layerline.runs.result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.network import Network
    from layerline.runs.history import EpochRow
    from layerline.runs.metrics import Counts
    from layerline.runs.predictions import Predictions


@dataclass(frozen=True, eq=False)
class SavedRun:
    """The contents of a run folder. What a stopped run did not write is None or empty."""

    folder: Path
    record: Record
    history: tuple[EpochRow, ...]
    result: Result | None
    predictions: Mapping[str, Predictions]
    """By split: test and validation, if present."""
    classes: tuple[str, ...]
    network_text: str
    network: Network | None
    """None if the folder does not record its input shape, or it cannot be built."""
    weights: Mapping[str, NDArray[Any]] | None
    """From the model file, not checked against the network; None without a model file."""
    digest: str
    """SHA-256 of the model file; empty without one."""
    ending: Ending | None
    """None if the run finished, or was killed."""
    folds: FoldRuns | None = None
    """Of a cross-validation, which has the results and predictions of all folds, and the rest of the first one."""

    @property
    def tested(self) -> bool:
        """Whether there are test results."""
        return self.result is not None and self.result.tested

    @property
    def best(self) -> EpochRow | None:
        """Return the best epoch, whose weights are the model, or None if none was finished."""
        return history.best(self.history)

    def confusion(self, split: str) -> Counts | None:
        """Return the (K, K) counts of a split, row = truth, or None if it has no predictions."""
        predicted = self.predictions.get(split)
        if predicted is not None:
            return metrics.confusion(predicted.truth, predicted.prediction, len(self.classes))
        return self.result.confusion if split == "test" and self.result is not None else None


def read(folder: Path) -> SavedRun:
    """Return the run or cross-validation in `folder`. Raises UserError if it is neither, or a file in it is damaged."""
    if (folder / FOLDS).is_file():
        return _of_folds(folder, FoldRuns.read(folder / FOLDS))
    if not (folder / EXPERIMENT).is_file():
        what = f" has no {EXPERIMENT}, so it is not a run folder" if folder.is_dir() else ": no such folder"
        raise UserError(f"{folder}{what}", "specify a folder written by layerline train, such as runs/lenet5-mnist-1")
    record = Record.read(folder / EXPERIMENT)
    text = _text(folder / NETWORK) if (folder / NETWORK).exists() else ""
    tested = Result.read(folder / RESULT) if (folder / RESULT).exists() else None
    model = model_file.unchecked(folder / MODEL) if (folder / MODEL).exists() else None
    classes = record.about.data.classes if tested is None else tested.classes
    if not classes and model is not None:
        classes = model.classes
    return SavedRun(
        folder,
        record,
        history.read(folder / HISTORY) if (folder / HISTORY).exists() else (),
        tested,
        predictions.read(folder / PREDICTIONS, len(classes)) if (folder / PREDICTIONS).exists() else {},
        classes,
        text,
        _network(record, text, classes),
        None if model is None else model.weights,
        "" if model is None else model.digest,
        Ending.read(folder / ENDING) if (folder / ENDING).exists() else None,
    )


def _of_folds(folder: Path, folds: FoldRuns) -> SavedRun:
    """Return a cross-validation as a run."""
    if not folds.runs:
        raise UserError(f"{folder}: none of its folds is finished", "repeat the cross-validation")
    first, result = read(folder / folds.runs[0]), Result.read(folder / RESULT)
    together = predictions.read(folder / PREDICTIONS, len(result.classes))
    return replace(
        first,
        folder=folder,
        history=(),
        result=result,
        predictions=together,
        classes=result.classes,
        weights=None,
        digest="",
        folds=folds,
    )


def _text(path: Path) -> str:
    return texts.content(path, LARGEST_FILE).decode("utf-8", "replace")


def _network(record: Record, text: str, classes: tuple[str, ...]) -> Network | None:
    """Return the network of a text; None if the record has no input shape, or it cannot be built."""
    shape = record.about.data.image
    if not (text and classes and len(shape) == 3):
        return None
    name = record.about.network.name or "network"
    try:
        return parse(text, name=name, input_shape=(shape[0], shape[1], shape[2]), classes=len(classes))
    except UserError:
        return None
