"""TRAIN: repeating a run from its files, and comparing the results bit by bit."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, final

import numpy as np

from layerline.errors import UserError
from layerline.runs import saved
from layerline.runs.metrics import SparseCounts, cells
from layerline.training.live import Several
from layerline.training.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerline.recipe import Recipe
    from layerline.runs.history import EpochRow
    from layerline.runs.metrics import Counts, Scores
    from layerline.runs.result import Result
    from layerline.runs.saved import SavedRun
    from layerline.training.run import Run

TIMES: Final = ("train_seconds", "seconds", "images_per_second")
"""Values that differ in every run."""
SCORES: Final = ("test_loss", "test_accuracy", "test_macro_f1")


def finished(path: Path) -> SavedRun:
    """Return the files of a finished run. Raises UserError if it did not finish, or cannot be read."""
    found = saved.read(path)
    if found.ending or found.result is None or found.weights is None:
        raise UserError(
            f"{path}: the run did not finish, so there is nothing to compare with",
            f"resume it first: layerline train --resume {path}",
        )
    return found


def stopping_with(before: SavedRun, recipe: Recipe, watcher: Watcher) -> Watcher:
    """Return the watcher, joined by one that finishes the training with the last epoch of the run it repeats.

    Only a program ends a run before its recipe does: on_epoch returned True.
    """
    if recipe.patience is not None or len(before.history) >= recipe.epochs:
        return watcher
    return Several((watcher, _UntilEpoch(len(before.history))))


@final
class _UntilEpoch(Watcher):
    """A watcher that wants no epoch after a certain one."""

    def __init__(self, last: int) -> None:
        self._last = last

    def epoch(self, row: EpochRow, train: Scores, validation: Scores | None) -> bool:
        del train, validation
        return row.epoch >= self._last


def differences(before: SavedRun, run: Run) -> list[str]:
    """Return a sentence for each difference between a run and the one it repeats; empty if bit-identical."""
    assert before.result is not None  # noqa: S101 - it finished
    return [*_epochs(before.history, run.history), *_weights(before, run), *_result(before.result, run.result)]


def _epochs(before: tuple[EpochRow, ...], now: tuple[EpochRow, ...]) -> Iterator[str]:
    """Yield a sentence about the first value of the history that differs."""
    if len(before) != len(now):
        yield f"history: {len(now)} epochs, was {len(before)}"
    for old, new in zip(before, now, strict=False):
        for field in dataclasses.fields(old):
            a, b = getattr(old, field.name), getattr(new, field.name)
            if field.name not in TIMES and not _same(a, b):
                yield f"history: {field.name} of epoch {old.epoch} is {b!r}, was {a!r}"
                return


def _weights(before: SavedRun, run: Run) -> Iterator[str]:
    """Yield a sentence on how many weights differ, and by how much."""
    old, new = before.weights or {}, run.model.weights
    if set(old) != set(new):
        yield "weights: their names differ"
        return
    unlike = [name for name in old if not np.array_equal(old[name], new[name], equal_nan=old[name].dtype.kind == "f")]
    if unlike:
        largest = max(float(np.abs(old[name].astype(np.float64) - new[name]).max()) for name in unlike)
        yield f"weights: {len(unlike)} of {len(old)} tensors differ by at most {largest:.2g}, the first is {unlike[0]}"


def _result(before: Result, now: Result) -> Iterator[str]:
    """Yield a sentence for each test score that differs."""
    for key in SCORES:
        old, new = getattr(before, key), getattr(now, key)
        if not _same(old, new):
            yield f"test: {key} is {new!r}, was {old!r}"
    if not _same_counts(before.confusion, now.confusion):
        sparse = isinstance(before.confusion, SparseCounts) or isinstance(now.confusion, SparseCounts)
        yield f"test: {'confusion_cells' if sparse else 'confusion'} differs"


def _same_counts(a: Counts | None, b: Counts | None) -> bool:
    """Return whether two confusion matrices, dense or sparse, are the same."""
    if isinstance(a, SparseCounts) and isinstance(b, SparseCounts):
        return a.K == b.K and np.array_equal(cells(a), cells(b))
    if a is None or b is None or isinstance(a, SparseCounts) or isinstance(b, SparseCounts):
        return a is b
    return np.array_equal(a, b)


def _same(a: object, b: object) -> bool:
    """Return whether two values are equal; NaN, which a file stores as null, equals null."""
    return a == b or (_missing(a) and _missing(b))


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)
