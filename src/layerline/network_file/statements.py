"""The lexer: from text to words with their positions, whatever they mean."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from layerline.layers import Misfit
from layerline.network_file.mistakes import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.network_file.mistakes import Mistakes

_PIECE: Final = re.compile(r"[^ \t=]++[ \t]*+=[ \t]*+[^ \t=]++(?![ \t]*=)|[^ \t]++")
"""A word, a value, or name=value, with optional spaces around the sign."""
_MOST_PIECES: Final = 50
"""No valid line has this many values; the rest of a longer one need not be read."""
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@final
@dataclass(frozen=True)
class Token:
    """A word, a value, or name=value."""

    text: str
    span: Span


@final
@dataclass(frozen=True)
class Statement:
    """A line with code: its first word and the arguments after it."""

    word: Token
    arguments: tuple[Token, ...]

    @property
    def line(self) -> int:
        """Return its line, from 1."""
        return self.word.span.line


@final
@dataclass(frozen=True)
class SourceLine:
    """A line of the file: its statement and its comment (from the `#`), either of which may be missing."""

    number: int
    statement: Statement | None
    comment: str | None


def read_lines(mistakes: Mistakes) -> Iterator[SourceLine]:
    """Yield every line of the file lazily; control characters, even in comments, are mistakes."""
    return (_read(number, text, mistakes) for number, text in enumerate(mistakes.lines, start=1))


def _read(number: int, text: str, mistakes: Mistakes) -> SourceLine:
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        mistakes.add(
            Span(number, forbidden.start(), forbidden.end()),
            Misfit(f"the control character U+{ord(forbidden[0]):04X} is not allowed", "remove it"),
        )
    code, mark, comment = text.partition("#")
    pieces = itertools.islice(_PIECE.finditer(code), _MOST_PIECES)
    tokens = [Token(piece[0], Span(number, *piece.span())) for piece in pieces]
    statement = Statement(tokens[0], tuple(tokens[1:])) if tokens and not forbidden else None
    return SourceLine(number, statement, (mark + comment).rstrip() if mark else None)
