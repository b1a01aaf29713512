"""result.json: the test results with intervals, baselines and remarks, written and read."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

import numpy as np

from layerline.errors import UserError
from layerline.files import whole
from layerline.numbers import display
from layerline.runs import metrics, schema, texts
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layerline.runs.metrics import Counts

Baseline = TypedDict("Baseline", {"class": str, "accuracy": float, "macro_f1": float, "images": int}, total=False)
"""The scores of a baseline. class: the one always predicted; images: the number of training images that it uses."""
Baselines = dict[str, Baseline]
"""largest_class, thumbnails and nearest, if known: see measure.baselines."""
_BASELINE: Final = {"class": schema.TEXT, "accuracy": schema.NUMBER, "macro_f1": schema.NUMBER, "images": schema.WHOLE}
_KINDS: Final = {
    "test_loss": schema.NUMBER,
    "test_accuracy": schema.NUMBER,
    "test_macro_f1": schema.NUMBER,
    "classes": [schema.TEXT],
    "confusion": [[schema.WHOLE]],
    "confusion_cells": [[schema.WHOLE]],
    "intervals": {schema.ANY: [schema.NUMBER]},
    "baselines": {schema.ANY: _BASELINE},
    "remarks": [schema.TEXT],
}


@dataclass(frozen=True)
class ClassRow:
    """The scores of one class; see `metrics.Scores`. NaN if the class does not occur."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int

    @property
    def known(self) -> tuple[float | None, float | None, float | None]:
        """Return precision, recall and F1, each None if it is NaN."""
        precision, recall, f1 = (None if math.isnan(it) else it for it in (self.precision, self.recall, self.f1))
        return precision, recall, f1


def class_rows(classes: Sequence[str], confusion: Counts) -> tuple[ClassRow, ...]:
    """Return one row per class from the (K, K) counts, row = truth."""
    scores = metrics.measure(confusion)
    columns = (scores.precision.tolist(), scores.recall.tolist(), scores.f1.tolist(), scores.support.tolist())
    return tuple(ClassRow(*row) for row in zip(classes, *columns, strict=True))


@dataclass(frozen=True, eq=False)
class Result:
    """The test results, as stored in result.json; without a test, everything except classes and remarks is None."""

    classes: tuple[str, ...]
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_macro_f1: float | None = None
    confusion: Counts | None = None
    intervals: Mapping[str, tuple[float, float]] | None = None
    """The 95% intervals of test_accuracy and test_macro_f1: see measure.intervals."""
    baselines: Baselines | None = None
    """Scores without a network: largest_class, thumbnails and nearest, see measure.baselines."""
    remarks: tuple[str, ...] = ()
    """Remarks on this training and its test: see measure.remarks. There may be some without a test."""

    @classmethod
    def of(cls, classes: Sequence[str], loss: float, confusion: Counts) -> Result:
        """Return the result of a test: the mean loss (nats) and the (K, K) confusion matrix, row = truth."""
        scores = metrics.measure(confusion)
        return cls(tuple(classes), float(loss), scores.accuracy, scores.macro_f1, confusion)

    @property
    def tested(self) -> bool:
        """Whether there was a test."""
        return self.test_accuracy is not None

    @property
    def per_class(self) -> tuple[ClassRow, ...] | None:
        """One row per class, from the confusion matrix."""
        return None if self.confusion is None else class_rows(self.classes, self.confusion)

    def as_dict(self) -> dict[str, Any]:
        """Return the contents of result.json as plain values."""
        rows = self.per_class
        return {
            "test_loss": self.test_loss,
            "test_accuracy": self.test_accuracy,
            "test_macro_f1": self.test_macro_f1,
            "classes": list(self.classes),
            "per_class": None if rows is None else [dataclasses.asdict(row) for row in rows],
            **self._counts(),
            "intervals": None if self.intervals is None else {name: list(at) for name, at in self.intervals.items()},
            "baselines": None if self.baselines is None else {name: dict(of) for name, of in self.baselines.items()},
            "remarks": list(self.remarks),
        }

    def _counts(self) -> dict[str, Any]:
        """Return the confusion matrix, or for many classes its nonzero cells."""
        if isinstance(self.confusion, metrics.SparseCounts):
            cells = np.stack(metrics.cells(self.confusion), axis=1)
            return {"confusion": None, "confusion_cells": cells.tolist()}
        return {"confusion": None if self.confusion is None else self.confusion.tolist()}

    def write(self, path: Path) -> None:
        """Write the file, one line per key, class and row of the matrix. Raises UserError if it cannot be written."""
        whole.write(path, (f"{texts.as_text(self.as_dict())}\n".encode("utf-8", "backslashreplace"),))

    @classmethod
    def read(cls, path: Path) -> Result:
        """Return the result in a file. Raises UserError if the file is damaged."""
        found = texts.of_json(path)
        if not isinstance(found, dict) or not found.get("classes"):
            raise UserError(f"{path}: not the result of a run", AGAIN)
        schema.check(path, found, _KINDS, AGAIN)
        classes, intervals, baselines = tuple(found["classes"]), found.get("intervals"), found.get("baselines")
        return cls(
            classes,
            _number(found.get("test_loss")),
            _number(found.get("test_accuracy")),
            _number(found.get("test_macro_f1")),
            _confusion(path, found, len(classes)),
            None if intervals is None else {name: _interval(path, name, at) for name, at in intervals.items() if at},
            None if baselines is None else {name: _baseline(of) for name, of in baselines.items() if of},
            tuple(found.get("remarks") or ()),
        )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _confusion(path: Path, found: Mapping[str, Any], K: int) -> Counts | None:
    """Return the confusion matrix of K classes, from the dense counts or the nonzero cells."""
    counts, cells = found.get("confusion"), found.get("confusion_cells")
    if counts is not None and [len(row) for row in counts] != [K] * K:
        raise UserError(f"{path}: the confusion matrix must be {K} × {K}", AGAIN)
    if cells is None:
        return None if counts is None else np.asarray(counts, np.int64)
    if any(len(cell) != 3 or max(cell[:2]) >= K for cell in cells) or len({(j, k) for j, k, _ in cells}) < len(cells):
        raise UserError(f"{path}: the cells of the confusion matrix must be distinct and within {K} × {K}", AGAIN)
    return metrics.SparseCounts(K, *np.array(cells, np.int64).reshape(-1, 3).T)


def _interval(path: Path, name: str, bounds: Sequence[float]) -> tuple[float, float]:
    if len(bounds) != 2:
        raise UserError(f"{path}: intervals.{display.name(name)} must be two numbers", AGAIN)
    return float(bounds[0]), float(bounds[1])


def _baseline(found: Mapping[str, Any]) -> Baseline:
    """Return a baseline without values that are null and without unknown keys."""
    return cast("Baseline", {key: found[key] for key in _BASELINE if found.get(key) is not None})
