"""folds.json: the runs of a cross-validation, with their means and the out-of-fold scores, written and read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, final

from layerline.errors import UserError
from layerline.runs import schema
from layerline.runs.series_runs import SeriesRuns
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCORES: Final = ("test_loss", "test_accuracy", "test_macro_f1")


@final
@dataclass(frozen=True)
class OutOfFold:
    """The scores of all images together, each predicted by the run that did not train on it."""

    images: int
    """Of the finished folds."""
    test_loss: float
    test_accuracy: float
    test_macro_f1: float
    intervals: Mapping[str, tuple[float, float]]
    """The 95% intervals of accuracy and macro F1: see measure.intervals."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        values = dataclasses.asdict(self)
        return {**values, "intervals": {name: list(bounds) for name, bounds in self.intervals.items()}}


@final
@dataclass(frozen=True)
class FoldRuns(SeriesRuns):
    """Trainings that differ only in their fold, whose number from 1 is theirs."""

    KINDS: ClassVar[Mapping[str, Any]] = {
        "folds": schema.COUNT,
        "images": schema.COUNT,
        "out_of_fold": {
            "images": schema.COUNT,
            **dict.fromkeys(SCORES, schema.NUMBER),
            "intervals": {schema.ANY: [schema.NUMBER]},
        },
    }

    folds: int | None = None
    """The number of folds that was requested."""
    images: int | None = None
    """Of all folds together."""
    out_of_fold: OutOfFold | None = None
    """None if no fold is finished."""

    def own(self) -> dict[str, Any]:
        """Return the number of folds and images, and the out-of-fold scores."""
        scores = None if self.out_of_fold is None else self.out_of_fold.as_dict()
        return {"folds": self.folds, "images": self.images, "out_of_fold": scores}

    @classmethod
    def of_own(cls, path: Path, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the number of folds and images, and the out-of-fold scores. Raises UserError if one is missing."""
        scores = found.get("out_of_fold")
        return {
            "folds": found.get("folds"),
            "images": found.get("images"),
            "out_of_fold": None if scores is None else _out_of_fold(path, scores),
        }


def _out_of_fold(path: Path, found: Mapping[str, Any]) -> OutOfFold:
    if any(found.get(key) is None for key in ("images", *SCORES)):
        raise UserError(f"{path}: out_of_fold must have images, {', '.join(SCORES)}", AGAIN)
    bounds = {name: tuple(map(float, at)) for name, at in (found.get("intervals") or {}).items() if at}
    if any(len(at) != 2 for at in bounds.values()):
        raise UserError(f"{path}: each of out_of_fold.intervals must be two numbers", AGAIN)
    intervals = {name: (at[0], at[1]) for name, at in bounds.items()}
    loss, accuracy, macro_f1 = (float(found[key]) for key in SCORES)
    return OutOfFold(found["images"], loss, accuracy, macro_f1, intervals)
