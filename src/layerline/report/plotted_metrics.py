"""The metrics that are plotted over the epochs, and the points of their curves, for every kind of graph."""

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
"""A loss that falls by this factor gets a logarithmic axis: otherwise the end of its curve would look flat."""
_SETS: Final = (("training", "train"), ("validation", "validation"))


@dataclass(frozen=True)
class Curve:
    """A line over the epochs; `label` is training or validation, and is its CSS class in the page."""

    label: str
    points: Sequence[tuple[int, float]]
    """(epoch, value), at least one, all finite."""


@dataclass(frozen=True)
class PlottedMetric:
    """A metric: its name in the history and in the result, its title, and how its values are formatted."""

    name: str
    title: str
    text: Callable[[float | None], str]
    is_fraction: bool

    def of(self, result: Result | None) -> float | None:
        """Return its value on the test set; None without a test, or if it is not finite."""
        return None if result is None else _finite(getattr(result, f"test_{self.name}"))

    def curves(self, history: Sequence[EpochRow]) -> list[Curve]:
        """Return a curve for each split that has a finite value."""
        found = [Curve(label, self._points(history, part)) for label, part in _SETS]
        return [curve for curve in found if curve.points]

    def logarithmic(self, low: float, high: float) -> bool:
        """Return whether values from low to high are drawn on a logarithmic axis."""
        return not self.is_fraction and low > 0 and high / low >= _LOG_FROM

    def _points(self, history: Sequence[EpochRow], part: str) -> list[tuple[int, float]]:
        values = [(row.epoch, _finite(getattr(row, f"{part}_{self.name}"))) for row in history]
        return [(epoch, value) for epoch, value in values if value is not None]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


PLOTTED: Final = (
    PlottedMetric("loss", "Loss (cross-entropy)", display.loss, is_fraction=False),
    PlottedMetric("accuracy", "Accuracy", display.fraction, is_fraction=True),
    PlottedMetric("macro_f1", "Macro F1", display.fraction, is_fraction=True),
)


def sets(history: Sequence[EpochRow]) -> tuple[tuple[str, str], ...]:
    """Return the splits in the history, each with the prefix of its keys in a row."""
    return _SETS if any(row.validation_loss is not None for row in history) else _SETS[:1]
