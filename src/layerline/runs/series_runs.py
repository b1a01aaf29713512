"""The summary of trainings that differ in one thing: which finished, and the means of their scores, as JSON."""

from __future__ import annotations

import abc
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from layerline.errors import UserError
from layerline.files import whole
from layerline.runs import schema, texts
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

FIGURES: Final = ("validation_loss", "test_accuracy", "test_macro_f1")
"""The metrics that are averaged; the validation loss is that of the best epoch."""
_MEAN: Final = {"values": [schema.NUMBER], **dict.fromkeys(("mean", "low", "high", "deviation"), schema.NUMBER)}
_KINDS: Final = {
    **{key: [schema.SEED] for key in ("finished", "diverged")},
    "split_seed": schema.SEED,
    "stopped": schema.WHOLE,
    **dict.fromkeys(FIGURES, _MEAN),
}


@dataclass(frozen=True)
class Mean:
    """The mean of some values with its 95% interval; see measure.student."""

    values: tuple[float, ...]
    mean: float
    low: float | None
    """Lower end of the 95% interval; None with fewer than two values."""
    high: float | None
    deviation: float | None
    """The standard deviation of the values (n − 1 in the denominator); None with fewer than two."""


@dataclass(frozen=True)
class SeriesRuns(abc.ABC):
    """Trainings that differ in one thing, which has a number each. Abstract."""

    KINDS: ClassVar[Mapping[str, Any]]
    """The schema of the keys that only this kind has."""

    runs: tuple[str, ...]
    """The folders of the finished runs, relative to the folder of the file."""
    split_seed: int | None = None
    finished: tuple[int, ...] = ()
    diverged: tuple[int, ...] = ()
    stopped: int | None = None
    """The signal that ended the last training."""
    means: Mapping[str, Mean | None] = field(default_factory=dict)
    """By metric (FIGURES); None if no run has it."""

    @abc.abstractmethod
    def own(self) -> dict[str, Any]:
        """Return what only this kind has, as plain values."""

    @classmethod
    @abc.abstractmethod
    def of_own(cls, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that only this kind has, of a file's content that matches KINDS."""

    def as_dict(self) -> dict[str, Any]:
        """Return the contents of the file as plain values."""
        return {
            **self.own(),
            "split_seed": self.split_seed,
            "finished": list(self.finished),
            "diverged": list(self.diverged),
            "stopped": self.stopped,
            "runs": list(self.runs),
            **{key: None if mean is None else dataclasses.asdict(mean) for key, mean in self.means.items()},
        }

    def write(self, path: Path) -> None:
        """Write the file, one key per line. Raises UserError if it cannot be written."""
        lines = [f"  {texts.json_line(key)}: {texts.json_line(value)}" for key, value in self.as_dict().items()]
        whole.write(path, (("{\n" + ",\n".join(lines) + "\n}\n").encode(),))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the runs and means in a file. Raises UserError if the file is damaged."""
        found = texts.of_json(path)
        runs = found.get("runs") if isinstance(found, dict) else None
        if not isinstance(runs, list) or not all(isinstance(run, str) and run == Path(run).name for run in runs):
            raise UserError(f"{path}: no list of runs", AGAIN)
        schema.check(path, found, {**_KINDS, **cls.KINDS}, AGAIN)
        return cls(
            tuple(runs),
            found.get("split_seed"),
            tuple(found.get("finished") or ()),
            tuple(found.get("diverged") or ()),
            found.get("stopped"),
            {key: _mean(path, key, found[key]) for key in FIGURES if key in found},
            **cls.of_own(found),
        )


def _mean(path: Path, key: str, found: Mapping[str, Any] | None) -> Mean | None:
    if found is None:
        return None
    if not found.get("values") or found.get("mean") is None:
        raise UserError(f"{path}: {key} has no mean", AGAIN)
    low, high, deviation = (found.get(name) for name in ("low", "high", "deviation"))
    return Mean(tuple(map(float, found["values"])), float(found["mean"]), low, high, deviation)
