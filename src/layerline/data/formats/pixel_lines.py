"""Parse lines of whole numbers, a block of lines at once: fast enough for the 110 MB that MNIST takes as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from layerline.data.formats.stream import Stream

LONGEST_LINE: Final = 2**20
"""Maximum size of a line in bytes: 512 × 512 pixels of up to three digits and a comma."""
_BLOCK: Final = 2**20
_NINE, _NEWLINE = 9, ord("\n")
_DIGITS: Final = 3
_HELP: Final = "each cell must be a whole number from 0 to 255"


@dataclass
class Lines:
    """Lines of `columns` whole numbers below 1,000, read from a stream."""

    stream: Stream
    separator: str
    columns: int
    held: bytes
    """Content that was already read."""
    number: int
    """Number of the first line in `held`."""

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield blocks of lines, (lines, columns). Raises DataError at the first line that is different."""
        while more := self.stream.take(_BLOCK):
            self.held += more
            whole, newline, self.held = self.held.rpartition(b"\n")
            if newline:
                yield from self._blocks(whole)
            elif len(self.held) > LONGEST_LINE:
                raise self._error(self.number, f"a line of more than {display.size(LONGEST_LINE)}", "lines of pixels")
        self.stream.close_end()
        yield from self._blocks(self.held)

    def _blocks(self, content: bytes) -> Iterator[NDArray[Any]]:
        content = content.replace(b"\r\n", b"\n").rstrip(b"\r\n")
        if content:
            yield self._parsed(content + b"\n")

    def _parsed(self, content: bytes) -> NDArray[Any]:
        text = np.frombuffer(content, np.uint8)
        digits = text - np.uint8(ord("0"))  # everything else is above 9
        ends = np.flatnonzero(digits > _NINE)
        lengths = np.diff(ends, prepend=-1) - 1
        lines = text[ends] == _NEWLINE
        right = len(ends) % self.columns == 0 and int(lengths.min()) >= 1 and int(lengths.max()) <= _DIGITS
        right = right and np.count_nonzero(lines) * self.columns == len(ends) and bool(lines[:: -self.columns].all())
        if not right or not (lines | (text[ends] == ord(self.separator))).all():
            raise self._first_wrong(content)
        values = digits[ends - 1].astype(np.uint16)
        for place in range(1, _DIGITS):  # what an index below 0 finds is not used: the length is less
            values += digits[ends - 1 - place] * (lengths > place) * np.uint16(10**place)
        self.number += len(ends) // self.columns
        return values.reshape(-1, self.columns)

    def _first_wrong(self, content: bytes) -> DataError:
        for number, line in enumerate(content[:-1].split(b"\n"), self.number):
            cells = line.decode("utf-8", "replace").split(self.separator)
            if len(cells) != self.columns:
                return self._error(number, display.counted(len(cells), "cell"), display.count(self.columns))
            for column, cell in enumerate(cells, 1):
                if not (cell.isascii() and cell.isdigit()) or len(cell) > _DIGITS:
                    what = display.name(cell, 30) or "an empty cell"
                    return self._error(number, f"{what} in column {column}", "a whole number")
        raise AssertionError(content[:100])

    def _error(self, number: int, found: str, expected: str) -> DataError:
        return DataError(f"{self.stream.name}:{number}: found {found}, expected {expected}", _HELP)
