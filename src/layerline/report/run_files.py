"""A run as its folder tells it: every file that the report is made from, read and checked."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import metrics, tensor_file
from layerline.errors import UserError
from layerline.network import parse
from layerline.report import form
from layerline.report.judged import Judged
from layerline.run_folder import ENDING, EXPERIMENT, HISTORY, MODEL, NETWORK, PREDICTIONS, RESULT, EpochRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.network import Network

_AGAIN: Final = "copy the folder again from where it was made, or train once more"
_KEYS: Final = tuple(field.name for field in dataclasses.fields(EpochRow))
_SPLITS: Final = (("test", ""), ("validation", "validation_"))
"""Each with what its arrays in predictions.npz begin with."""


@dataclass(frozen=True, eq=False)
class RunFiles:
    """What the files of a run say. What a stopped run did not write is None or empty."""

    folder: Path
    experiment: Mapping[str, Any]
    history: tuple[EpochRow, ...]
    result: Mapping[str, Any] | None
    """result.json."""
    judged: Mapping[str, Judged]
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

    def confusion(self, split: str) -> NDArray[np.int64] | None:
        """Return the (K, K) counts of a split, row = truth, or None where nothing was predicted for it."""
        judged = self.judged.get(split)
        if judged is not None:
            return metrics.confusion(judged.truth, judged.prediction, len(self.classes))
        counts = (self.result or {}).get("confusion") if split == "test" else None
        return None if counts is None else np.asarray(counts, np.int64)


def read(folder: Path) -> RunFiles:
    """Return the run in `folder`. Raises UserError where it is no run, or a file of it is damaged."""
    if not (folder / EXPERIMENT).is_file():
        what = (
            f"has no {EXPERIMENT}, so it is not the folder of a run" if folder.is_dir() else "there is no such folder"
        )
        raise UserError(f"{folder}: {what}", "name a folder that layerline train wrote, such as runs/lenet5-mnist-1")
    experiment = read_experiment(folder / EXPERIMENT)
    text = _bytes(folder / NETWORK).decode("utf-8", "replace") if (folder / NETWORK).exists() else ""
    result = read_result(folder / RESULT) if (folder / RESULT).exists() else None
    weights, card = _model(folder / MODEL) if (folder / MODEL).exists() else (None, {})
    about = experiment.get("about", {}).get("data", {})
    named = (result or {}).get("classes") or about.get("classes") or json.loads(card.get("classes", "[]"))
    classes = tuple(str(name) for name in named)
    judged = _judged(folder / PREDICTIONS, len(classes)) if (folder / PREDICTIONS).exists() else {}
    return RunFiles(
        folder,
        experiment,
        read_history(folder / HISTORY) if (folder / HISTORY).exists() else (),
        result,
        judged,
        classes,
        text,
        _network(experiment, text, classes),
        weights,
        card.get("sha256", ""),
        _ending(folder / ENDING) if (folder / ENDING).exists() else {},
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_experiment(path: Path) -> dict[str, Any]:
    """Return experiment.toml; data, train and about are there. Raises UserError where it cannot be read."""
    try:
        found = tomllib.loads(_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not TOML: {error}", _AGAIN) from None
    form.check(path, found, form.EXPERIMENT, _AGAIN)
    return {"data": {}, "train": {}, "about": {}} | found


def read_result(path: Path) -> dict[str, Any]:
    """Return result.json. Raises UserError where it is damaged."""
    try:
        found = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON: {error}", _AGAIN) from None
    if not isinstance(found, dict) or not found.get("classes"):
        raise UserError(f"{path}: is not the result of a run", _AGAIN)
    form.check(path, found, form.RESULT, _AGAIN)
    K, confusion = len(found["classes"]), found.get("confusion")
    if confusion is not None and [len(row or ()) for row in confusion] != [K] * K:
        raise UserError(f"{path}: the confusion matrix is not {K} × {K}", _AGAIN)
    return found


def _ending(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON: {error}", _AGAIN) from None
    form.check(path, found, form.ENDING, _AGAIN)
    return found or {}


def read_history(path: Path) -> tuple[EpochRow, ...]:
    """Return the epochs; a last line that was cut short, as a crash leaves it, is left out."""
    lines = _bytes(path).splitlines()
    rows: list[EpochRow] = []
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            rows.append(EpochRow(**{key: _number(key, found[key]) for key in _KEYS}))
        except (ValueError, TypeError, KeyError, RecursionError):
            if number < len(lines):
                raise UserError(f"{path}:{number}: is not an epoch", _AGAIN) from None
    return tuple(rows)


def _number(key: str, value: Any) -> Any:
    """Return a figure of an epoch; null is NaN, but where there is no validation set it is None."""
    if value is None:
        return None if key.startswith("validation_") else math.nan
    if not isinstance(value, int | float):
        raise TypeError(key)
    return value


def _model(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    held = tensor_file.read(path)
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


def _judged(path: Path, K: int) -> dict[str, Judged]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: is not a file of predictions: {error}", _AGAIN) from None
    judged = {}
    for split, prefix in _SPLITS:
        if f"{prefix}truth" in found and len(found[f"{prefix}truth"]):
            judged[split] = _of_split(path, found, split, prefix, K)
    return judged


def _of_split(path: Path, found: Mapping[str, NDArray[Any]], split: str, prefix: str, K: int) -> Judged:
    try:
        truth = found[f"{prefix}truth"].astype(np.int64)
        prediction = found[f"{prefix}prediction"].astype(np.int64)
        probabilities = found[f"{prefix}probabilities"]
    except KeyError as error:
        raise UserError(f"{path}: has no array {error}", _AGAIN) from None
    index, names = found.get(f"{prefix}index"), found.get(f"{prefix}names")
    M = len(truth)
    lengths = {len(array) for array in (prediction, probabilities, index, names) if array is not None}
    labels = np.concatenate([truth, prediction])
    if lengths != {M} or probabilities.shape != (M, K) or labels.min() < 0 or labels.max() >= K:
        raise UserError(f"{path}: its arrays do not agree with each other and with {K} classes", _AGAIN)
    return Judged(
        split,
        truth,
        prediction,
        probabilities,
        None if index is None else index.astype(np.int64),
        None if names is None else tuple(str(name) for name in names.tolist()),
    )
