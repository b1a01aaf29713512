"""seeds.json: the runs of one recipe with several seeds, with their means, written and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from layerline.runs import schema
from layerline.runs.series_runs import SeriesRuns

if TYPE_CHECKING:
    from collections.abc import Mapping


@final
@dataclass(frozen=True)
class SeedRuns(SeriesRuns):
    """Trainings that differ only in their seed, which is their number."""

    KINDS: ClassVar[Mapping[str, Any]] = {"seeds": [schema.SEED]}

    seeds: tuple[int, ...] = ()
    """All seeds that were requested."""

    def own(self) -> dict[str, Any]:
        """Return the seeds."""
        return {"seeds": list(self.seeds)}

    @classmethod
    def of_own(cls, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the seeds."""
        return {"seeds": tuple(found.get("seeds") or ())}
