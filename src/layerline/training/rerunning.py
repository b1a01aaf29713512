"""TRAIN: a run again from its files, and whether the same bits come out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.errors import UserError
from layerline.runs import saved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerline.runs.folder import EpochRow
    from layerline.runs.saved import SavedRun
    from layerline.training.run import Run

TIMES: Final = ("train_seconds", "seconds", "images_per_second")
"""What is another in every run."""
FIGURES: Final = ("test_loss", "test_accuracy", "test_macro_f1", "confusion", "confusion_cells")


def finished(path: Path) -> SavedRun:
    """Return the files of a run that came to its end. Raises UserError where it did not, or cannot be read."""
    found = saved.read(path)
    if found.ending or found.result is None or found.weights is None:
        raise UserError(
            f"{path}: the run did not come to its end: there is nothing to compare with",
            f"go on with it first: layerline train --resume {path}",
        )
    return found


def differences(before: SavedRun, run: Run) -> list[str]:
    """Return where a run differs from the one it repeats, a sentence each; none where all bits are the same."""
    return [*_epochs(before.history, run.history), *_weights(before, run), *_result(before, run)]


def _epochs(before: tuple[EpochRow, ...], now: tuple[EpochRow, ...]) -> Iterator[str]:
    """Yield the first figure of the history that differs."""
    if len(before) != len(now):
        yield f"history: {len(now)} epochs, it had {len(before)}"
    for old, new in zip(before, now, strict=False):
        for field in dataclasses.fields(old):
            a, b = getattr(old, field.name), getattr(new, field.name)
            if field.name not in TIMES and not _same(a, b):
                yield f"history: {field.name} of epoch {old.epoch} is {b!r}, it was {a!r}"
                return


def _weights(before: SavedRun, run: Run) -> Iterator[str]:
    """Yield how many weights differ, and by how much."""
    old, new = before.weights or {}, run.model.weights
    if set(old) != set(new):
        yield "weights: others by name"
        return
    unlike = [name for name in old if not np.array_equal(old[name], new[name], equal_nan=old[name].dtype.kind == "f")]
    if unlike:
        largest = max(float(np.abs(old[name].astype(np.float64) - new[name]).max()) for name in unlike)
        yield f"weights: {len(unlike)} of {len(old)} tensors differ, the first is {unlike[0]}, by at most {largest:.2g}"


def _result(before: SavedRun, run: Run) -> Iterator[str]:
    """Yield the figures of the test that differ."""
    old, new = before.result or {}, run.result.as_dict()
    for key in FIGURES:
        if not _same(old.get(key), new.get(key)):
            shown = "" if key.startswith("confusion") else f" is {new.get(key)!r}, it was {old.get(key)!r}"
            yield f"test: {key}{shown or ' is another'}"


def _same(a: object, b: object) -> bool:
    """Return whether two values are equal; NaN, which a file keeps as null, equals null."""
    return a == b or (_missing(a) and _missing(b))


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)
