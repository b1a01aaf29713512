"""A figure of merit over the epochs: training and validation as lines, the best epoch as a star, the test dashed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline import figures
from layerline.report import sheet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from layerline.run_folder import EpochRow, Result

_HEIGHT: Final = 2.3
_RIGHT: Final = 0.72
"""Inches at the right for the names of the lines."""
_MOST_MARKERS: Final = 30
_LOG_FROM: Final = 50.0
"""A loss that falls by this factor is drawn on a logarithmic axis: its end would lie on the floor otherwise."""


@dataclass(frozen=True)
class Merit:
    """What is drawn: the title, the names of the numbers in a row of history and in the result, and how they read."""

    name: str
    title: str
    shown: Callable[[float | None], str]
    is_share: bool


MERITS: Final = (
    Merit("loss", "Loss (cross-entropy)", figures.loss, is_share=False),
    Merit("accuracy", "Accuracy", figures.fraction, is_share=True),
    Merit("macro_f1", "Macro F1", figures.fraction, is_share=True),
)


@dataclass(frozen=True)
class _Line:
    label: str
    colour: str
    marker: str
    epochs: list[int]
    values: list[float]


def curve(merit: Merit, history: Sequence[EpochRow], result: Result) -> Figure | None:
    """Return the figure of one merit over at least one epoch; None where no value is a finite number."""
    lines = [line for line in _lines(merit, history) if line.values]
    if not lines:
        return None
    test = getattr(result, f"test_{merit.name}")
    test = test if test is not None and math.isfinite(test) else None
    figure, axes = sheet.sheet(sheet.COLUMN, _HEIGHT, left=0.5, right=_RIGHT, bottom=0.4, top=0.3)
    for line in lines:
        layer = 5 if len(history) == 1 else 2  # a single point may lie under the star
        marker = line.marker if len(line.values) <= _MOST_MARKERS else ""
        axes.plot(line.epochs, line.values, color=line.colour, linewidth=1.3, marker=marker, markersize=3, zorder=layer)
    if test is not None:
        axes.axhline(test, color=sheet.TEST, linewidth=1.0, dashes=(4, 2), zorder=1.5)
    _across(axes, [row.epoch for row in history])
    _upwards(axes, merit, [value for line in lines for value in line.values] + ([] if test is None else [test]))
    axes.set_title(merit.title, loc="left", fontweight="bold")
    _star(axes, lines[-1], history)
    ends = [(line.label, line.colour, line.values[-1]) for line in lines]
    _name_lines(axes, merit, ends + ([] if test is None else [("test", sheet.TEST, test)]))
    return figure


def _lines(merit: Merit, history: Sequence[EpochRow]) -> list[_Line]:
    styles = (("training", "train", sheet.TRAINING, "o"), ("validation", "validation", sheet.VALIDATION, "s"))
    lines = []
    for label, prefix, colour, marker in styles:
        pairs = [(row.epoch, getattr(row, f"{prefix}_{merit.name}")) for row in history]
        pairs = [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]
        lines.append(_Line(label, colour, marker, [epoch for epoch, _ in pairs], [value for _, value in pairs]))
    return lines


def _across(axes: Axes, epochs: list[int]) -> None:
    """Lay out the axis of the epochs: whole numbers, half an epoch of air for one epoch, else a little."""
    from matplotlib.ticker import MaxNLocator

    air = max(0.03 * (epochs[-1] - epochs[0]), 0.15) if len(epochs) > 1 else 0.5
    axes.set_xlim(epochs[0] - air, epochs[-1] + air)
    if len(epochs) <= 10:
        axes.set_xticks(epochs)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")


def _upwards(axes: Axes, merit: Merit, values: list[float]) -> None:
    """Lay out the axis of the values: shares end at 1, losses at 0, and a loss that falls far is logarithmic."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = min(values), max(values)
    axes.grid(axis="y")
    if not merit.is_share and low > 0 and high / low >= _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
        subs = (1.0, 2.0, 5.0) if high / low < 1e3 else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        return
    air = max(0.06 * (high - low), 0.004 if merit.is_share else 0.02 * high, 1e-9)
    bottom, top = max(low - air, 0.0) if low >= 0 else low - air, high + air
    axes.set_ylim(bottom, min(top, 1.0 + 0.3 * air) if merit.is_share else top)


def _star(axes: Axes, line: _Line, history: Sequence[EpochRow]) -> None:
    """Mark the best epoch on the line that decided it, and say its number at the top."""
    best = [row.epoch for row in history if row.best]
    if not best:
        return
    if best[-1] in line.epochs:
        value = line.values[line.epochs.index(best[-1])]
        axes.plot(
            best[-1], value, "*", color=line.colour, markersize=10, markeredgecolor="white", markeredgewidth=0.6,
            zorder=4, clip_on=False,
        )  # fmt: skip
    title = (0.985, axes.get_position().y1 + 6 / 72 / _HEIGHT)
    axes.figure.text(*title, f"★ best: epoch {best[-1]}", ha="right", va="baseline", color=sheet.FAINT)


def _name_lines(axes: Axes, merit: Merit, ends: Sequence[tuple[str, str, float]]) -> None:
    """Write each line's name and last value beside its end, moved apart where they would touch."""
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((axes.get_xlim()[1], value))[1]) for _, _, value in ends]
    gap = 2.35 * sheet.TEXT / 72 / (axes.get_position().height * _HEIGHT)
    for (label, colour, value), height in zip(ends, apart(heights, gap, 0.2 * gap, 1 - 0.45 * gap), strict=True):
        axes.text(
            1.03, height, f"{label}\n{merit.shown(value)}", transform=axes.transAxes, color=colour, va="center",
            linespacing=1.05,
        )  # fmt: skip


def apart(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return heights at least `gap` apart, in the same order from low to high, near the wanted ones.

    They lie within `low` to `high`; where there is no room for all, the lowest ones lie below.
    """
    order = sorted(range(len(heights)), key=lambda k: (heights[k], -k))
    placed = [0.0] * len(heights)
    below = -math.inf
    for k in order:
        placed[k] = below = max(heights[k], below + gap, low)
    above = math.inf
    for k in reversed(order):
        placed[k] = above = min(placed[k], above - gap, high)
    return placed
