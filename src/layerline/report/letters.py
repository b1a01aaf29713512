"""Text as outlines, in the font that ships with matplotlib: no user setting and no installed font changes it.

Text in PNGs is drawn as outlines too, because Agg's own depends on settings (`text.hinting`, `font.family` and more).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

EM: Final = 100.0
"""The font size of the outlines."""
ASCENT: Final = 0.76
DESCENT: Final = 0.236
"""How far the letters l and p reach above and below the baseline, as a fraction of the font size."""
_FILES: Final = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}
_MISSING: Final = "\u25af"
"""Replaces a character that the font lacks."""


@dataclass(frozen=True, eq=False)
class Glyph:
    """An outline as matplotlib.path.Path takes it, EM units per font size."""

    vertices: NDArray[np.float64]
    codes: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class TextLine:
    """A line of text: the names and positions of its outlines, and where the ink begins and ends."""

    glyphs: Sequence[tuple[str, float, float]]
    begin: float
    end: float


@final
class Letters:
    """Typesets lines of text. Fonts cannot be shared between threads, so every drawing has its own."""

    def __init__(self) -> None:
        """Open the fonts."""
        import matplotlib as mpl
        from matplotlib.ft2font import FT2Font
        from matplotlib.textpath import TextToPath

        folder = Path(mpl.get_data_path(), "fonts", "ttf")
        self._fonts: dict[bool, Any] = {bold: FT2Font(str(folder / name)) for bold, name in _FILES.items()}
        for font in self._fonts.values():
            font.set_size(EM, 72)
        self._setter = TextToPath()
        self._found: dict[str, Any] = {}
        self._lines: dict[tuple[str, bool], TextLine] = {}

    def line(self, words: str, *, bold: bool = False) -> TextLine:
        """Return one line of text."""
        if (words, bold) not in self._lines:
            self._lines[words, bold] = self._set(words, bold)
        return self._lines[words, bold]

    def glyph(self, name: str) -> Glyph:
        """Return the outline of this name."""
        vertices, codes = self._found[name]
        return Glyph(np.asarray(vertices, np.float64), np.asarray(codes, np.uint8))

    def _set(self, words: str, bold: bool) -> TextLine:
        font = self._fonts[bold]
        known = "".join(letter if font.get_char_index(ord(letter)) else _MISSING for letter in words)
        placed, self._found, _ = self._setter.get_glyphs_with_font(font, known, self._found)
        glyphs = [(name, float(x), float(y)) for name, x, y, _ in placed]
        ink = [x + np.asarray(self._found[name][0])[:, 0] for name, x, _ in glyphs if len(self._found[name][0])]
        every = np.concatenate(ink) if ink else np.zeros(1)
        return TextLine(glyphs, float(every.min()), float(every.max()))


def longest(texts: Sequence[str], points: float) -> float:
    """Return the length in inches of the longest of `texts` (at least one) at this font size."""
    letters = Letters()
    lines = [letters.line(text) for text in sorted(texts, key=len)[-8:]]
    return max(line.end - line.begin for line in lines) * points / EM / 72
