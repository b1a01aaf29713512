"""`--labels f.csv`: the class of each image file, and optionally its split and group, instead of folders.

    file,label,split,group
    cat/001.jpg,cat,train,farm 7

UsedColumns with other names are found by `label_columns`, the files that are meant by `file_names`.
"""

from __future__ import annotations

import math
import re
import shlex
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from layerline.data.photos import label_columns, several_labels
from layerline.data.photos.bad_images import MAX_SHARE, above
from layerline.data.photos.file_labels import FileLabel, FileLabels
from layerline.data.photos.file_names import Meant, parts_of
from layerline.data.photos.image_names import LONGEST_NAME
from layerline.data.photos.label_columns import TRUTH
from layerline.data.photos.label_table import HEADER
from layerline.errors import DataError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from layerline.data.part import SplitName
    from layerline.data.photos.file_names import FileNames, Parts
    from layerline.data.photos.label_columns import UsedColumns
    from layerline.data.photos.label_table import Table

UNLISTED: Final = "files not listed in --labels"
_MAX_PATHS: Final = 5000
"""Maximum number of paths searched for a similar one."""
_MAX_SHOWN: Final = 3
_FEWEST_MEASURED: Final = 10
"""Lines from which labels can be recognized as measurements."""
_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_WHOLE: Final = re.compile(r"-?[0-9]+(\.0*)?", re.ASCII)
"""A whole number, which a program may have written as 3.0."""
_NO_VALUE: Final = ("nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "-", "?", "unknown", "missing")
"""Labels that may mean a missing value. A class can have such a name, so they are only reported."""


@dataclass(frozen=True)
class _Row:
    """A line of the table: the file as it is written there, and the files that it may mean."""

    line: int
    written: str
    file: str
    """The same, as folders and name."""
    labels: tuple[str, ...]
    """Usually one; none if the cell is empty, several if several columns are 1."""
    split: SplitName
    group: str
    paths: tuple[str, ...]
    outside: Parts
    other_case: bool

    @property
    def label(self) -> str:
        """Return the label, several as a list; empty if there is none."""
        return ", ".join(self.labels)


def labels_of(
    table: Table,
    files: FileNames,
    place: str,
    *,
    excluded: Collection[str] = (),
    columns: tuple[str | None, str | None] = (None, None),
    unlisted: str = UNLISTED,
    skip_bad: float = 0.0,
) -> FileLabels:
    """Return the labels that a table gives to files. Raises DataError with the line that is wrong.

    place: the data, for messages; excluded: files that are not used; columns: those of files and labels, if known;
    skip_bad: the fraction of lines without a label, or whose file does not exist, that may be skipped.
    """
    chosen = label_columns.choose(table, files, place, *columns)
    rows = [_row(table, chosen, line, cells, files) for line, cells in table.lines[chosen.has_header :]]
    rows = _with_whole_numbers(rows)
    _check_named_once(table, rows)
    excluded = frozenset(excluded)
    rows = [row for row in rows if not row.paths or not excluded.issuperset(row.paths)]
    usable = _usable(table, rows, files, place, skip_bad)
    skipped = _skipped(table, rows, usable, skip_bad)
    rows = usable
    command = f"layerline data info {shlex.quote(place)} --labels {shlex.quote(table.place)}"
    _check_single(table, rows, chosen, command, named=columns[1] is not None)
    _check_classes(table, rows)
    _check_split(table, rows)
    of = _by_file(table, rows, place, excluded, command)
    notes = (*table.notes, *chosen.notes, *skipped, *_spelled(table, rows, files), *_missing(table, rows))
    key = f"{table.digest} {columns[0]} {columns[1]}"
    return FileLabels(of, key, unlisted, has_groups=chosen.group is not None, notes=notes)


def _row(table: Table, columns: UsedColumns, line: int, cells: Sequence[str], files: FileNames) -> _Row:
    """Return a line; its label is empty if it has none."""
    place, file = f"{table.place}:{line}", cells[columns.file]
    if columns.label is None:
        labels = _marked({name: cells[k] for name, k in columns.classes.items()}, place)
    else:
        labels = (unicodedata.normalize("NFC", cells[columns.label]),) if cells[columns.label] else ()
    longest = max(map(len, labels), default=0)
    if longest > LONGEST_NAME:
        raise DataError(
            f"{place}: found a label of {longest} characters, expected at most {LONGEST_NAME}", "shorten it"
        )
    requested = "train" if columns.split is None else cells[columns.split]
    split: SplitName | None = "train" if columns.split is None else columns.splits.get(requested)
    if split is None:
        near = spelling.nearest(requested, ("train", "val", "test", "validation"))
        raise DataError(
            f"{place}: {f'unknown split {display.name(requested)}' if requested else 'the split is empty'}, "
            "expected train, val or test",
            f"did you mean {near}?" if near else "omit the column for a random split",
        )
    group = "" if columns.group is None else cells[columns.group]
    meant = files.meant(file) if file else Meant()
    plain = "/".join(parts_of(file)) or file
    return _Row(line, file, plain, labels, split, group, meant.paths, meant.outside, meant.other_case)


def _with_whole_numbers(rows: list[_Row]) -> list[_Row]:
    """Return the rows with labels such as 3 for 3.0, if all are whole numbers: programs write them so next to NaN."""
    labels = {label for row in rows for label in row.labels}
    if not all(map(_WHOLE.fullmatch, labels)) or not any("." in label for label in labels):
        return rows
    return [replace(row, labels=tuple(label.partition(".")[0] for label in row.labels)) for row in rows]


def _marked(cells: Mapping[str, str], place: str) -> tuple[str, ...]:
    """Return the classes whose columns are 1. Raises DataError for other values than 0 and 1."""
    values = {name: TRUTH.get(value.lower()) for name, value in cells.items()}
    wrong = next((name for name, value in values.items() if value is None), None)
    if wrong is not None:
        raise DataError(
            f"{place}: found {display.name(cells[wrong], 30) or 'nothing'} in the column {display.name(wrong, 30)}, "
            "expected a column named label, or one column of 0 and 1 per class",
            HEADER,
        )
    return tuple(unicodedata.normalize("NFC", name) for name, value in values.items() if value)


def _check_named_once(table: Table, rows: Sequence[_Row]) -> None:
    before: dict[str, _Row] = {}
    for row in rows:
        other = before.setdefault(row.file, row) if row.file else row
        if other is not row:
            raise _twice(table, other, row)


def _twice(table: Table, one: _Row, other: _Row) -> DataError:
    place = f"{table.place}:{other.line}: {display.name(other.file, 100)}"
    if one.label != other.label and one.label and other.label:
        return DataError(
            f"{place} has the label {display.name(other.label, 30)} here, but {display.name(one.label, 30)} on line "
            f"{one.line}: only one label per image is supported",
            "remove one of the two lines",
        )
    return DataError(f"{place} is already on line {one.line}", "remove one of the two lines")


def _usable(table: Table, rows: list[_Row], files: FileNames, place: str, skip: float) -> list[_Row]:
    """Return the rows that have a label and whose files exist.

    Raises DataError if the others are more than the fraction `skip`, with their count and the ways to drop them.
    """
    around = files.are_around({row.outside for row in rows if row.outside})
    absent = [row for row in rows if not row.paths or (row.outside and not around)]
    unlabeled = [row for row in rows if not row.labels]
    nameless = [row for row in rows if not row.file]
    bad = {row.line for row in (*absent, *unlabeled)}
    if len(bad) > math.floor(skip * len(rows)):
        found = _nameless(nameless, rows) if nameless else None
        found = found or (_unlabeled(unlabeled, rows) if unlabeled else _absent(absent, rows, files, place))
        share = above(len(bad) / len(rows))
        way = f"{found.help}, or skip {'it' if len(bad) == 1 else 'them'}: --skip-bad {share:g}"
        line = (nameless or unlabeled or absent)[0].line
        raise DataError(f"{table.place}:{line}: {found.message}", way if share < MAX_SHARE else found.help)
    return [row for row in rows if row.line not in bad]


def _nameless(lacking: Sequence[_Row], rows: Sequence[_Row]) -> DataError:
    """Return the error for lines without a file."""
    if len(lacking) == 1:
        return DataError("the file is empty", "fill it in, or remove the line")
    count = f"{display.count(len(lacking))} of {display.count(len(rows))} lines name no file"
    return DataError(count, "fill them in, or remove these lines")


def _unlabeled(lacking: Sequence[_Row], rows: Sequence[_Row]) -> DataError:
    """Return the error for lines without a label."""
    if len(lacking) == 1:
        return DataError("the line has no label", "add a label, or remove the line")
    count = f"{display.count(len(lacking))} of {display.count(len(rows))} lines have no label"
    return DataError(count, "add labels, or remove these lines")


def _absent(lacking: Sequence[_Row], rows: Sequence[_Row], files: FileNames, place: str) -> DataError:
    """Return the error for lines that name files that do not exist, with the first names."""
    near = _near(lacking[0].file, files.paths)
    meant = f"did you mean {display.name(near, 100)}? " if near else ""
    way = f"{meant}list each file by its path relative to {place}, or remove "
    if len(lacking) == 1:
        return DataError(f"the file {display.name(lacking[0].file, 100)} is not in {place}", f"{way}the line")
    some = ", ".join(display.name(row.file, 100) for row in lacking[:_MAX_SHOWN])
    dots = ", …" if len(lacking) > _MAX_SHOWN else ""
    count = f"{display.count(len(lacking))} of {display.count(len(rows))} files"
    return DataError(f"{count} are not in {place}: {some}{dots}", f"{way}these lines")


def _check_single(table: Table, rows: Sequence[_Row], columns: UsedColumns, command: str, *, named: bool) -> None:
    """Raise DataError if labels are lists.

    command: the one that reads the data; named: the column was named by an option, so only a `|` makes a list.
    """
    lists = several_labels.lists({row.labels[0] for row in rows if columns.label is not None}, only_bars=named)
    found = [row for row in rows if len(row.labels) > 1 or row.labels[0] in lists]
    if not found:
        return
    first = found[0]
    way = "keep one label on each line, or remove these lines"
    if columns.label is not None and several_labels.BAR not in first.label:
        title = table.lines[0][1][columns.label] if columns.has_header else str(columns.label + 1)
        way += f"; if {display.name(first.label, 40)} is a single class: {command} --label-column {shlex.quote(title)}"
    have = "has" if len(found) == 1 else "have"
    raise DataError(
        f"{table.place}:{first.line}: {display.count(len(found))} of {display.count(len(rows))} lines {have} several "
        f"labels ({display.name(first.label, 60)}); only one label per image is supported",
        way,
    )


def _check_classes(table: Table, rows: Sequence[_Row]) -> None:
    """Raise DataError if the labels are numbers of which most occur only once: those are no classes."""
    counts = Counter(row.label for row in rows)
    single = sum(count == 1 for count in counts.values())
    if len(rows) < _FEWEST_MEASURED or single <= len(rows) / 2 or not all(map(_NUMBER.fullmatch, counts)):
        return
    some = ", ".join(display.name(label, 30) for label in list(counts)[:_MAX_SHOWN])
    raise DataError(
        f"{table.place}:{rows[0].line}: found {display.count(len(counts))} different numbers as labels of "
        f"{display.count(len(rows))} images ({some}, …): these look like measurements, not classes",
        "layerline learns classes, not numbers: group the values into ranges, such as low, medium and high; "
        "if another column has the classes, name it with --label-column",
    )


def _check_split(table: Table, rows: Sequence[_Row]) -> None:
    """Raise DataError if there are no training lines, or a class without any."""
    known = sorted({row.label for row in rows if row.split == "train"})
    if rows and not known:
        raise DataError(f"{table.place}: no line has the split train", "omit the split column, or add lines with train")
    for row in rows:
        if row.label not in known:
            near = spelling.nearest(row.label, known)
            raise DataError(
                f"{table.place}:{row.line}: found label {display.name(row.label)} in {row.split}, "
                f"expected a class in train: {', '.join(display.name(name, 30) for name in known[:8])}",
                f"did you mean {display.name(near)}?" if near else "add training images of it",
            )


def _by_file(
    table: Table, rows: Sequence[_Row], place: str, excluded: frozenset[str], command: str
) -> dict[str, FileLabel]:
    """Return the label of each file. Raises DataError for a line that may mean several files, and two for one file.

    A file belongs to the line that has its whole path, and otherwise to the one that has the end of it.
    """
    whole = {path: row for row in rows for path in row.paths if unicodedata.normalize("NFC", path) == row.file}
    owner: dict[str, _Row] = {}
    for row in rows:
        paths = [path for path in row.paths if path not in excluded and whole.get(path, row) is row]
        if len(paths) > 1:
            where = display.name(paths[1].rpartition("/")[0] or paths[1], 60)
            raise DataError(
                f"{table.place}:{row.line}: the file {display.name(row.file, 80)} is ambiguous in {place}: "
                f"{display.name(paths[0], 80)} or {display.name(paths[1], 80)}",
                f"name files by their paths, or exclude the other: {command} --exclude {shlex.quote(where)}",
            )
        for path in paths:
            other = owner.setdefault(path, row)
            if other is not row:
                raise _twice(table, other, row)
    return {path: FileLabel(row.label, row.split, row.group) for path, row in owner.items()}


def _skipped(table: Table, rows: Sequence[_Row], usable: Sequence[_Row], skip: float) -> tuple[str, ...]:
    """Return a note on the lines that are not used."""
    used = {row.line for row in usable}
    bad = [row for row in rows if row.line not in used]
    if not bad:
        return ()
    first = bad[0]
    missing = f"the file {display.name(first.file, 100)} does not exist" if first.file else "no file"
    reason = missing if first.labels else "no label"
    count = f"{display.count(len(bad))} of {display.count(len(rows))} lines cannot be used and are skipped"
    return (f"{count} (--skip-bad {skip:g}), such as {table.place}:{first.line}: {reason}",)


def _spelled(table: Table, rows: Sequence[_Row], files: FileNames) -> tuple[str, ...]:
    """Return notes on names that are not the ends of paths, or differ from them in case."""
    notes = []
    outer = [row for row in rows if row.outside and not files.leads_here(row.outside)]
    if outer:
        notes.append(
            f"{table.place}: paths are matched by their ends, such as {display.name(outer[0].written, 100)}: "
            f"{display.name(outer[0].paths[0], 60)}"
        )
    cased = [row for row in rows if row.other_case]
    if cased:
        count = f"{display.counted(len(cased), 'file')} {'is' if len(cased) == 1 else 'are'}"
        notes.append(
            f"{table.place}: {count} spelled in a different case, such as {display.name(cased[0].written, 60)}: "
            f"{display.name(cased[0].paths[0], 60)}"
        )
    return tuple(notes)


def _missing(table: Table, rows: Sequence[_Row]) -> tuple[str, ...]:
    """Return a note if a class is named like a missing value: programs write NaN for an empty cell."""
    known = {row.label for row in rows}
    names = sorted(name for name in known if name.lower() in _NO_VALUE)
    if not names or len(names) == len(known):
        return ()
    lines = [row.line for row in rows if row.label in names]
    text = f"{display.count(len(lines))} lines" if len(lines) > 1 else "1 line"
    classes = " and ".join(map(display.name, names))
    return (f"{classes} is treated as a class, on {text} such as {table.place}:{lines[0]}: is its label missing?",)


def _near(file: str, paths: Collection[str]) -> str:
    """Return the path that is probably meant by a name; an empty string if there is none."""
    last = file.rpartition("/")[2].lower()
    names = [(path.rpartition("/")[2].lower(), path) for path in paths]
    for found in ([p for n, p in names if n == last], [p for n, p in names if n.rpartition(".")[0] == last]):
        if found:
            return min(found)
    return spelling.nearest(file, sorted(paths)[:_MAX_PATHS]) or ""
