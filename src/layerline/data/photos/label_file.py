"""`--labels f.csv`: the class of each image file, and optionally its split and group, instead of folders.

    file,label,split,group
    cat/001.jpg,cat,train,farm 7

The header names the columns, in any order. `file` and `label` are required, or common synonyms (`image_id`, `class`),
or one 0/1 column per class instead of `label`. Other columns are ignored.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shlex
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.data.formats.recognize import kind, shown
from layerline.data.part import SPLITS
from layerline.data.photos import split_names
from layerline.data.photos.image_names import LONGEST_NAME, in_order
from layerline.errors import DataError, spelling
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Iterator

    from layerline.data.part import SplitName
    from layerline.data.photos.layout_refusal import Folders

_MAX_BYTES: Final = 2**26
"""Maximum size of a label file."""
_NEEDED: Final = ("file", "label")
_COLUMNS: Final = (*_NEEDED, "split", "group")
_HEADER: Final = "the first line names the columns: file,label and, if you have them, split and group"
_MAX_LISTED: Final = 3
_MAX_PATHS: Final = 5000
"""Maximum number of paths searched for a similar one."""


@dataclass(frozen=True)
class LabelRow:
    """The label, split and group of a file, and its line number."""

    line: int
    file: str
    label: str
    split: SplitName
    group: str


@dataclass
class LabelFile:
    """The rows of a label file, by the image file that each names."""

    place: str
    rows: dict[str, LabelRow]
    digest: str
    """SHA-256 (hex) of the label file."""
    has_groups: bool
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the training classes, in order."""
        return in_order({row.label for row in self.rows.values() if row.split == "train"})

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """Return the splits that occur in the rows."""
        named = {row.split for row in self.rows.values()}
        return tuple(split for split in SPLITS if split in named)

    def row(self, folders: Folders, name: str) -> LabelRow | None:
        """Return the row for a file, by its path or the end of it, with or without suffix; None if there is none."""
        parts = (*folders, name)
        for first in range(len(parts)):
            path = unicodedata.normalize("NFC", "/".join(parts[first:]))
            row = self.rows.get(path) or self.rows.get(path.rpartition(".")[0])
            if row is not None:
                return row
        return None

    def rank(self, folders: Folders, name: str) -> tuple[int, int]:
        """Return the index of the split and the class of a file: the order of the data set."""
        row = self.row(folders, name)
        assert row is not None  # noqa: S101 - files without a row are not read
        return SPLITS.index(row.split), self._numbers[row.label]

    @property
    def top(self) -> int:
        """Return the number of outer folders omitted from names: none."""
        return 0

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.classes)}

    def check_met(self, place: str, met: Collection[str], paths: Collection[str]) -> None:
        """Raise DataError if rows name files that do not exist; met: the names of those that do."""
        lacking = [row for file, row in self.rows.items() if file not in met]
        if not lacking:
            return
        first = lacking[0]
        others = f" ({display.count(len(lacking))} such lines)" if len(lacking) > 1 else ""
        near = _near(first.file, paths)
        raise DataError(
            f"{self.place}:{first.line}: the file {display.name(first.file, 100)} is not in {place}{others}",
            f"did you mean {display.name(near, 100)}?" if near else f"name each file by its path in {place}",
        )

    def check_once(self, place: str, files: Iterable[tuple[Folders, str]]) -> None:
        """Raise DataError if one row names several files: `0.jpg` the ones in train/ and in test/."""
        met: dict[str, str] = {}
        for folders, name in files:
            row, path = self.row(folders, name), "/".join((*folders, name))
            before = met.setdefault(row.file, path) if row is not None else path
            if row is not None and before != path:
                where = display.name(path.removesuffix(f"/{row.file}"), 60)
                raise DataError(
                    f"{self.place}:{row.line}: the file {display.name(row.file, 80)} is ambiguous in {place}: "
                    f"{display.name(before, 80)} or {display.name(path, 80)}",
                    f"exclude the other, for example with --exclude {shlex.quote(where)}, or name files by their paths",
                )


def read(path: str | os.PathLike[str]) -> LabelFile:
    """Read and check a label file. Raises DataError with the line that is wrong."""
    place = shown(Path(path))
    return parse(_content(Path(path), place), place)


def parse(content: bytes, place: str) -> LabelFile:
    """Return the rows of a label file from its bytes, UTF-8. Raises DataError with the line that is wrong."""
    lines = _lines(content.decode("utf-8-sig"), place)
    header_line, header = next(lines, (1, []))
    columns, classes, notes = _columns(header, f"{place}:{header_line}")
    rows: dict[str, LabelRow] = {}
    for line, cells in lines:
        if len(cells) != len(header):
            raise DataError(
                f"{place}:{line}: found {display.counted(len(cells), 'cell')}, expected {len(header)} as in the "
                "first line",
                'enclose a name that contains a comma in quotes: "a, b.jpg"',
            )
        found_in = {name: cells[k].strip() for name, k in columns.items()}
        if classes:
            found_in["label"] = _marked({name: cells[k].strip() for name, k in classes.items()}, f"{place}:{line}")
        row = _row(found_in, line, f"{place}:{line}")
        before = rows.setdefault(row.file, row)
        if before is not row:
            raise DataError(
                f"{place}:{line}: the file {display.name(row.file, 100)} is already on line {before.line}",
                "remove one of the two lines",
            )
    found = LabelFile(place, rows, hashlib.sha256(content).hexdigest(), "group" in columns, notes)
    _check(found)
    found.notes += _missing(found)
    return found


def _missing(found: LabelFile) -> tuple[str, ...]:
    """Return a note if a class is named like a missing value: programs write NaN for an empty cell."""
    names = [name for name in found.classes if name.lower() in _NO_VALUE]
    if not names or len(names) == len(found.classes):
        return ()
    lines = [row.line for row in found.rows.values() if row.label in names]
    text = f"{display.count(len(lines))} lines" if len(lines) > 1 else "1 line"
    classes = " and ".join(map(display.name, names))
    return (f"{classes} is treated as a class, on {text} such as {found.place}:{lines[0]}: is its label missing?",)


def _content(path: Path, place: str) -> bytes:
    try:
        content = regular.content(path, _MAX_BYTES)
    except OSError as error:
        raise DataError(f"--labels {place}: cannot be read: {error.strerror or error}", "check the path") from error
    except ValueError as error:
        raise DataError(f"--labels {place}: cannot be read: {error}", "check the path") from error
    if content is None:
        raise DataError(
            f"{place}: larger than {display.size(_MAX_BYTES)}, expected lines of file,label", "check the path"
        )
    what = kind(content[:300])
    if what not in (None, "plain text"):
        raise DataError(f"{place}: found {what}, expected lines of file,label", _HEADER)
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{place}:{line}: byte {display.count(error.start)} is not valid UTF-8",
            "save it as CSV in UTF-8",
        ) from None
    return content


def _lines(text: str, place: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, with their numbers, split into cells by the delimiter of the first one."""
    start = text.split("\n", 1)[0]
    sign = max(",;\t", key=lambda sign: (start.count(sign), sign == ","))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{place}:{line}: the line is not valid CSV ({error})",
                "enclose a cell that contains a quote in quotes, and write that quote twice",
            ) from None
        if cells:
            yield line, cells


def _columns(header: list[str], place: str) -> tuple[dict[str, int], dict[str, int], tuple[str, ...]]:
    """Return the indices of the columns that are used, those of one-per-class columns, and notes."""
    names = [name.strip().lower() for name in header]
    header_text = ", ".join(display.name(name, 30) for name in header[:8]) or "nothing"
    twice = next((name for name in _COLUMNS if names.count(name) > 1), None)
    if twice:
        raise DataError(f"{place}: found the column {twice} twice, expected it once", "rename one of them")
    columns: dict[str, int] = {name: names.index(name) for name in _COLUMNS if name in names}
    called = _called(names, columns)
    columns |= called
    others = [name for k, name in enumerate(names) if k not in columns.values()]
    classes = {}
    if "file" in columns and "label" not in columns and len(others) > 1 and not _nearly("label", others):
        classes = {header[k].strip(): k for k, name in enumerate(names) if name in others}
        others = []
    for name in _NEEDED:
        if name not in columns and not (name == "label" and classes):
            near = _nearly(name, others)
            raise DataError(
                f"{place}: found the columns {header_text}, but not "
                f"{' and '.join(needed for needed in _NEEDED if needed not in columns)}",
                f"is {display.name(near, 30)} the {name}? {_HEADER}" if near else _HEADER,
            )
    for name in ("split", "group"):
        near = "" if name in names else _nearly(name, others)
        if near:
            raise DataError(
                f"{place}: found the column {display.name(near, 30)}, expected file, label, split or group",
                f"did you mean {name}? rename the column, to make clear whether it is used",
            )
    table = place.rpartition(":")[0]
    notes = [
        f"{table}: the column {display.name(header[k].strip(), 30)} is used as {name}" for name, k in called.items()
    ]
    if others:
        others_text = ", ".join(display.name(name, 30) or "without a name" for name in others[:8])
        notes.append(f"ignored in {table}: the columns {others_text}")
    return columns, classes, tuple(notes)


def _called(names: list[str], columns: dict[str, int]) -> dict[str, int]:
    """Return the columns of files and labels that have other names, if they are unambiguous.

    If one of just two columns has the files, the other has the labels.
    """
    found: dict[str, int] = {}
    for needed in _NEEDED:
        if needed in columns:
            continue
        free = [k for k, name in enumerate(names) if name and k not in (*columns.values(), *found.values())]
        known = [k for k in free if _SIGNS.sub("", names[k]) in _MEANT[needed]]
        if needed == "label" and len(free) == 1 and "file" in found and not _nearly("split", [names[free[0]]]):
            known = free
        if len(known) == 1:
            found[needed] = known[0]
    return found


def _marked(cells: dict[str, str], place: str) -> str:
    """Return the class whose column is 1. Raises DataError unless there is exactly one."""
    values = {name: _TRUTH.get(value.lower()) for name, value in cells.items()}
    wrong = next((name for name, value in values.items() if value is None), None)
    if wrong is not None:
        raise DataError(
            f"{place}: found {display.name(cells[wrong], 30) or 'nothing'} in the column {display.name(wrong, 30)}, "
            "expected a column named label, or one column of 0 and 1 per class",
            _HEADER,
        )
    marked = [name for name, value in values.items() if value]
    if len(marked) != 1:
        some = ", ".join(display.name(name, 30) for name in marked[:4])
        text = f"{len(marked)} classes ({some})" if marked else "no class"
        raise DataError(
            f"{place}: found {text} for one image, expected one: several labels per image are not supported",
            "remove the line, or choose one class",
        )
    return marked[0]


_SIGNS: Final = re.compile(r"[\W_]+")
_TRUTH: Final = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_NO_VALUE: Final = ("nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "-", "?", "unknown", "missing")
"""Labels that may mean a missing value. A class can have such a name, so they are only reported."""
_MEANT: Final = {
    "file": (
        *("filename", "filenames", "files", "path", "paths", "filepath", "image", "images", "img", "imagepath"),
        *("imagename", "imagefile", "imageid", "imgid", "name", "id", "fname"),
    ),
    "label": (
        *("labels", "class", "classes", "classname", "category", "target", "y", "species", "diagnosis", "breed"),
        *("labelname", "cats"),
    ),
}
"""Common synonyms for these columns."""


def is_for(needed: str, column: str) -> bool:
    """Return whether a column's name is `file` or `label`, or a synonym of it."""
    plain = _SIGNS.sub("", column.lower())
    return plain == needed or plain in _MEANT[needed]


def _nearly(name: str, others: list[str]) -> str:
    """Return the column that is probably meant by a name; an empty string if there is none."""
    known = [other for other in others if _SIGNS.sub("", other) in _MEANT.get(name, ())]
    return known[0] if known else spelling.nearest(name, others) or ""


def _row(cells: dict[str, str], line: int, place: str) -> LabelRow:
    for name in _NEEDED:
        if not cells[name]:
            raise DataError(f"{place}: the {name} is empty", "fill it in, or remove the line")
    label = unicodedata.normalize("NFC", cells["label"])
    if len(label) > LONGEST_NAME:
        raise DataError(
            f"{place}: found a label of {len(label)} characters, expected at most {LONGEST_NAME}", "shorten it"
        )
    requested = cells.get("split", "train")
    split = split_names.split_of(requested)
    if split is None:
        near = spelling.nearest(requested, ("train", "val", "test", "validation"))
        raise DataError(
            f"{place}: {f'unknown split {display.name(requested)}' if requested else 'the split is empty'}, "
            "expected train, val or test",
            f"did you mean {near}?" if near else "omit the column for a random split",
        )
    file = unicodedata.normalize("NFC", cells["file"].replace("\\", "/").removeprefix("./"))
    return LabelRow(line, file, label, split, cells.get("group", ""))


def _check(found: LabelFile) -> None:
    """Raise DataError if there are no rows, no training rows, or a class without training rows."""
    if not found.rows:
        raise DataError(f"{found.place}: found no line after the header, expected one per image", _HEADER)
    if "train" not in found.splits:
        raise DataError(f"{found.place}: no line has the split train", "omit the column, or add training lines")
    known = set(found.classes)
    for row in found.rows.values():
        if row.label not in known:
            near = spelling.nearest(row.label, found.classes)
            raise DataError(
                f"{found.place}:{row.line}: found the label {display.name(row.label)} in {row.split}, "
                f"expected a class of train: {', '.join(display.name(name, 30) for name in found.classes[:8])}",
                f"did you mean {display.name(near)}?" if near else "add training images of it",
            )


def _near(file: str, paths: Collection[str]) -> str:
    """Return the path that is probably meant by a name; an empty string if there is none."""
    last = file.rpartition("/")[2].lower()
    names = [(path.rpartition("/")[2].lower(), path) for path in paths]
    for found in ([p for n, p in names if n == last], [p for n, p in names if n.rpartition(".")[0] == last]):
        if found:
            return min(found)
    return spelling.nearest(file, sorted(paths)[:_MAX_PATHS]) or ""
