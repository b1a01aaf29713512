"""A metric over the epochs: training and validation as lines, the best epoch as a star, the test dashed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.report import sheet
from layerline.report.drawing import ticks
from layerline.report.sheet import Frame, Sheet
from layerline.runs.history import best as best_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.report.plotted_metrics import Curve, PlottedMetric
    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result

_HEIGHT: Final = 2.3
_LEFT, _BELOW, _ABOVE = 0.5, 0.4, 0.3
_RIGHT: Final = 0.72
"""Space at the right for the names of the lines, in inches."""
_MOST_MARKERS: Final = 30
_STYLES: Final = {"training": (sheet.TRAINING, "o"), "validation": (sheet.VALIDATION, "s")}
"""Color and marker of a line."""


def curve(metric: PlottedMetric, history: Sequence[EpochRow], result: Result) -> Sheet | None:
    """Return the sheet of one metric over at least one epoch; None if no value is finite."""
    lines = metric.curves(history)
    if not lines:
        return None
    test = metric.of(result)
    paper = Sheet(sheet.COLUMN, _HEIGHT)
    levels = [] if test is None else [test]
    values = [value for line in lines for _, value in line.points] + levels
    frame = _frame(metric, [row.epoch for row in history], values)
    _axes(paper, frame, [row.epoch for row in history])
    for level in levels:
        across = [(frame.left, frame.up(level)), (frame.right, frame.up(level))]
        paper.line(across, sheet.TEST, 1.0, dashes=(4, 2))
    best = best_of(history)
    if len(history) > 1:
        _trace(paper, frame, lines)
    if best is not None:
        _star(paper, frame, lines[-1], best.epoch)
    if len(history) == 1:  # a single point may lie under the star
        _trace(paper, frame, lines)
    paper.text(frame.left, frame.top + 6 / 72, metric.title, size=sheet.TITLE, bold=True)
    ends = [(line.label, _STYLES[line.label][0], line.points[-1][1]) for line in lines]
    _name_lines(paper, frame, metric, ends + [("test", sheet.TEST, level) for level in levels])
    return paper


def _frame(metric: PlottedMetric, epochs: list[int], values: list[float]) -> Frame:
    """Lay out the axes, with a small margin; fractions end at 1, losses at 0.

    A single epoch gets a margin of half an epoch. A loss that falls by a large factor gets a logarithmic axis.
    """
    air = max(0.03 * (epochs[-1] - epochs[0]), 0.15) if len(epochs) > 1 else 0.5
    x = (epochs[0] - air, epochs[-1] + air)
    low, high = min(values), max(values)
    log = metric.logarithmic(low, high)
    if log:
        y = (low / 1.3, high * 1.3)
    else:
        air = max(0.06 * (high - low), 0.004 if metric.is_fraction else 0.02 * high, 1e-9)
        bottom, top = max(low - air, 0.0) if low >= 0 else low - air, high + air
        y = (bottom, min(top, 1.0 + 0.3 * air) if metric.is_fraction else top)
    return Frame(_LEFT, _BELOW, sheet.COLUMN - _LEFT - _RIGHT, _HEIGHT - _BELOW - _ABOVE, x, y, log)


def _axes(paper: Sheet, frame: Frame, epochs: list[int]) -> None:
    """Draw the two axes with their values, and a faint line across at each value."""
    values = _decades(*frame.y) if frame.log else round_values(*frame.y)
    for value, _ in values:
        paper.line([(frame.left, frame.up(value)), (frame.right, frame.up(value))], sheet.EMPTY)
    whole = epochs if len(epochs) <= 10 else sorted({round(tick) for tick in ticks(*frame.x, 6)})
    paper.below(frame, [(epoch, str(epoch)) for epoch in whole])
    paper.beside(frame, values)
    paper.line([(frame.left, frame.bottom), (frame.right, frame.bottom)])
    paper.line([(frame.left, frame.bottom), (frame.left, frame.top)])
    paper.text(frame.left + frame.width / 2, frame.bottom - 18.5 / 72, "epoch", across="center", up="top")


def round_values(low: float, high: float) -> list[tuple[float, str]]:
    """Return round values in this range, with their labels."""
    found = ticks(low, high, 7)
    step = found[1] - found[0] if len(found) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(value, f"{value:.{decimals}f}".replace("-", "−")) for value in found]


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    """Return powers of ten in this range, with their labels; in a small range also 2 and 5 times them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = -(-len(powers) // 8)
    steps = (1, 2, 5) if high / low < 1e3 else (1,)
    found = [step * 10.0**power for power in powers if power % every == 0 for step in steps]
    return [(value, f"{value:g}".replace("-", "−")) for value in found if low <= value <= high]


def _trace(paper: Sheet, frame: Frame, lines: Sequence[Curve]) -> None:
    """Draw the lines, with a marker at every epoch if there are few."""
    for line in lines:
        color, marker = _STYLES[line.label]
        places = [(frame.across(epoch), frame.up(value)) for epoch, value in line.points]
        if len(places) > 1:
            paper.line(places, color, 1.3)
        corners, turn = (24, 0.0) if marker == "o" else (4, math.pi / 4)
        radius = (1.5 if marker == "o" else 1.5 * math.sqrt(2)) + 0.5
        for place in places if len(places) <= _MOST_MARKERS else ():
            paper.area(_polygon(place, [radius] * corners, turn), color)


def _star(paper: Sheet, frame: Frame, line: Curve, best: int) -> None:
    """Mark the best epoch on the line that decided it, and write its number at the top."""
    value = dict(line.points).get(best)
    if value is not None:
        place = (frame.across(best), frame.up(value))
        points = _polygon(place, [5.0, 5.0 * 0.381966] * 5, math.pi / 2)
        paper.area(points, _STYLES[line.label][0], edge=sheet.WHITE, width=0.6)
    x = 0.985 * sheet.COLUMN
    paper.text(x, frame.top + 6 / 72, f"★ best: epoch {best}", across="right", color=sheet.FAINT)


def _polygon(center: tuple[float, float], radii: Sequence[float], turn: float) -> list[tuple[float, float]]:
    """Return corners around a center in inches, at these radii in points, the first at angle `turn`."""
    angles = [turn + 2 * math.pi * k / len(radii) for k in range(len(radii))]
    return [
        (center[0] + radius / 72 * math.cos(angle), center[1] + radius / 72 * math.sin(angle))
        for radius, angle in zip(radii, angles, strict=True)
    ]


def _name_lines(paper: Sheet, frame: Frame, metric: PlottedMetric, ends: Sequence[tuple[str, str, float]]) -> None:
    """Write each line's name and last value next to its end, spread out so that they do not overlap."""
    heights = [frame.up(value) for _, _, value in ends]
    gap = 2.35 * sheet.TEXT / 72
    placed = apart(heights, gap, frame.bottom + 0.2 * gap, frame.top - 0.45 * gap)
    for (label, color, value), height in zip(ends, placed, strict=True):
        words = f"{label}\n{metric.text(value)}"
        paper.text(frame.right + 0.03 * frame.width, height, words, color=color, up="center", spacing=1.05)


def apart(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return heights at least `gap` apart, in the same order, near the given ones.

    They are between `low` and `high`; if there is no room for all, the lowest ones are below `low`.
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
