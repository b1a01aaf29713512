"""Output of text to a terminal of any width, a file, or a pipe that may close, in an encoding that may be limited."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Final, TextIO, final

from layerline.cli.color import Color, colored, colors_on, draws_on

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS: Final = 80
"""The maximum width of text, and the width if that of the terminal is unknown."""

_PLAIN: Final = {
    "★": "*",
    "×": "x",
    "→": "->",
    "–": "-",
    "…": "...",
    "─": "-",
    "█": "#",
    "░": ".",
    "·": ".",
    "μ": "momentum",
    "λ": "decay",
    "√": "root ",
    "≈": "about ",
    "≤": "<=",
    "≥": ">=",
    "“": '"',
    "”": '"',
    "é": "e",
}
"""Replacements for characters that the encoding lacks; all others are escaped."""


def bar(share: float, letters: int) -> str:
    """Return a progress bar of `letters` characters, `███░░░`, filled to the fraction `share`."""
    full = round(share * letters)
    return "█" * full + "░" * (letters - full)


def prepare_streams() -> None:
    """Make stdout and stderr accept every character: those that their encoding lacks are replaced."""
    codecs.register_error("layerline", _plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="layerline")


def detach(stream: TextIO) -> None:
    """Discard pending output to a closed pipe or full disk, which would otherwise fail at exit."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass


def wipe(stream: TextIO | None, environment: Mapping[str, str]) -> None:
    """Remove a bottom line that may still be drawn, so that the next message starts on a new line."""
    if stream is not None and draws_on(stream, environment):
        stream.write("\r\x1b[K")
        stream.flush()


@final
class Terminal:
    """Permanent lines and, on a terminal, one line at the bottom that is redrawn."""

    def __init__(self, stream: TextIO | None, environment: Mapping[str, str]) -> None:
        """Find out what kind of stream it is."""
        self._stream = stream
        self.draws = stream is not None and draws_on(stream, environment)
        """Whether the bottom line is drawn at all."""
        self._colors = stream is not None and colors_on(stream, environment)
        self._drawn = False

    @property
    def columns(self) -> int:
        """Return the maximum text width: the terminal's, at most 80; 80 if it is not a terminal."""
        return min(COLUMNS, shutil.get_terminal_size().columns) if self.draws else COLUMNS

    def say(self, text: str = "", color: Color | None = None) -> None:
        """Write one or more permanent lines, in a color if there are colors.

        If the reader is gone they are dropped, and training continues.
        """
        text = self._colored(text, color)
        self._write(("\r\x1b[K" if self._drawn else "") + text + "\n")
        self._drawn = False

    def draw(self, text: str) -> None:
        """Redraw the bottom line; does nothing if it is not a terminal."""
        if self.draws:
            self._write(f"\r{text[: self.columns - 1]}\x1b[K")
            self._drawn = True

    def clear(self) -> None:
        """Remove the bottom line."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def fact(self, label: str, text: str) -> None:
        """Write `label  text`, wrapped, with the text in its own column."""
        head = f"{label:<9}"
        lines = textwrap.wrap(text, max(30, self.columns - len(head)), break_long_words=False, break_on_hyphens=False)
        self.say(self._colored(head, Color.LABEL) + f"\n{' ' * len(head)}".join(lines))

    def _colored(self, text: str, color: Color | None) -> str:
        return text if color is None or not self._colors else colored(text, color)

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            detach(self._stream)
            self._stream, self.draws = None, False


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return replacements for the characters that cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or _escaped(letter) for letter in missing), error.end


def _escaped(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode("ascii")
