"""Which columns of a table name the image files, their labels, splits and groups: by their names, else by content."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from layerline.data.photos import split_names
from layerline.data.photos.label_table import HEADER
from layerline.errors import DataError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from layerline.data.part import SplitName
    from layerline.data.photos.file_names import FileNames
    from layerline.data.photos.label_table import Table

_NEEDED: Final = ("file", "label")
_COLUMNS: Final = (*_NEEDED, "split", "group")
_SIGNS: Final = re.compile(r"[\W_]+")
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
TRUTH: Final = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_HELD_OUT: Final[dict[str, SplitName]] = {
    **dict.fromkeys(("isvalid", "isval", "isvalidation"), "validation"),
    **dict.fromkeys(("istest", "isheldout"), "test"),
}
"""Columns of true and false that mark one split; the others are training images, as in fastai."""
_FOLDS: Final = re.compile(r"(k|cv|kfold|cvfold)?folds?|k?cv|istrain|istraining")
"""Columns that divide the images, but do not say which part is which split."""
_INDEX: Final = re.compile(r"(unnamed: ?\d+|index|row|nr|no|)")
_SUFFIX: Final = re.compile(r"\.(png|jpe?g|bmp|tiff?|gif|webp|avif|heic|p[gpn]m)$", re.IGNORECASE)
_MOST: Final = 1 / 2
"""Fraction of the lines on which a column must name files, or be 0 or 1, to be one of these; a label is on two."""
_LOOKED_AT: Final = 1000
"""About the number of lines by which a column is judged."""
_MAX_LISTED: Final = 8


@dataclass(frozen=True)
class UsedColumns:
    """The indices of the columns that are used."""

    has_header: bool
    file: int
    label: int | None
    """None if there is a column for each class."""
    classes: dict[str, int]
    """Class → its column of 0 and 1."""
    split: int | None
    group: int | None
    notes: tuple[str, ...] = ()
    splits: Mapping[str, SplitName] = field(default_factory=dict)
    """The split that each cell of the column of splits means, without cells that mean none."""


def choose(
    table: Table, files: FileNames, place: str, file_column: str | None, label_column: str | None
) -> UsedColumns:
    """Return the columns that are used. Raises DataError if it is not clear which these are.

    place: the data, for commands in messages; file_column, label_column: names or numbers of columns that are known.
    """
    return _Chooser(table, files, place).chosen(file_column, label_column)


def names_files(column: str) -> bool:
    """Return whether a column is called `file`, or a synonym of it."""
    plain = _SIGNS.sub("", column.lower())
    return plain == "file" or plain in _MEANT["file"]


class NoFilesError(DataError):
    """No column of a table names image files: it is probably about something else."""


@final
class _Chooser:
    def __init__(self, table: Table, files: FileNames, place: str) -> None:
        self._table, self._files, self._place = table, files, place
        lines = [cells for _, cells in table.lines]
        width = len(lines[0]) if lines else 0
        self._has_header = _has_header(table, files)
        body = lines[1:] if self._has_header else lines
        self._cells = [[cells[k] for cells in body] for k in range(width)]
        self._titles = list(lines[0]) if self._has_header else [f"column {k}" for k in range(1, width + 1)]
        self._names = [name.lower() for name in self._titles] if self._has_header else [""] * width
        self._where = f"{table.place}:{table.lines[0][0] if lines else 1}"
        self._label: int | None = None

    def chosen(self, file_column: str | None, label_column: str | None) -> UsedColumns:
        if not self._cells or not self._cells[0]:
            raise DataError(f"{self._table.place}: no lines after the header; expected one per image", HEADER)
        twice = next((name for name in _COLUMNS if self._names.count(name) > 1), None)
        if twice:
            raise DataError(f"{self._where}: the column {twice} appears twice", "rename one of them")
        self._label = None if label_column is None else self._named("--label-column", label_column)
        file = self._file() if file_column is None else self._named("--file-column", file_column)
        if file == self._label:
            raise DataError(f"--label-column {label_column}: this is the file column", "choose another column")
        split, group = (self._names.index(name) if name in self._names else None for name in ("split", "group"))
        used = {file, self._label, split, group}
        marked: SplitName | None = None
        if split is None:
            split = self._split(used)
        if split is None and (marks := self._held_out(used)) is not None:
            split = marks
            marked = _HELD_OUT[_SIGNS.sub("", self._names[marks])]
        label, classes = self._label, dict[str, int]()
        if label is None:
            free = [k for k in range(len(self._names)) if k not in {*used, split}]
            label, classes = self._labels([k for k in free if not self._is_fold(k)] or free)
        used = {file, label, split, group, *classes.values()}
        self._check_misspelled([k for k in range(len(self._names)) if k not in used])
        splits = {} if split is None else self._splits(split, marked)
        notes = self._notes(file, label, split, used, marked) + split_names.public_note(splits)
        return UsedColumns(self._has_header, file, label, classes, split, group, notes, splits)

    def _named(self, flag: str, column: str) -> int:
        """Return the index of a column by its name or number. Raises DataError if there is none."""
        for names, wanted in ((self._titles, column), (self._names, column.lower())):
            if self._has_header and names.count(wanted) == 1:
                return names.index(wanted)
        if column.isascii() and column.isdigit() and len(column) < 6 and 1 <= int(column) <= len(self._names):
            return int(column) - 1
        raise DataError(
            f"{flag} {display.name(column, 30)}: {self._table.place} has no such column",
            spelling.hint(column, [display.name(title, 30) for title in self._titles[:_MAX_LISTED]], "its columns: "),
        )

    def _file(self) -> int:
        """Return the column of the files."""
        exact = [k for k, name in enumerate(self._names) if name == "file"]
        if exact and _hits(self._cells[exact[0]], self._files):
            return exact[0]
        naming = [k for k, cells in enumerate(self._cells) if k != self._label and _are_files(cells, self._files)]
        known = self._synonyms("file", naming or range(len(self._names)))
        several = known or naming
        if len(several) > 1:
            several = [k for k in several if not self._is_index(k)] or several
        if not naming and (exact or len(known) == 1):
            return (exact or known)[0]
        if naming and all(self._same_files(several[0], k) for k in several[1:]):
            return several[0]
        if naming:
            raise self._unclear("--file-column", several, "each contain image files")
        near = _nearly("file", [name for name in self._names if name])
        raise NoFilesError(
            f"{self._where}: found {self._listed()}, but no names of images in {self._place}",
            f"is {display.name(near, 30)} the file column? {HEADER}"
            if near
            else f"{HEADER}; for another column: --file-column NAME",
        )

    def _listed(self) -> str:
        """Return the columns for a message."""
        if self._has_header:
            return f"the columns {', '.join(display.name(title, 30) for title in self._titles[:_MAX_LISTED])}"
        example = next((cells[0] for cells in self._cells if cells[0]), "")
        columns = display.counted(len(self._titles), "column")
        return f"{columns} without a header (such as {display.name(example, 60)})"

    def _same_files(self, a: int, b: int) -> bool:
        pairs = zip(_some(self._cells[a]), _some(self._cells[b]), strict=True)
        return all(self._files.meant(one).paths == self._files.meant(two).paths for one, two in pairs)

    def _is_index(self, k: int) -> bool:
        """Return whether a column only numbers the lines."""
        cells = self._cells[k]
        if not _INDEX.fullmatch(self._names[k]) or not all(cell.isascii() and cell.isdigit() for cell in cells):
            return False
        return len(set(cells)) == len(cells) and all(len(cell) < 10 for cell in cells)

    def _labels(self, free: list[int]) -> tuple[int | None, dict[str, int]]:
        """Return the column of the labels, or the columns of 0 and 1 of all classes."""
        if "label" in self._names:
            return self._names.index("label"), {}
        free = [k for k in free if not self._is_index(k)]
        if len(free) == 1 and not _nearly("split", [self._names[free[0]]]):
            return free[0], {}
        known = self._synonyms("label", free)
        if len(known) == 1:
            return known[0], {}
        marks = [] if known or not self._has_header else self._marks(free)
        if marks:
            return None, {self._titles[k]: k for k in marks}
        repeating = self._distinct([k for k in known or free if self._repeats(k)])
        if len(repeating) == 1:
            return repeating[0], {}
        if repeating:
            raise self._unclear("--label-column", repeating, "each have repeated values")
        near = _nearly("label", [self._names[k] for k in free])
        raise DataError(
            f"{self._where}: found {self._listed()}, but no label",
            f"is {display.name(near, 30)} the label column? {HEADER}"
            if near
            else f"{HEADER}; for another column: --label-column NAME",
        )

    def _marks(self, free: list[int]) -> list[int]:
        """Return the columns of 0 and 1, one for each class; none unless most lines have a 1 in one of several."""
        found = [k for k in free if _are_most(cell.lower() in TRUTH for cell in self._cells[k])]
        lines = zip(*(self._cells[k] for k in found), strict=True)
        marked = _are_most(any(TRUTH.get(cell.lower()) for cell in cells) for cells in lines)
        return found if len(found) > 1 and marked else []

    def _repeats(self, k: int) -> bool:
        return 1 < len(set(self._cells[k])) <= _MOST * len(self._cells[k])

    def _distinct(self, columns: list[int]) -> list[int]:
        """Return columns without those that only number what another names: class_id next to class_name."""
        kept: dict[tuple[int, ...], int] = {}
        for k in sorted(columns, key=lambda k: all(cell.isdigit() for cell in self._cells[k])):
            kept.setdefault(_division(self._cells[k]), k)
        return sorted(kept.values())

    def _split(self, used: Collection[int | None]) -> int | None:
        """Return the only column whose cells are all names of splits, if its own name is another."""
        found = []
        for k, cells in enumerate(self._cells):
            if k not in used and len(values := set(cells)) <= len(split_names.SPLIT_WORDS):
                means = {split_names.split_of(value) for value in values}
                found += [k] if None not in means and "train" in means and len(means) > 1 else []
        return found[0] if len(found) == 1 else None

    def _splits(self, k: int, marked: SplitName | None) -> dict[str, SplitName]:
        """Return the splits that the cells of a column mean. marked: the one that true means, if they are not names."""
        cells = set(self._cells[k])
        return (
            {cell: marked if TRUTH[cell.lower()] else "train" for cell in cells}
            if marked
            else split_names.splits_of(cells)
        )

    def _held_out(self, used: Collection[int | None]) -> int | None:
        """Return the only column of true and false that marks a split; None if it leaves no training images."""
        found = [k for k, name in enumerate(self._names) if k not in used and _SIGNS.sub("", name) in _HELD_OUT]
        if len(found) != 1 or not all(cell.lower() in TRUTH for cell in self._cells[found[0]]):
            return None
        return found[0] if any(not TRUTH[cell.lower()] for cell in self._cells[found[0]]) else None

    def _is_fold(self, k: int) -> bool:
        """Return whether a column numbers the folds of a cross-validation, or marks only the training images."""
        name = _SIGNS.sub("", self._names[k])
        return bool(_FOLDS.fullmatch(name)) and 1 < len(set(self._cells[k])) <= _MOST * len(self._cells[k])

    def _synonyms(self, needed: str, among: Iterable[int]) -> list[int]:
        return [k for k in among if _SIGNS.sub("", self._names[k]) in _MEANT[needed]]

    def _unclear(self, flag: str, columns: Sequence[int], why: str) -> DataError:
        """Return the error for several columns that may be meant, with the command for each."""
        listed = [self._titles[k] if self._names[k] else str(k + 1) for k in columns]
        named = " and ".join(display.name(self._titles[k] or f"column {k + 1}", 30) for k in columns[:4])
        command = f"layerline data info {shlex.quote(self._place)} --labels {shlex.quote(self._table.place)} {flag} "
        if self._table.in_memory:
            ways = [f"{flag} '{display.name(title, 30)}'" for title in listed[:4]]
        else:
            ways = [f"{command}{shlex.quote(listed[0])}", *map(shlex.quote, listed[1:4])]
        return DataError(
            f"{self._where}: the columns {named} {why}: which one has the {'files' if 'file' in flag else 'labels'}?",
            f"choose one: {ways[0]}, or {', '.join(ways[1:])}",
        )

    def _check_misspelled(self, unused: list[int]) -> None:
        others = [self._names[k] for k in unused]
        for name in ("split", "group"):
            near = "" if name in self._names else _nearly(name, others)
            if near:
                raise DataError(
                    f"{self._where}: unknown column {display.name(near, 30)}; expected file, label, split or group",
                    f"did you mean {name}? rename the column to that, or to a less similar name",
                )

    def _notes(
        self,
        file: int,
        label: int | None,
        split: int | None,
        used: Collection[int | None],
        marked: SplitName | None,
    ) -> tuple[str, ...]:
        """Return how columns with other names are read, and which are ignored."""
        place, notes = self._table.place, []
        parts = {"file": file, "label": label, "split": split}
        other = {name: k for name, k in parts.items() if k is not None and self._names[k] != name}
        if not self._has_header:
            listed = ", ".join(f"{self._titles[k]} as {name}" for name, k in other.items())
            notes.append(f"{place} has no header: {listed}")
        else:
            notes += [
                f"{place}: the column {display.name(self._titles[k], 30) or k + 1} is used as {name}"
                + (f": true is {marked}, false is train" if name == "split" and marked else "")
                for name, k in other.items()
            ]
        folds = [k for k in range(len(self._titles)) if k not in used and self._is_fold(k)]
        notes += [
            f"{place}: the column {display.name(self._titles[k], 30)} divides the images, but does not name splits, "
            "and is not used: for fixed splits, add a column split with train, val and test"
            for k in folds
        ]
        rest = [title for k, title in enumerate(self._titles) if k not in {*used, *folds}]
        if rest:
            some = ", ".join(display.name(name, 30) or "without a name" for name in rest[:_MAX_LISTED])
            notes.append(f"ignored in {place}: the column{'s' * (len(rest) > 1)} {some}")
        return tuple(notes)


def _has_header(table: Table, files: FileNames) -> bool:
    """Return whether the first line names the columns, and is not already the line of an image.

    It is one if a cell names a file or ends like one, or if its label is one of the others.
    """
    if table.has_header is not None or not table.lines:
        return True
    first, *others = [cells for _, cells in table.lines]
    plain = [_SIGNS.sub("", cell.lower()) for cell in first]
    if any(cell in (*_NEEDED, *_MEANT["file"], *_MEANT["label"]) for cell in plain):
        return True
    if any(_SUFFIX.search(cell) for cell in first):
        return False
    naming = [k for k in range(len(first)) if _are_files([cells[k] for _, cells in table.lines], files)]
    if any(files.meant(first[k]).paths for k in naming):
        return False
    return not any(cell and cell in {line[k] for line in others} for k, cell in enumerate(first) if k not in naming)


def _are_files(cells: Sequence[str], files: FileNames) -> bool:
    """Return whether at least half of the cells name files, and most of these different ones."""
    found = _hits(cells, files)
    return bool(found) and len(found) >= _MOST * len(_some(cells)) and len(set(found)) >= _MOST * len(found)


def _hits(cells: Sequence[str], files: FileNames) -> list[str]:
    """Return those of some of the cells that name files."""
    return [cell for cell in _some(cells) if files.meant(cell).paths]


def _some(cells: Sequence[str]) -> Sequence[str]:
    return cells[:: max(1, len(cells) // _LOOKED_AT)]


def _nearly(name: str, others: Sequence[str]) -> str:
    """Return the column that is probably meant by a name; an empty string if there is none."""
    known = [other for other in others if _SIGNS.sub("", other) in _MEANT.get(name, ())]
    return known[0] if known else spelling.nearest(name, others) or ""


def _are_most(found: Iterable[bool]) -> bool:
    listed = list(found)
    return sum(listed) > _MOST * len(listed)


def _division(cells: Sequence[str]) -> tuple[int, ...]:
    """Return the cells as numbers in the order in which they occur: equal if columns divide the lines alike."""
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(cell, len(numbers)) for cell in cells)
