"""result.json: what the test set says, and what stands beside it, written and read."""

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
"""What can be had without a network. class: the one that is always predicted; images: of training that it knows."""
Baselines = dict[str, Baseline]
"""largest_class, thumbnails and nearest, as far as they are known: see measure.baselines."""
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
    """How right the model is on one class; see `metrics.Scores`. NaN where the class does not occur."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int

    @property
    def known(self) -> tuple[float | None, float | None, float | None]:
        """Return precision, recall and F1, each None where there is none."""
        precision, recall, f1 = (None if math.isnan(it) else it for it in (self.precision, self.recall, self.f1))
        return precision, recall, f1


def class_rows(classes: Sequence[str], confusion: Counts) -> tuple[ClassRow, ...]:
    """Return a row a class from the (K, K) counts, row = truth."""
    scores = metrics.measure(confusion)
    columns = (scores.precision.tolist(), scores.recall.tolist(), scores.f1.tolist(), scores.support.tolist())
    return tuple(ClassRow(*row) for row in zip(classes, *columns, strict=True))


@dataclass(frozen=True, eq=False)
class Result:
    """What the test set says, as result.json keeps it; without one, all but the classes and remarks is None."""

    classes: tuple[str, ...]
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_macro_f1: float | None = None
    confusion: Counts | None = None
    intervals: Mapping[str, tuple[float, float]] | None = None
    """The 95 % intervals of test_accuracy and test_macro_f1: see measure.intervals."""
    baselines: Baselines | None = None
    """What can be had without a network: largest_class, thumbnails and nearest, see measure.baselines."""
    remarks: tuple[str, ...] = ()
    """Sentences that apply to this training and its test: see measure.remarks. There may be some without a test."""

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
        """A row a class, from the confusion matrix."""
        return None if self.confusion is None else class_rows(self.classes, self.confusion)

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of result.json with plain values."""
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
        """Return the confusion matrix, or of many classes the cells that have images."""
        if isinstance(self.confusion, metrics.SparseCounts):
            cells = np.stack(metrics.cells(self.confusion), axis=1)
            return {"confusion": None, "confusion_cells": cells.tolist()}
        return {"confusion": None if self.confusion is None else self.confusion.tolist()}

    def write(self, path: Path) -> None:
        """Write it: a key a line, a class a line, a row of the matrix a line. Raises UserError where it cannot."""
        whole.write(path, (f"{texts.as_text(self.as_dict())}\n".encode("utf-8", "backslashreplace"),))

    @classmethod
    def read(cls, path: Path) -> Result:
        """Return a result. Raises UserError where the file is damaged."""
        found = texts.of_json(path)
        if not isinstance(found, dict) or not found.get("classes"):
            raise UserError(f"{path}: is not the result of a run", AGAIN)
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
    """Return the confusion matrix of K classes, from all counts or the cells that have images."""
    counts, cells = found.get("confusion"), found.get("confusion_cells")
    if counts is not None and [len(row) for row in counts] != [K] * K:
        raise UserError(f"{path}: the confusion matrix is not {K} × {K}", AGAIN)
    if cells is None:
        return None if counts is None else np.asarray(counts, np.int64)
    if any(len(cell) != 3 or max(cell[:2]) >= K for cell in cells) or len({(j, k) for j, k, _ in cells}) < len(cells):
        raise UserError(f"{path}: the cells of the confusion matrix are not of {K} × {K}", AGAIN)
    return metrics.SparseCounts(K, *np.array(cells, np.int64).reshape(-1, 3).T)


def _interval(path: Path, name: str, bounds: Sequence[float]) -> tuple[float, float]:
    if len(bounds) != 2:
        raise UserError(f"{path}: intervals.{display.name(name)} must be two numbers", AGAIN)
    return float(bounds[0]), float(bounds[1])


def _baseline(found: Mapping[str, Any]) -> Baseline:
    """Return what a baseline says, without what is null or not known here."""
    return cast("Baseline", {key: found[key] for key in _BASELINE if found.get(key) is not None})
