"""The figures of merit that are drawn over the epochs, and the points of their curves, for every kind of drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result

_LOG_FROM: Final = 50.0
"""A loss that falls by this factor is drawn on a logarithmic axis: its end would lie on the floor otherwise."""
_SETS: Final = (("training", "train"), ("validation", "validation"))


@dataclass(frozen=True)
class Curve:
    """A line over the epochs; `label` is training or validation, and its class in the page's style."""

    label: str
    points: Sequence[tuple[int, float]]
    """(epoch, value), at least one, all finite."""


@dataclass(frozen=True)
class Merit:
    """What is drawn: its title, its name in a row of history and in the result, and how it reads."""

    name: str
    title: str
    shown: Callable[[float | None], str]
    is_share: bool

    def of(self, result: Result | None) -> float | None:
        """Return it of the test, None where there was none, or it is no finite number."""
        return None if result is None else _finite(getattr(result, f"test_{self.name}"))

    def curves(self, history: Sequence[EpochRow]) -> list[Curve]:
        """Return a curve for each set that has a finite number."""
        found = [Curve(label, self._points(history, part)) for label, part in _SETS]
        return [curve for curve in found if curve.points]

    def logarithmic(self, low: float, high: float) -> bool:
        """Return whether values from low to high are drawn on a logarithmic axis."""
        return not self.is_share and low > 0 and high / low >= _LOG_FROM

    def _points(self, history: Sequence[EpochRow], part: str) -> list[tuple[int, float]]:
        values = [(row.epoch, _finite(getattr(row, f"{part}_{self.name}"))) for row in history]
        return [(epoch, value) for epoch, value in values if value is not None]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


MERITS: Final = (
    Merit("loss", "Loss (cross-entropy)", display.loss, is_share=False),
    Merit("accuracy", "Accuracy", display.fraction, is_share=True),
    Merit("macro_f1", "Macro F1", display.fraction, is_share=True),
)


def sets(history: Sequence[EpochRow]) -> tuple[tuple[str, str], ...]:
    """Return the sets that were measured, each with the beginning of its figures' names in a row of history."""
    return _SETS if any(row.validation_loss is not None for row in history) else _SETS[:1]
