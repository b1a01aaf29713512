"""Tables as text: columns as wide as their longest cells."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from layerline.cli.terminal import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_GAP: Final = "  "
_INDENT: Final = "    "


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Return a line for the head and each row; the columns in `left` are left-aligned, the others right-aligned."""
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            f"{cell:<{width}}" if k in left else f"{cell:>{width}}"
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines


def folded(text: str) -> str:
    """Return text wrapped at 80 columns, all lines except the first indented."""
    return "\n".join(
        textwrap.wrap(text, COLUMNS, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)
    )
