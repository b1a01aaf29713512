"""Formatting of a network file: canonical words, named arguments, indented blocks, unchanged comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.network_file.mistakes import Mistakes
from layerline.network_file.tree import INDENTING, read_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

_INDENT: Final = "    "


def formatted(text: str, file: str = "network") -> str:
    """Return the formatted text of the same network: `Conv 6 kernel=5 padding=2`. Formatting it again changes nothing.

    Raises NetworkError if the file cannot be parsed; shapes are not checked.
    """
    mistakes = Mistakes(file, text)
    tree = read_tree(mistakes)
    mistakes.raise_any()
    rows: list[tuple[str, str]] = []
    depth = 0
    for line in tree.lines:
        if line.statement:
            level, code = tree.readable[line.number]
            depth = level + (line.statement.word.text.lower() in INDENTING)
            first, *others = code.split("\n")
            rows += [
                (_INDENT * level + first, line.comment or ""),
                *((_INDENT * level + other, "") for other in others),
            ]
        else:
            rows.append(("", _INDENT * depth + line.comment if line.comment else ""))
    return "\n".join([*_join(_without_blanks(rows)), ""])


def _without_blanks(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the rows without empty ones at both ends, and with one instead of several in between."""
    kept: list[tuple[str, str]] = []
    for row in rows:
        if row != ("", "") or (kept and kept[-1] != ("", "")):
            kept.append(row)
    return kept[:-1] if kept and kept[-1] == ("", "") else kept


def _join(rows: list[tuple[str, str]]) -> list[str]:
    """Return the lines, with the comments of neighboring lines aligned."""
    lines: list[str] = []
    first = 0
    while first < len(rows):
        last = first
        while last < len(rows) and rows[last][0]:
            last += 1
        width = max((len(code) for code, comment in rows[first:last] if comment), default=0)
        lines += [f"{code:<{width}}  {comment}" if comment else code for code, comment in rows[first:last]]
        if last < len(rows):
            lines.append(rows[last][1])
        first = last + 1
    return lines
