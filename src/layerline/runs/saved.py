"""A run as its folder tells it: every file that the report is made from, read and checked."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import metrics
from layerline.errors import UserError
from layerline.files import tensors
from layerline.network import parse
from layerline.network_file import LARGEST_FILE
from layerline.runs import predictions, schema, texts
from layerline.runs.folder import EpochRow
from layerline.runs.model_file import MOST_TENSORS
from layerline.runs.names import ENDING, EXPERIMENT, HISTORY, MODEL, NETWORK, PREDICTIONS, RESULT
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.metrics import Counts
    from layerline.network import Network
    from layerline.runs.predictions import Predictions

_KEYS: Final = tuple(field.name for field in dataclasses.fields(EpochRow))


@dataclass(frozen=True, eq=False)
class SavedRun:
    """What the files of a run say. What a stopped run did not write is None or empty."""

    folder: Path
    experiment: Mapping[str, Any]
    history: tuple[EpochRow, ...]
    result: Mapping[str, Any] | None
    """result.json."""
    predictions: Mapping[str, Predictions]
    """By split: test, validation, as far as they are there."""
    classes: tuple[str, ...]
    network_text: str
    network: Network | None
    """None where the folder does not say what its input is."""
    weights: Mapping[str, NDArray[Any]] | None
    """None where there is no model file."""
    digest: str
    """SHA-256 of the model file; empty where there is none."""
    ending: Mapping[str, Any]
    """ending.json: how a training ended before its time; empty where it came to its end, or nothing says so."""

    def about(self, *keys: str) -> Any:
        """Return what experiment.toml says under [about] at these keys, or None."""
        found: Any = self.experiment.get("about", {})
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @property
    def tested(self) -> bool:
        """Whether there is a result of the test."""
        return self.result is not None and self.result.get("test_accuracy") is not None

    @property
    def best(self) -> EpochRow | None:
        """Return the epoch that the model is of, or None where none was finished."""
        return next((row for row in reversed(self.history) if row.best), None)

    def confusion(self, split: str) -> Counts | None:
        """Return the (K, K) counts of a split, row = truth, or None where nothing was predicted for it."""
        predicted = self.predictions.get(split)
        if predicted is not None:
            return metrics.confusion(predicted.truth, predicted.prediction, len(self.classes))
        result = (self.result or {}) if split == "test" else {}
        counts, cells = result.get("confusion"), result.get("confusion_cells")
        if cells is None:
            return None if counts is None else np.asarray(counts, np.int64)
        return metrics.SparseCounts(len(self.classes), *np.array(cells, np.int64).reshape(-1, 3).T)


def read(folder: Path) -> SavedRun:
    """Return the run in `folder`. Raises UserError where it is no run, or a file of it is damaged."""
    if not (folder / EXPERIMENT).is_file():
        what = (
            f"has no {EXPERIMENT}, so it is not the folder of a run" if folder.is_dir() else "there is no such folder"
        )
        raise UserError(f"{folder}: {what}", "name a folder that layerline train wrote, such as runs/lenet5-mnist-1")
    experiment = read_experiment(folder / EXPERIMENT)
    text = _text(folder / NETWORK) if (folder / NETWORK).exists() else ""
    result = read_result(folder / RESULT) if (folder / RESULT).exists() else None
    weights, card = _model(folder / MODEL) if (folder / MODEL).exists() else (None, {})
    about = experiment.get("about", {}).get("data", {})
    classes = tuple((result or {}).get("classes") or about.get("classes") or _classes(folder / MODEL, card))
    predicted = predictions.read(folder / PREDICTIONS, len(classes)) if (folder / PREDICTIONS).exists() else {}
    return SavedRun(
        folder,
        experiment,
        read_history(folder / HISTORY) if (folder / HISTORY).exists() else (),
        result,
        predicted,
        classes,
        text,
        _network(experiment, text, classes),
        weights,
        card.get("sha256", ""),
        read_ending(folder / ENDING) if (folder / ENDING).exists() else {},
    )


def read_experiment(path: Path) -> dict[str, Any]:
    """Return experiment.toml; data, train and about are there. Raises UserError where it cannot be read."""
    found = texts.of_toml(path)
    schema.check(path, found, schema.EXPERIMENT, AGAIN)
    return {"data": {}, "train": {}, "about": {}} | found


def read_result(path: Path) -> dict[str, Any]:
    """Return result.json. Raises UserError where it is damaged."""
    found = texts.of_json(path)
    if not isinstance(found, dict) or not found.get("classes"):
        raise UserError(f"{path}: is not the result of a run", AGAIN)
    schema.check(path, found, schema.RESULT, AGAIN)
    K, confusion = len(found["classes"]), found.get("confusion")
    if confusion is not None and [len(row) for row in confusion] != [K] * K:
        raise UserError(f"{path}: the confusion matrix is not {K} × {K}", AGAIN)
    cells = found.get("confusion_cells") or []
    if any(len(cell) != 3 or max(cell[:2]) >= K for cell in cells) or len({(j, k) for j, k, _ in cells}) < len(cells):
        raise UserError(f"{path}: the cells of the confusion matrix are not of {K} × {K}", AGAIN)
    return found


def read_ending(path: Path) -> dict[str, Any]:
    """Return ending.json. Raises UserError where it is damaged."""
    found = texts.of_json(path)
    schema.check(path, found, schema.ENDING, AGAIN)
    return found or {}


def read_history(path: Path) -> tuple[EpochRow, ...]:
    """Return the epochs; a last line that was cut short, as a crash leaves it, is left out."""
    lines = texts.content(path, texts.LARGEST_HISTORY).splitlines()
    rows: list[EpochRow] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_epoch(path, line))
        except (ValueError, UserError):
            if number < len(lines):
                raise UserError(f"{path}:{number}: is not an epoch", AGAIN) from None
    return tuple(rows)


def _epoch(path: Path, line: bytes) -> EpochRow:
    """Return an epoch; null is NaN, but where there is no validation set it is None. Raises ValueError or UserError."""
    found = texts.parsed(line)
    schema.check(path, found, schema.EPOCH, AGAIN)
    if not isinstance(found, dict) or not found.keys() >= set(_KEYS) or None in (found["epoch"], found["best"]):
        raise ValueError("not an epoch")
    values: dict[str, Any] = {key: found[key] for key in _KEYS}
    nothing = {key: math.nan for key, value in values.items() if value is None and not key.startswith("validation_")}
    return EpochRow(**(values | nothing))


def _text(path: Path) -> str:
    return texts.content(path, LARGEST_FILE).decode("utf-8", "replace")


def _classes(path: Path, card: Mapping[str, str]) -> list[str]:
    """Return the classes that a model file names. Raises UserError."""
    try:
        found = texts.parsed(card.get("classes", "[]").encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise UserError(f"{path}: its classes are not JSON: {error}", AGAIN) from None
    schema.check(path, found, [schema.TEXT], AGAIN, "classes")
    return found or []


def _model(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    held = tensors.read(path, MOST_TENSORS)
    return held.arrays, {**held.metadata, "sha256": held.digest}


def _network(experiment: Mapping[str, Any], text: str, classes: tuple[str, ...]) -> Network | None:
    about = experiment["about"]
    shape = about.get("data", {}).get("image")
    if not (text and classes and isinstance(shape, list) and len(shape) == 3):
        return None
    name = about.get("network", {}).get("name", "network")
    try:
        return parse(text, name=str(name), input_shape=(shape[0], shape[1], shape[2]), classes=len(classes))
    except UserError:
        return None
