"""The kinds of marks on a sheet. Positions are in inches from its lower left corner, widths and sizes in points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Stroke:
    """A line through points."""

    points: Points
    color: str
    width: float
    dashes: tuple[float, ...]


@dataclass(frozen=True)
class Area:
    """A filled polygon, outlined if it has an edge color."""

    points: Points
    color: str
    edge: str | None
    width: float


@dataclass(frozen=True, eq=False)
class Pixels:
    """An image (H, W, 3 or 4); a pixel is a rectangle of one color."""

    left: float
    bottom: float
    width: float
    height: float
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Text:
    """Lines of text at a position; see Sheet.text."""

    x: float
    y: float
    words: str
    size: float
    color: str
    bold: bool
    across: str
    up: str
    turned: bool
    spacing: float


Mark = Stroke | Area | Pixels | Text
