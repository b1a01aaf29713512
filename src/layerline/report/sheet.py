"""The paper the graphs are drawn on: one look, whatever a user's settings are, and files that are equal for equal runs.

matplotlib is used through its objects (Figure, Agg and SVG canvas); pyplot is never imported, so no window system is
touched. What it keeps as global settings is set for the time of a drawing and then put back.
"""

from __future__ import annotations

import contextlib
import io
import logging
from typing import TYPE_CHECKING, Any, Final

from layerline import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN: Final = 3.5
"""The width of a paper's column, in inches; graphs that hold more are wider."""

# Okabe and Ito's colours (2008): people with any kind of colour blindness tell them apart. They differ in grey as well.
TRAINING: Final = "#0072B2"
VALIDATION: Final = "#D55E00"
TEST: Final = "#333333"
INK: Final = "#222222"
FAINT: Final = "#767676"
EMPTY: Final = "#E4E4E4"

TEXT: Final = 7.5
"""Size of text in points."""

_SETTINGS: Final[Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.5,
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans"],
    "font.size": TEXT,
    "grid.color": EMPTY,
    "grid.linewidth": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "layerline",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": TEXT,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": TEXT,
}


@contextlib.contextmanager
def look() -> Iterator[None]:
    """Hold matplotlib's settings at ours; afterwards they are what they were."""
    import warnings

    import matplotlib as mpl

    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        warnings.filterwarnings("ignore", message="Glyph")  # a class name in a script the font lacks is drawn as boxes
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


def sheet(width: float, height: float, left: float, right: float, bottom: float, top: float) -> tuple[Figure, Axes]:
    """Return an empty figure of `width` × `height` inches and its axes, with these margins in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    return figure, figure.add_axes(box)


def longest(texts: Sequence[str], points: float) -> float:
    """Return the length in inches of the longest of `texts` (at least one) at this size of letters."""
    from matplotlib.textpath import TextPath

    candidates = sorted(texts, key=len)[-8:]
    return max(float(TextPath((0, 0), text, size=points).get_extents().width) for text in candidates) / 72


def publish(figure: Figure, folder: Path, name: str) -> tuple[str, str]:
    """Write `<name>.png` and `<name>.svg`, without a date or a version inside, and return the two names.

    A PNG has 300 pixels an inch up to a column's width, 200 beyond. Raises UserError where it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    dots = 300 if figure.get_figwidth() <= COLUMN else 200
    png, svg = io.BytesIO(), io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(png, format="png", dpi=dots, metadata={"Software": None})
    FigureCanvasSVG(figure)
    figure.savefig(svg, format="svg", dpi=dots, metadata={"Date": None, "Creator": None})
    for ending, content in (("png", png), ("svg", svg)):
        whole_file.write(folder / f"{name}.{ending}", (content.getbuffer(),))
    return f"{name}.png", f"{name}.svg"
