"""The sheet that graphs are drawn on: one look whatever the user's settings, and equal files for equal runs.

A sheet is a list of marks; `painting` turns it into a PNG or an SVG. No part of matplotlib that reads its global
settings (Figure, Axes, Text, …) is used, so that none has to be set, not even for a moment: another thread may be
drawing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, final

import numpy as np

from layerline.files import whole
from layerline.report import painting
from layerline.report.letters import longest
from layerline.report.marks import Area, Mark, Pixels, Stroke, Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Frame", "Sheet", "longest"]

COLUMN: Final = 3.5
"""The width of a column of a printed paper, in inches; graphs with more content are wider."""

# Okabe and Ito's colors (2008): distinguishable with any kind of color blindness, and in grayscale.
TRAINING: Final = "#0072B2"
VALIDATION: Final = "#D55E00"
TEST: Final = "#333333"
INK: Final = "#222222"
FAINT: Final = "#767676"
EMPTY: Final = "#E4E4E4"
WHITE: Final = "#FFFFFF"

TEXT: Final = 7.5
"""Size of text in points."""
TITLE: Final = 8.5
_SMALL: Final = 6.5
_LINE: Final = 0.6
"""Width of the lines around a graph, in points."""

# ColorBrewer's Blues and reversed RdBu (Harrower and Brewer 2003), from the first to the last color.
BLUES: Final = "f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b"
RED_BLUE: Final = "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f"

Across = Literal["left", "center", "right"]
Up = Literal["top", "center", "baseline", "bottom"]


@dataclass(frozen=True)
class Frame:
    """A rectangle on the sheet, in inches from its lower left corner, and the axis values at its edges."""

    left: float
    bottom: float
    width: float
    height: float
    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)
    log: bool = False
    """Whether the y axis is logarithmic."""

    @property
    def right(self) -> float:
        """Return the position of this edge, in inches."""
        return self.left + self.width

    @property
    def top(self) -> float:
        """Return the position of this edge, in inches."""
        return self.bottom + self.height

    def across(self, x: float) -> float:
        """Return the position of a value on the x axis, in inches."""
        return self.left + self.width * (x - self.x[0]) / (self.x[1] - self.x[0])

    def up(self, y: float) -> float:
        """Return the position of a value on the y axis, in inches."""
        low, high, at = np.log((*self.y, y)) if self.log else (*self.y, y)
        return float(self.bottom + self.height * (at - low) / (high - low))


@final
@dataclass
class Sheet:
    """A white sheet of `width` × `height` inches with marks on it; later marks cover earlier ones."""

    width: float
    height: float
    marks: list[Mark] = field(default_factory=list)

    def text(
        self, x: float, y: float, words: str, *, size: float = TEXT, color: str = INK, bold: bool = False,
        across: Across = "left", up: Up = "baseline", turned: bool = False, spacing: float = 1.2,
    ) -> None:  # fmt: skip
        """Write text at a position, in one or more lines; turned text runs upwards, with `across` along it."""
        self.marks.append(Text(x, y, words, size, color, bold, across, up, turned, spacing))

    def line(
        self, points: Sequence[tuple[float, float]], color: str = FAINT, width: float = _LINE, *,
        dashes: tuple[float, ...] = (),
    ) -> None:  # fmt: skip
        """Draw a line through the points; its width and dashes are in points of 1/72 inch."""
        self.marks.append(Stroke(tuple(points), color, width, dashes))

    def area(
        self, points: Sequence[tuple[float, float]], color: str, *, edge: str | None = None, width: float = 0.0
    ) -> None:
        """Fill a polygon."""
        self.marks.append(Area(tuple(points), color, edge, width))

    def pixels(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        """Fill a frame with pixels (H, W, 3 or 4), each a rectangle of one color."""
        self.marks.append(Pixels(frame.left, frame.bottom, frame.width, frame.height, pixels))

    def outline(self, frame: Frame, width: float = _LINE) -> None:
        """Draw the frame's four sides."""
        x0, y0, x1, y1 = frame.left, frame.bottom, frame.right, frame.top
        for side in (((x0, y0), (x1, y0)), ((x0, y1), (x1, y1)), ((x0, y0), (x0, y1)), ((x1, y0), (x1, y1))):
            self.line(side, width=width)

    def below(
        self, frame: Frame, ticks: Sequence[tuple[float, str]], *, size: float = TEXT, length: float = 3.5,
        pad: float = 3.5, turned: bool = False,
    ) -> None:  # fmt: skip
        """Write the values of the x axis under the frame; length and pad of the ticks are in points."""
        for value, words in ticks:
            x = frame.across(value)
            if length:
                self.line([(x, frame.bottom), (x, frame.bottom - length / 72)], width=0.8)
            y = frame.bottom - (length + pad) / 72
            if turned:
                self.text(x, y, words, size=size, across="right", up="center", turned=True)
            else:
                self.text(x, y, words, size=size, across="center", up="top")

    def beside(
        self, frame: Frame, ticks: Sequence[tuple[float, str]], *, size: float = TEXT, length: float = 3.5,
        pad: float = 3.5, right: bool = False,
    ) -> None:  # fmt: skip
        """Write the values of the y axis at the left or the right of the frame."""
        edge, away = (frame.right, 1) if right else (frame.left, -1)
        for value, words in ticks:
            y = frame.up(value)
            if length:
                self.line([(edge, y), (edge + away * length / 72, y)], width=0.8)
            x = edge + away * (length + pad) / 72
            self.text(x, y, words, size=size, across="left" if right else "right", up="center")

    def bar(self, frame: Frame, colors: str, ticks: Sequence[tuple[float, str]]) -> None:
        """Draw a color bar with its values at the right."""
        shades = shaded(np.linspace(1.0, 0.0, 256)[:, None], colors)
        self.pixels(frame, shades)
        self.outline(frame, 0.4)
        self.beside(frame, ticks, size=_SMALL, length=2, pad=1.5, right=True)

    def png(self, dots: int) -> bytes:
        """Return the sheet as a PNG with `dots` pixels per inch, without a date or a version inside."""
        return painting.png(self.width, self.height, self.marks, dots)

    def svg(self, dots: int) -> bytes:
        """Return the sheet as an SVG, its images at `dots` pixels per inch, without a date or a version inside."""
        return painting.svg(self.width, self.height, self.marks, dots)

    def publish(self, folder: Path, name: str) -> tuple[str, str]:
        """Write `<name>.png` and `<name>.svg`, and return the two names.

        Up to one column wide a PNG has 300 pixels per inch, above that 200. Raises UserError if it cannot be written.
        """
        dots = 300 if self.width <= COLUMN else 200
        for ending, content in (("png", self.png(dots)), ("svg", self.svg(dots))):
            whole.write(folder / f"{name}.{ending}", (content,))
        return f"{name}.png", f"{name}.svg"


def shaded(shares: NDArray[np.float64], colors: str) -> NDArray[np.uint8]:
    """Return colors, uint8 (…, 3), for values from 0 to 1, interpolated between `colors`; NaN becomes EMPTY."""
    known = np.array([list(bytes.fromhex(each)) for each in colors.split()], np.float64)
    at = np.linspace(0.0, 1.0, len(known))
    filled = np.nan_to_num(shares)
    found = np.stack([np.interp(filled, at, known[:, k]) for k in range(3)], axis=-1)
    found[np.isnan(shares)] = list(bytes.fromhex(EMPTY[1:]))
    return found.round().astype(np.uint8)
