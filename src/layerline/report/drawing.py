"""The charts of report.html as inline SVG. Colors come from the page's style, so they follow light and dark mode.

All text from outside is escaped here; the returned markup goes into the page unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerline.report.plotted_metrics import Curve, PlottedMetric

_WIDTH: Final = 360
"""Width of every chart; a unit is about a pixel on a phone, so that text of size 12 is displayed at size 12."""
_HEIGHT: Final = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 34
_MOST_POINTS: Final = 300
_MOST_MARKS: Final = 40
"""Maximum number of points with a marker that shows its value on hover."""


def thin(count: int, keep: Sequence[int] = (), most: int = _MOST_POINTS) -> list[int]:
    """Return about `most` of 0 … count−1 at most, evenly spaced, with the first, the last and those of `keep`."""
    if count <= most:
        return list(range(count))
    even = {round(k * (count - 1) / (most - 1)) for k in range(most)}
    return sorted(even | {k for k in keep if 0 <= k < count})


def chart(metric: PlottedMetric, summary: str, lines: Sequence[Curve], level: float | None, best: int | None) -> str:
    """Return a chart of the lines over the epochs, with a dashed line at `level` (the test) and a star at epoch `best`.

    summary: for screen readers. There is at least one line.
    """
    values = [value for line in lines for _, value in line.points] + ([] if level is None else [level])
    epochs, text = [epoch for line in lines for epoch, _ in line.points], metric.text
    y = _axis(min(values), max(values), log=metric.logarithmic(min(values), max(values)))
    x = _across(min(epochs), max(epochs))
    parts = [_grid(y), _epochs(x, min(epochs), max(epochs))]
    if level is not None:
        height = _f(y.place(level))
        end = _WIDTH - _RIGHT
        parts.append(
            f'<path class="test" d="M{_LEFT} {height}H{end}"><title>test: {escape(text(level))}</title></path>'
        )
    parts += [_line(line, x, y, text, best) for line in lines]
    starred = [line for line in lines if any(epoch == best for epoch, _ in line.points)]
    if best is not None and starred:
        value = dict(starred[-1].points)[best]
        parts.append(_star(x.place(best), y.place(value), f"best epoch: {best}, {text(value)}"))
    return _svg(metric.title, summary, _HEIGHT, "".join(parts))


@dataclass(frozen=True)
class Bar:
    """A value from 0 to 1 on a scale, with its interval if it has one."""

    label: str
    style: str
    value: float
    reads: str
    interval: tuple[float, float] | None = None


def scale(title: str, summary: str, bars: Sequence[Bar]) -> str:
    """Return a bar chart on a scale from 0 to 100%, each bar with its name and value above it."""
    row, left, right = 40, 6, _WIDTH - 6
    bottom = row * len(bars) + 8

    def at(value: float) -> str:
        return _f(left + (right - left) * min(max(value, 0.0), 1.0))

    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        anchor = "start" if tick == 0 else "end" if tick == 1 else "middle"
        parts.append(f'<path class="grid" d="M{at(tick)} 20V{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{at(tick)}" y="{bottom + 15}" text-anchor="{anchor}">{100 * tick:g}%</text>'
        )
    for k, bar in enumerate(bars):
        top = row * k
        parts.append(f'<text x="{left}" y="{top + 14}">{escape(bar.label)}</text>')
        parts.append(f'<text x="{right}" y="{top + 14}" text-anchor="end">{escape(bar.reads)}</text>')
        parts.append(f'<path class="bar {bar.style}" d="M{left} {top + 21}H{at(bar.value)}V{top + 33}H{left}z"/>')
        if bar.interval is not None:
            low, high = at(bar.interval[0]), at(bar.interval[1])
            middle = top + 27
            parts.append(
                f'<path class="whisker" d="M{low} {middle}H{high}M{low} {middle - 5}v10M{high} {middle - 5}v10"/>'
            )
    return _svg(title, summary, bottom + 20, "".join(parts))


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool
    begin: float
    end: float

    def place(self, value: float) -> float:
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.begin + (self.end - self.begin) * ((at - low) / (high - low) if high > low else 0.5)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most `most` + 1 round numbers (steps of 1, 2 or 5 times a power of ten) between low and high."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 5) if m * power >= rough * 0.999), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _axis(low: float, high: float, *, log: bool) -> _Axis:
    begin, end = _HEIGHT - _BOTTOM, _TOP
    if log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        every = -(-len(decades) // 6)
        marks = tuple(10.0**k for k in decades if k % every == 0 and low / 2 <= 10.0**k <= high * 2)
        return _Axis(min(low, *marks), max(high, *marks), marks, True, begin, end)
    if high - low < 1e-9 * max(1.0, abs(high)):
        spread = abs(high) * 0.1 or 0.1
        low, high = low - spread, high + spread
    margin = (high - low) * 0.05
    marks = tuple(ticks(low - margin, high + margin))
    return _Axis(min(low - margin, *marks), max(high + margin, *marks), marks, False, begin, end)


def _across(first: int, last: int) -> _Axis:
    return _Axis(first, last, (), False, _LEFT, _WIDTH - _RIGHT)


def _grid(y: _Axis) -> str:
    parts = []
    step = y.ticks[1] - y.ticks[0] if len(y.ticks) > 1 else 0.1
    decimals = 0 if step <= 0 else max(0, -math.floor(math.log10(step) + 1e-9))
    for tick in y.ticks:
        height = y.place(tick)
        label = f"{tick:g}" if y.log or decimals > 5 else f"{tick:.{decimals}f}"
        parts.append(f'<path class="grid" d="M{_LEFT} {_f(height)}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{_f(height + 4)}" text-anchor="end">{label}</text>')
    return "".join(parts)


def _epochs(x: _Axis, first: int, last: int) -> str:
    whole = sorted({round(tick) for tick in ticks(first, last, 6)} | {first})
    whole = [tick for tick in whole if tick == first or x.place(tick) - x.place(first) > 24]
    base = _HEIGHT - _BOTTOM
    parts = [
        f'<text class="tick" x="{_f(x.place(tick))}" y="{base + 16}" text-anchor="middle">{tick}</text>'
        for tick in whole
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) // 2
    parts.append(f'<text class="tick" x="{middle}" y="{base + 31}" text-anchor="middle">epoch</text>')
    return "".join(parts)


def _line(line: Curve, x: _Axis, y: _Axis, text: Callable[[float], str], best: int | None) -> str:
    at_best = [k for k, (epoch, _) in enumerate(line.points) if epoch == best]
    kept = [line.points[k] for k in thin(len(line.points), at_best)]
    places = [(x.place(epoch), y.place(value)) for epoch, value in kept]
    path = "M" + "L".join(f"{_f(a)} {_f(b)}" for a, b in places)
    marks = ""
    if len(kept) <= _MOST_MARKS:
        marks = "".join(
            _mark(line.label, a, b, f"{line.label}, epoch {epoch}: {text(value)}")
            for (a, b), (epoch, value) in zip(places, kept, strict=True)
        )
    return f'<g class="{line.label}"><path d="{path}"/>{marks}</g>'


def _mark(style: str, a: float, b: float, label: str) -> str:
    title = f"<title>{escape(label)}</title>"
    if style == "validation":
        return f'<rect x="{_f(a - 3)}" y="{_f(b - 3)}" width="6" height="6">{title}</rect>'
    return f'<circle cx="{_f(a)}" cy="{_f(b)}" r="3">{title}</circle>'


def _star(a: float, b: float, label: str) -> str:
    corners = []
    for k in range(10):
        radius, angle = (8.0 if k % 2 == 0 else 3.4), math.pi * k / 5
        corners.append(f"{_f(a + radius * math.sin(angle))} {_f(b - radius * math.cos(angle))}")
    return f'<path class="star" d="M{"L".join(corners)}z"><title>{escape(label)}</title></path>'


def _svg(title: str, summary: str, height: float, inside: str) -> str:
    label = escape(f"{title}. {summary}")
    return f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{label}">{inside}</svg>'


def _f(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
