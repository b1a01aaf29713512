"""Where the text goes: a terminal of some width, a file, a pipe that may close, an encoding that may lack letters."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Final, TextIO, final

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS: Final = 80
"""How wide text is at most, and where nothing says how wide the terminal is."""

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
"""What stands for a letter where the encoding has none for it; other letters are escaped."""


def bar(share: float, letters: int) -> str:
    """Return a bar of so many letters, `███░░░`, of which a share is full."""
    full = round(share * letters)
    return "█" * full + "░" * (letters - full)


def prepare_streams() -> None:
    """Make stdout and stderr take every letter: those that their encoding lacks are written plainly."""
    codecs.register_error("layerline", _plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="layerline")


def detach(stream: TextIO) -> None:
    """Let what is still to be written to a closed pipe or full disk go nowhere, instead of failing at exit."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass


def wipe(stream: TextIO | None, environment: Mapping[str, str]) -> None:
    """Remove a bottom line that may still be drawn, so that what is said next begins a line of its own."""
    if stream is not None and draws_on(stream, environment):
        stream.write("\r\x1b[K")
        stream.flush()


def draws_on(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether a bottom line is drawn there. `environment` is os.environ: TERM=dumb means no drawing."""
    return stream.isatty() and environment.get("TERM") != "dumb"


@final
class Terminal:
    """Lines that stay, and on a terminal one line at the bottom that is drawn again and again."""

    def __init__(self, stream: TextIO | None, environment: Mapping[str, str]) -> None:
        """Look what the stream is."""
        self._stream = stream
        self.draws = stream is not None and draws_on(stream, environment)
        """Whether the bottom line is shown at all."""
        self._drawn = False

    @property
    def columns(self) -> int:
        """Return how wide text may be: the terminal's width, at most 80; 80 where it is no terminal."""
        return min(COLUMNS, shutil.get_terminal_size().columns) if self.draws else COLUMNS

    def say(self, text: str = "") -> None:
        """Write a line, or several, that stay. Where nobody reads any more, it is dropped: training goes on."""
        self._write(("\r\x1b[K" if self._drawn else "") + text + "\n")
        self._drawn = False

    def draw(self, text: str) -> None:
        """Write the bottom line anew; nothing where it is no terminal."""
        if self.draws:
            self._write(f"\r{text[: self.columns - 1]}\x1b[K")
            self._drawn = True

    def clear(self) -> None:
        """Remove the bottom line."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def fact(self, label: str, text: str) -> None:
        """Write `label  text`, folded, the text in a column of its own."""
        head = f"{label:<9}"
        lines = textwrap.wrap(text, max(30, self.columns - len(head)), break_long_words=False, break_on_hyphens=False)
        self.say(head + f"\n{' ' * len(head)}".join(lines))

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
    """Return what is written for letters that cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or _escaped(letter) for letter in missing), error.end


def _escaped(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode("ascii")
