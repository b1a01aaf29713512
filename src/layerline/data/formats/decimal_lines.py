"""Parse lines of numbers of any form, with a column that may be text: slower than whole numbers (`pixel_lines`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import numpy as np

from layerline.data.formats.pixel_lines import Lines
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from layerline.errors import DataError


def is_number(cell: str) -> bool:
    """Return whether a cell is a number: 12, 0.5 or 5.000e+00."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


@final
@dataclass
class DecimalLines(Lines):
    """Lines of `columns` numbers, read from a stream; one column may be text."""

    text: int | None = None
    """The column of text; its values are the positions of the texts in `texts`."""
    texts: dict[str, int] = field(default_factory=dict)

    def _parsed(self, content: bytes) -> NDArray[np.float64]:
        lines = content[:-1].decode("utf-8", "replace").split("\n")
        found = np.empty((len(lines), self.columns))
        for row, line in zip(found, lines, strict=True):
            row[:] = self._numbers(line.split(self.separator))
            self.number += 1
        return found

    def _numbers(self, cells: list[str]) -> list[float]:
        """Return the values of a line. Raises DataError for the first wrong cell."""
        if len(cells) != self.columns:
            raise self._error(self.number, display.counted(len(cells), "cell"), display.count(self.columns))
        if self.text is not None:
            label = cells[self.text].strip().strip('"').strip()
            if not label:
                raise self._error(self.number, f"an empty cell in column {self.text + 1}", "a label")
            cells[self.text] = str(self.texts.setdefault(label, len(self.texts)))
        try:
            return list(map(float, cells))
        except ValueError:
            raise self._not_a_number(cells) from None

    def _not_a_number(self, cells: Sequence[str]) -> DataError:
        column = next(column for column, cell in enumerate(cells) if not is_number(cell))
        what = display.name(cells[column], 30) or "an empty cell"
        return self._error(self.number, f"{what} in column {column + 1}", "a number")
