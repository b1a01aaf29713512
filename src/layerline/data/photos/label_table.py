"""The cells of a table of labels, as spreadsheets and programs write it: CSV in any usual form, or JSON lines.

Nothing is known here about columns: `label_columns` finds those that are used.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline.data.formats.recognize import kind, shown
from layerline.data.photos import several_labels
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

_MAX_BYTES: Final = 2**26
"""Maximum size of a label file."""
_MAX_COLUMNS: Final = 20_000
"""Maximum number of columns: more than there may be classes."""
_MAX_CELLS: Final = 2**25
"""Maximum number of cells of JSON lines, which need not be written if they are empty."""
HEADER: Final = "the first line names the columns: file,label and optionally split and group"
_SPREADSHEETS: Final = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
_OLE: Final = b"\xd0\xcf\x11\xe0"
"""The first bytes of an .xls file."""
_WIDE: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEPARATOR: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""The first line that tells Excel the delimiter."""
_FOREIGN: Final = re.compile(r"[^\x00-\x7f]")
_WORD: Final = re.compile(r"[^\s,;]*")
_LONGEST_WORD: Final = 40
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class Table:
    """The lines of a table, all of the same number of cells; whether the first one is a header is not decided here."""

    place: str
    lines: tuple[tuple[int, tuple[str, ...]], ...]
    """Line number and cells, without surrounding spaces."""
    digest: str
    """SHA-256 (hex) of the file."""
    has_header: bool | None
    """None if it is not known."""
    notes: tuple[str, ...] = ()
    in_memory: bool = False
    """Whether it is a DataFrame, which has no path for commands in messages."""
    size: int = 0
    """Bytes of the file."""


def read(path: str | os.PathLike[str]) -> Table:
    """Read a table. Raises DataError with the line that is wrong."""
    place = shown(Path(path))
    content = _content(Path(path), place)
    text, notes = _text(content, place)
    digest = hashlib.sha256(content).hexdigest()
    if text.lstrip().startswith("{"):
        return Table(place, tuple(_objects(text, place)), digest, has_header=True, notes=notes, size=len(content))
    return Table(place, tuple(_even(_lines(text, place), place)), digest, None, notes, size=len(content))


def _content(path: Path, place: str) -> bytes:
    """Return the bytes of the file. Raises DataError if it cannot be a table."""
    try:
        content = regular.content(path, _MAX_BYTES)
    except OSError as error:
        raise DataError(f"--labels {place}: cannot be read: {error.strerror or error}", "check the path") from error
    except ValueError as error:
        raise DataError(f"--labels {place}: cannot be read: {error}", "check the path") from error
    if content is None:
        raise DataError(
            f"{place}: the file is larger than {display.size(_MAX_BYTES)}, expected lines of file,label",
            "check the path",
        )
    what = kind(content[:300])
    packed = what is not None and "zip" in what
    if content.startswith(_OLE) or (packed and (path.suffix.lower() in _SPREADSHEETS or b"xl/" in content)):
        raise DataError(
            f"{place}: found a spreadsheet, expected lines of file,label",
            "save it as CSV: in Excel, File > Save As > CSV UTF-8",
        )
    if what not in (None, "plain text"):
        raise DataError(f"{place}: found {what}, expected lines of file,label", HEADER)
    return content


def _text(content: bytes, place: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file in UTF-8, UTF-16 with a mark or Windows-1252, and a note if that was guessed."""
    if content.startswith(_WIDE):
        try:
            return content.decode("utf-16"), ()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{place}: byte {display.count(error.start)} is not valid UTF-16", "save it as CSV in UTF-8"
            ) from None
    notes: tuple[str, ...] = ()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:
            raise DataError(
                f"{place}:{line}: byte {display.count(error.start)} is not valid UTF-8", "save it as CSV in UTF-8"
            ) from None
        word = _foreign_word(text)
        example = f": {display.name(word, _LONGEST_WORD)}" if word else ""
        notes = (f"{place} is not UTF-8 and is read as Windows-1252, as Excel saves CSV{example}",)
    odd = _CONTROLS.search(text)
    if odd is not None and odd[0] == "\0":
        line = text[: odd.start()].count("\n") + 1
        raise DataError(f"{place}:{line}: found a zero byte, expected text", "save it as CSV in UTF-8")
    return text, notes


def _foreign_word(text: str) -> str:
    """Return the first word with a letter outside ASCII, of a long one the letters around it; "" if there is none.

    Both directions have an end: one expression for all would start again at every letter of a long line.
    """
    found = _FOREIGN.search(text)
    if found is None:
        return ""
    before, after = (
        _WORD.match(part)
        for part in (
            text[max(0, found.start() - _LONGEST_WORD) : found.start()][::-1],
            text[found.start() :][:_LONGEST_WORD],
        )
    )
    return (before[0][::-1] if before else "") + (after[0] if after else "")


def _lines(text: str, place: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, with their numbers, split into cells."""
    start, _, rest = text.partition("\n")
    marked = _SEPARATOR.fullmatch(start.strip())
    skipped = 1 if marked else 0
    if marked:
        text = rest
        start = text.split("\n", 1)[0]
    sign = marked[1] if marked else max(",;\t", key=lambda sign: (start.count(sign), sign == ","))
    if sign not in start and len(start.split()) > 1:
        for line, source in enumerate(text.splitlines(), 1):
            if source.strip():
                yield line, source.rsplit(maxsplit=1)
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    while True:
        line = reader.line_num + 1 + skipped
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{place}:{line}: not valid CSV ({error})",
                "if a cell contains a quote, double it and enclose the cell in quotes",
            ) from None
        yield line, cells


def _even(lines: Iterable[tuple[int, list[str]]], place: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the lines without empty ones and without empty columns at the end, all with the same number of cells."""
    found = [(line, tuple(cell.strip() for cell in cells)) for line, cells in lines]
    found = [(line, cells) for line, cells in found if any(cells)]
    if not found:
        return
    header = found[0][1]
    width = max(_filled(cells[: len(header)]) for _, cells in found)
    if width > _MAX_COLUMNS:
        raise DataError(
            f"{place}: found {display.count(width)} columns, expected at most {display.count(_MAX_COLUMNS)}",
            "keep the columns file and label",
        )
    for line, cells in found:
        if any(cells[width:]) or len(cells) < width:
            number = _filled(cells) if any(cells[width:]) else len(cells)
            raise DataError(
                f"{place}:{line}: found {display.counted(number, 'cell')}, expected {width} as in the first line",
                'enclose a name that contains a comma in quotes: "a, b.jpg"',
            )
        yield line, cells[:width]


def _filled(cells: tuple[str, ...]) -> int:
    """Return the number of cells up to the last one that is not empty."""
    return max((k for k, cell in enumerate(cells, 1) if cell), default=0)


def _objects(text: str, place: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield a header and the cells of lines that each hold a JSON object, as Hugging Face's metadata.jsonl does."""
    rows: list[tuple[int, dict[str, Any]]] = []
    names: dict[str, None] = {}
    for line, source in enumerate(text.split("\n"), 1):
        if not source.strip():
            continue
        try:
            row = json.loads(source)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(
                f"{place}:{line}: not a JSON object", 'write one per line, such as {"file_name": "1.png", "label": "a"}'
            )
        names |= dict.fromkeys(row)
        rows.append((line, row))
        if len(names) > _MAX_COLUMNS or len(names) * len(rows) > _MAX_CELLS:
            raise DataError(
                f"{place}:{line}: found {display.count(len(names))} different keys on {display.count(len(rows))} "
                f"lines, expected at most {display.count(_MAX_COLUMNS)}, and {display.count(_MAX_CELLS)} values",
                "keep the keys file_name and label",
            )
    yield 1, tuple(name.strip() for name in names)
    for line, row in rows:
        yield line, tuple(_cell(row.get(name)) for name in names)


def _cell(value: Any) -> str:
    """Return a JSON value as the text of a cell; the items of a list are joined."""
    if value is None:
        return ""
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        return several_labels.BAR.join(map(_cell, value))
    if isinstance(value, (list, dict)):
        return json.dumps(value)
    return str(value).strip()
