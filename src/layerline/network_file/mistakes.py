"""Mistakes in a network file, and their messages: file:line:column, the line, a caret, the shapes, and the fix."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from layerline.errors import NetworkError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.layers import Misfit

MOST_SHOWN: Final = 10
_COLUMNS: Final = 80
_MARGIN: Final = 7
"""Width of the margin before a quoted line: `   3 | `."""

_NO_BREAK: Final = "\u00a0"
_QUOTED: Final = re.compile("`[^`]*`")
_NEWLINE: Final = re.compile(r"\r\n|\n|\r")


@final
@dataclass(frozen=True, order=True)
class Span:
    """A part of one line: the line from 1, start and end from 0 in characters (code points), end exclusive."""

    line: int
    start: int
    end: int


@final
class Mistakes:
    """Collects the mistakes in one file, to report up to ten of them in one error."""

    def __init__(self, file: str, text: str) -> None:
        """Store the file's name and its lines."""
        self.file = file
        self.lines = split(text)
        self._shown: dict[Span, str] = {}
        self._more = False
        self._said: set[str] = set()

    @property
    def full(self) -> bool:
        """Whether no further mistake would be reported, so that looking for more is pointless."""
        return len(self._shown) >= MOST_SHOWN

    def aside(self) -> Mistakes:
        """Return an empty copy for the same lines, for a tentative reading."""
        other = Mistakes(self.file, "")
        other.lines = self.lines
        return other

    def add(self, span: Span, misfit: Misfit, shapes: str | None = None) -> None:
        """Record `misfit` at `span`, unless there is already a mistake at that position."""
        if span in self._shown:
            return
        if self.full:
            self._more = True
            return
        helps = misfit.help if misfit.help not in self._said or len(misfit.help) < _COLUMNS else None
        self._said.add(misfit.help or "")
        self._shown[span] = render(self.file, self.lines, span, misfit.reason, helps, shapes)

    def render(self, span: Span, misfit: Misfit, shapes: str | None = None) -> str:
        """Return the message, without a newline at the end."""
        return render(self.file, self.lines, span, misfit.reason, misfit.help, shapes)

    def raise_any(self) -> None:
        """Raise NetworkError with every mistake in the order of the file, if there is one."""
        if not self._shown:
            return
        parts = [self._shown[span] for span in sorted(self._shown)]
        if self._more:
            parts.append(f"Only the first {MOST_SHOWN} mistakes are listed.")
        raise NetworkError("\n\n".join(parts))


def split(text: str) -> list[str]:
    """Return the lines of a text, separated by LF, CRLF or CR only."""
    return _NEWLINE.split(text)


def refusal(file: str, text: str, line: int, reason: str, help: str | None) -> NetworkError:  # noqa: A002
    """Return the error about the whole of line `line` (from 1)."""
    lines = split(text)
    return NetworkError(render(file, lines, code_span(lines, line), reason, help))


def code_span(lines: Sequence[str], line: int) -> Span:
    """Return the position of the code on line `line` (from 1), without surrounding spaces and without its comment."""
    code = lines[line - 1].partition("#")[0].rstrip()
    return Span(line, len(code) - len(code.lstrip()), len(code))


def render(
    file: str,
    lines: Sequence[str],
    span: Span,
    reason: str,
    help: str | None = None,  # noqa: A002
    shapes: str | None = None,
) -> str:
    """Return a message in the standard format for a network file, without control characters."""
    shown, before, width = _window(lines[span.line - 1], span)
    message = [f"{display.name(file, 200)}:{span.line}:{span.start + 1}: {reason}"]
    if shown:
        number = f"{span.line:>{_MARGIN - 3}d}"
        message += [f"{number} | {shown}", f"{' ' * len(number)} | {' ' * before}{'^' * width}"]
    if shapes:
        message.append(f"  shapes: {shapes}")
    if help:
        message.append(_folded(f"  help: {help}"))
    return "\n".join(message)


def _folded(text: str) -> str:
    """Return a text wrapped to 80 columns, without breaks between backticks."""
    import textwrap

    whole = _QUOTED.sub(lambda quoted: quoted[0].replace(" ", _NO_BREAK), text)
    lines = textwrap.wrap(whole, _COLUMNS, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(_NO_BREAK, " ")


def _window(line: str, span: Span) -> tuple[str, int, int]:
    """Return the part of a line that fits, the number of columns before the carets, and the number of carets."""
    cells = [_cell(letter) for letter in line[: span.end + _COLUMNS]]
    columns = _COLUMNS - _MARGIN - 2
    first = 0
    if sum(map(_width, cells[: span.end])) > columns and span.start > 8:
        first = span.start - 8
    shown, last = "", first
    while last < len(cells) and _width(shown) + _width(cells[last]) <= columns:
        shown += cells[last]
        last += 1
    before = _width("".join(cells[first : span.start]))
    carets = max(1, _width("".join(cells[span.start : min(span.end, last)])))
    left, right = "…" * (first > 0), "…" * (last < len(line))
    return (left + shown + right).rstrip(), before + len(left), carets


def _cell(letter: str) -> str:
    """Return a character for display: a tab as four spaces, and unprintable characters escaped."""
    return "    " if letter == "\t" else display.name(letter)


def _width(shown: str) -> int:
    """Return the number of terminal columns that a text takes."""
    if shown.isascii():
        return len(shown)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in shown)
    return len(shown) + wide - sum(unicodedata.combining(letter) > 0 for letter in shown)
