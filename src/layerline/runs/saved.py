"""A run as its folder has it: every file that tells of it, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layerline.errors import UserError
from layerline.network import parse
from layerline.network_file import LARGEST_FILE
from layerline.runs import history, metrics, model_file, predictions, texts
from layerline.runs.ending import Ending
from layerline.runs.names import ENDING, EXPERIMENT, HISTORY, MODEL, NETWORK, PREDICTIONS, RESULT
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
    """What the files of a run say. What a stopped run did not write is None or empty."""

    folder: Path
    record: Record
    history: tuple[EpochRow, ...]
    result: Result | None
    predictions: Mapping[str, Predictions]
    """By split: test, validation, as far as they are there."""
    classes: tuple[str, ...]
    network_text: str
    network: Network | None
    """None where the folder does not say what its input is."""
    weights: Mapping[str, NDArray[Any]] | None
    """As they stand in the model file, whatever network it is of; None where there is none."""
    digest: str
    """SHA-256 of the model file; empty where there is none."""
    ending: Ending | None
    """None where it came to its end, or nothing says so."""

    @property
    def tested(self) -> bool:
        """Whether there is a result of the test."""
        return self.result is not None and self.result.tested

    @property
    def best(self) -> EpochRow | None:
        """Return the epoch that the model is of, or None where none was finished."""
        return history.best(self.history)

    def confusion(self, split: str) -> Counts | None:
        """Return the (K, K) counts of a split, row = truth, or None where nothing was predicted for it."""
        predicted = self.predictions.get(split)
        if predicted is not None:
            return metrics.confusion(predicted.truth, predicted.prediction, len(self.classes))
        return self.result.confusion if split == "test" and self.result is not None else None


def read(folder: Path) -> SavedRun:
    """Return the run in `folder`. Raises UserError where it is no run, or a file of it is damaged."""
    if not (folder / EXPERIMENT).is_file():
        what = (
            f"has no {EXPERIMENT}, so it is not the folder of a run" if folder.is_dir() else "there is no such folder"
        )
        raise UserError(f"{folder}: {what}", "name a folder that layerline train wrote, such as runs/lenet5-mnist-1")
    said = Record.read(folder / EXPERIMENT)
    text = _text(folder / NETWORK) if (folder / NETWORK).exists() else ""
    tested = Result.read(folder / RESULT) if (folder / RESULT).exists() else None
    model = model_file.unchecked(folder / MODEL) if (folder / MODEL).exists() else None
    classes = said.about.data.classes if tested is None else tested.classes
    if not classes and model is not None:
        classes = model.classes
    return SavedRun(
        folder,
        said,
        history.read(folder / HISTORY) if (folder / HISTORY).exists() else (),
        tested,
        predictions.read(folder / PREDICTIONS, len(classes)) if (folder / PREDICTIONS).exists() else {},
        classes,
        text,
        _network(said, text, classes),
        None if model is None else model.weights,
        "" if model is None else model.digest,
        Ending.read(folder / ENDING) if (folder / ENDING).exists() else None,
    )


def _text(path: Path) -> str:
    return texts.content(path, LARGEST_FILE).decode("utf-8", "replace")


def _network(said: Record, text: str, classes: tuple[str, ...]) -> Network | None:
    """Return the network of a text; None where the record does not say what its input is, or it cannot be built."""
    shape = said.about.data.image
    if not (text and classes and len(shape) == 3):
        return None
    name = said.about.network.name or "network"
    try:
        return parse(text, name=name, input_shape=(shape[0], shape[1], shape[2]), classes=len(classes))
    except UserError:
        return None
