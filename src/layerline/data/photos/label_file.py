"""`--labels f.csv`: which class an image file is of, and which split and group, where folders do not say it.

    file,label,split,group
    cat/001.jpg,cat,train,farm 7

The header names the columns, in any order; `file` and `label` must be there, or what others call them (`image_id`,
`class`), or one column for each class that is 1 where the image is of it. Other columns are not used.
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
"""Bytes."""
_NEEDED: Final = ("file", "label")
_COLUMNS: Final = (*_NEEDED, "split", "group")
_HEADER: Final = "the first line names the columns: file,label and, if you have them, split and group"
_MAX_LISTED: Final = 3
_MAX_PATHS: Final = 5000
"""Among so many paths a near one is looked for."""


@dataclass(frozen=True)
class LabelRow:
    """What a line says of a file."""

    line: int
    file: str
    label: str
    split: SplitName
    group: str


@dataclass
class LabelFile:
    """The lines of a file, by the names of the image files in them."""

    place: str
    rows: dict[str, LabelRow]
    digest: str
    """SHA-256 (hex) of the file."""
    has_groups: bool
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes that training has, in order."""
        return in_order({row.label for row in self.rows.values() if row.split == "train"})

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """Return the splits that lines name."""
        named = {row.split for row in self.rows.values()}
        return tuple(split for split in SPLITS if split in named)

    def row(self, folders: Folders, name: str) -> LabelRow | None:
        """Return the line of a file, by its path or its end, with or without a suffix; None where there is none."""
        parts = (*folders, name)
        for first in range(len(parts)):
            path = unicodedata.normalize("NFC", "/".join(parts[first:]))
            row = self.rows.get(path) or self.rows.get(path.rpartition(".")[0])
            if row is not None:
                return row
        return None

    def rank(self, folders: Folders, name: str) -> tuple[int, int]:
        """Return the split's place and the class of a file: the order in which they are kept."""
        row = self.row(folders, name)
        assert row is not None  # noqa: S101 - files without a line are not read
        return SPLITS.index(row.split), self._numbers[row.label]

    @property
    def top(self) -> int:
        """Return how many outer folders are left out of names: none."""
        return 0

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.classes)}

    def check_met(self, place: str, met: Collection[str], paths: Collection[str]) -> None:
        """Raise DataError where lines name files that are not there: met are the names of those that are."""
        lacking = [row for file, row in self.rows.items() if file not in met]
        if not lacking:
            return
        first = lacking[0]
        others = f" ({display.count(len(lacking))} such lines)" if len(lacking) > 1 else ""
        near = _near(first.file, paths)
        raise DataError(
            f"{self.place}:{first.line}: found the file {display.name(first.file, 100)}{others}, "
            f"expected one that is in {place}",
            f"did you mean {display.name(near, 100)}?" if near else "a file is named by its path below that folder",
        )

    def check_once(self, place: str, files: Iterable[tuple[Folders, str]]) -> None:
        """Raise DataError where one line names several of the files: `0.jpg` those in train/ and in test/."""
        met: dict[str, str] = {}
        for folders, name in files:
            row, path = self.row(folders, name), "/".join((*folders, name))
            before = met.setdefault(row.file, path) if row is not None else path
            if row is not None and before != path:
                where = display.name(path.removesuffix(f"/{row.file}"), 60)
                raise DataError(
                    f"{self.place}:{row.line}: found the file {display.name(row.file, 80)}, which in {place} may be "
                    f"{display.name(before, 80)} or {display.name(path, 80)}, expected one of them",
                    f"leave the others out, such as with --exclude {shlex.quote(where)}, or name files by their paths",
                )


def read(path: str | os.PathLike[str]) -> LabelFile:
    """Return what a file of labels says. Raises DataError with the line that is wrong."""
    place = shown(Path(path))
    content = _content(Path(path), place)
    lines = _lines(content.decode("utf-8-sig"), place)
    header_line, header = next(lines, (1, []))
    columns, classes, notes = _columns(header, f"{place}:{header_line}")
    rows: dict[str, LabelRow] = {}
    for line, cells in lines:
        if len(cells) != len(header):
            raise DataError(
                f"{place}:{line}: found {display.counted(len(cells), 'cell')}, expected {len(header)} as in the "
                "first line",
                'a name with a comma in it stands in quotes: "a, b.jpg"',
            )
        found_in = {name: cells[k].strip() for name, k in columns.items()}
        if classes:
            found_in["label"] = _marked({name: cells[k].strip() for name, k in classes.items()}, f"{place}:{line}")
        row = _row(found_in, line, f"{place}:{line}")
        before = rows.setdefault(row.file, row)
        if before is not row:
            raise DataError(
                f"{place}:{line}: found the file {display.name(row.file, 100)}, which line {before.line} has already, "
                "expected every file once",
                "remove one of the two lines",
            )
    found = LabelFile(place, rows, hashlib.sha256(content).hexdigest(), "group" in columns, notes)
    _check(found)
    found.notes += _missing(found)
    return found


def _missing(found: LabelFile) -> tuple[str, ...]:
    """Return a note where a class is called like a value that is missing: programs write NaN where a cell is empty."""
    names = [name for name in found.classes if name.lower() in _NO_VALUE]
    if not names or len(names) == len(found.classes):
        return ()
    lines = [row.line for row in found.rows.values() if row.label in names]
    text = f"{display.count(len(lines))} lines" if len(lines) > 1 else "1 line"
    classes = " and ".join(map(display.name, names))
    return (f"{classes} is taken as a class, in {text} such as {found.place}:{lines[0]}: is its label missing?",)


def _content(path: Path, place: str) -> bytes:
    try:
        content = regular.content(path, _MAX_BYTES)
    except OSError as error:
        raise DataError(f"--labels {place}: cannot be read: {error.strerror or error}", "check the path") from error
    except ValueError as error:
        raise DataError(f"--labels {place}: cannot be read: {error}", "check the path") from error
    if content is None:
        raise DataError(
            f"{place}: found more than {display.size(_MAX_BYTES)}, expected lines of file,label", "check it"
        )
    what = kind(content[:300])
    if what not in (None, "plain text"):
        raise DataError(f"{place}: found {what}, expected lines of file,label", _HEADER)
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{place}:{line}: found byte {display.count(error.start)}, which is not UTF-8, expected text",
            "save it as CSV in UTF-8",
        ) from None
    return content


def _lines(text: str, place: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, with their numbers, cut into cells by the sign that the first one uses."""
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
                f"{place}:{line}: found a line that is no CSV ({error}), expected cells between commas",
                "a cell that has a quote in it stands in quotes, and the quote twice",
            ) from None
        if cells:
            yield line, cells


def _columns(header: list[str], place: str) -> tuple[dict[str, int], dict[str, int], tuple[str, ...]]:
    """Return where the columns stand that are read, those of classes where each has one, and notes."""
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
                f"{place}: found the columns {header_text}, expected "
                f"{' and '.join(needed for needed in _NEEDED if needed not in columns)} among them",
                f"did you mean {name} by {display.name(near, 30)}? {_HEADER}" if near else _HEADER,
            )
    for name in ("split", "group"):
        near = "" if name in names else _nearly(name, others)
        if near:
            raise DataError(
                f"{place}: found the column {display.name(near, 30)}, expected file, label, split or group",
                f"did you mean {name}? Rename it, so that it is clear whether it is read",
            )
    table = place.rpartition(":")[0]
    notes = [f"{table}: {display.name(header[k].strip(), 30)} is read as {name}" for name, k in called.items()]
    if others:
        others_text = ", ".join(display.name(name, 30) or "without a name" for name in others[:8])
        notes.append(f"not read of {table}: the columns {others_text}")
    return columns, classes, tuple(notes)


def _called(names: list[str], columns: dict[str, int]) -> dict[str, int]:
    """Return the columns of files and labels that are called otherwise, where no other can be meant.

    Of two columns of which one has the files, the other has the labels.
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
    """Return the class whose column is 1. Raises DataError where there is not exactly one."""
    values = {name: _TRUTH.get(value.lower()) for name, value in cells.items()}
    wrong = next((name for name, value in values.items() if value is None), None)
    if wrong is not None:
        raise DataError(
            f"{place}: found {display.name(cells[wrong], 30) or 'nothing'} in the column {display.name(wrong, 30)}, "
            "expected a column called label, or 0 and 1 in a column for each class",
            _HEADER,
        )
    marked = [name for name, value in values.items() if value]
    if len(marked) != 1:
        some = ", ".join(display.name(name, 30) for name in marked[:4])
        text = f"{len(marked)} classes ({some})" if marked else "none"
        raise DataError(
            f"{place}: found {text} of one image, expected one: several labels of an image are not read",
            "leave the line out, or decide for one class",
        )
    return marked[0]


_SIGNS: Final = re.compile(r"[\W_]+")
_TRUTH: Final = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_NO_VALUE: Final = ("nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "-", "?", "unknown", "missing")
"""Labels that may be none. A set may have such a class, so they are told."""
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
"""What others call these columns."""


def _nearly(name: str, others: list[str]) -> str:
    """Return which of the other columns may be meant by a name; nothing where none is near."""
    known = [other for other in others if _SIGNS.sub("", other) in _MEANT.get(name, ())]
    return known[0] if known else spelling.nearest(name, others) or ""


def _row(cells: dict[str, str], line: int, place: str) -> LabelRow:
    for name in _NEEDED:
        if not cells[name]:
            raise DataError(f"{place}: found no {name}, expected one", "fill it in, or remove the line")
    label = unicodedata.normalize("NFC", cells["label"])
    if len(label) > LONGEST_NAME:
        raise DataError(
            f"{place}: found a label of {len(label)} letters, expected at most {LONGEST_NAME}", "shorten it"
        )
    requested = cells.get("split", "train")
    split = split_names.split_of(requested)
    if split is None:
        near = spelling.nearest(requested, ("train", "val", "test", "validation"))
        raise DataError(
            f"{place}: found the split {display.name(requested) or 'without a name'}, expected train, val or test",
            f"did you mean {near}?" if near else "leave the column out to have the sets drawn",
        )
    file = unicodedata.normalize("NFC", cells["file"].replace("\\", "/").removeprefix("./"))
    return LabelRow(line, file, label, split, cells.get("group", ""))


def _check(found: LabelFile) -> None:
    """Refuse a file without rows, without training, or with classes that training does not have."""
    if not found.rows:
        raise DataError(f"{found.place}: found no line behind the first, expected one for each image", _HEADER)
    if "train" not in found.splits:
        raise DataError(
            f"{found.place}: found no line with the split train, expected some", "leave the column out, or add them"
        )
    known = set(found.classes)
    for row in found.rows.values():
        if row.label not in known:
            near = spelling.nearest(row.label, found.classes)
            raise DataError(
                f"{found.place}:{row.line}: found the label {display.name(row.label)} in {row.split}, "
                f"expected one that train has: {', '.join(display.name(name, 30) for name in found.classes[:8])}",
                f"did you mean {display.name(near)}?" if near else "add training images of it",
            )


def _near(file: str, paths: Collection[str]) -> str:
    """Return the path of a file that may be meant by a name, nothing where none is near."""
    last = file.rpartition("/")[2].lower()
    names = [(path.rpartition("/")[2].lower(), path) for path in paths]
    for found in ([p for n, p in names if n == last], [p for n, p in names if n.rpartition(".")[0] == last]):
        if found:
            return min(found)
    return spelling.nearest(file, sorted(paths)[:_MAX_PATHS]) or ""
