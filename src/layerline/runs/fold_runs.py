"""folds.json: the runs of a cross-validation, with their means, written and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from layerline.runs import schema
from layerline.runs.series_runs import SeriesRuns

if TYPE_CHECKING:
    from collections.abc import Mapping


@final
@dataclass(frozen=True)
class FoldRuns(SeriesRuns):
    """Trainings that differ only in their fold, whose number from 1 is theirs."""

    KINDS: ClassVar[Mapping[str, Any]] = {"folds": schema.COUNT, "images": schema.COUNT}

    folds: int | None = None
    """The number of folds that was requested."""
    images: int | None = None
    """Of all folds together."""

    def own(self) -> dict[str, Any]:
        """Return the number of folds and images."""
        return {"folds": self.folds, "images": self.images}

    @classmethod
    def of_own(cls, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the number of folds and images."""
        return {key: found.get(key) for key in cls.KINDS}
