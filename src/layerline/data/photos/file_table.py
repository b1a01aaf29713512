"""A table of image files from Python: a DataFrame, or paths with their labels.

It is read by the rules of a label file (label_file.py): the names of its columns, splits and groups.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline.data.photos import image_folder, label_columns
from layerline.data.photos.bad_images import MAX_SHARE, above
from layerline.data.photos.decoding import File
from layerline.data.photos.headers import Outlines
from layerline.data.photos.image_file import LARGEST_FILE
from layerline.data.photos.image_options import LabelSource
from layerline.data.photos.image_parts import parts
from layerline.data.photos.kept_images import stamp
from layerline.data.photos.label_table import Table
from layerline.data.photos.pictures import IgnoredFiles, ImageCollector
from layerline.errors import DataError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerline.data.part import SourceArrays, SplitName
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.image_options import ImageOptions

_MOST_FILES: Final = 100_000
_MOST_PER_ROW: Final = 100
"""Maximum number of files in a folder that is searched for those of a table: it may be a whole disk."""
_HEADER_LINES: Final = 2
"""A row's number is its line's, less the header and because lines are counted from 1."""


@dataclass(frozen=True)
class FileTable:
    """Names of columns, and one row of cells per image file."""

    place: str
    """Its name in messages."""
    names: list[str]
    rows: list[list[str]]
    prefix: str = ""
    """The folder that all paths have in common, left out of the rows."""
    images: Mapping[str, bytes] = field(default_factory=dict)
    """The encoded images by the names that their column has instead, if the table contains the images themselves."""
    column: str = ""
    """The column of these names."""
    joins: tuple[tuple[int, str], ...] = ()
    """The first row of each table that was appended, and its name in messages."""

    @classmethod
    def of(cls, place: str, names: Iterable[Any], rows: Iterable[Iterable[Any]]) -> FileTable:
        """Return the table of cells of any type."""
        return cls(place, [str(name) for name in names], [[_text(cell) for cell in row] for row in rows])

    @classmethod
    def of_images(cls, place: str, names: list[str], rows: Sequence[Sequence[Any]], column: int) -> FileTable:
        """Return the table with encoded images in a column: bytes, or Hugging Face's {"bytes": …, "path": …}.

        Raises DataError if a cell is anything else.
        """
        images: dict[str, bytes] = {}
        filled = []
        for number, row in enumerate(rows):
            found = row[column].get("bytes") if isinstance(row[column], Mapping) else row[column]
            if not isinstance(found, bytes | bytearray | memoryview) or len(found) > LARGEST_FILE:
                what = "an image that is too large" if isinstance(found, bytes | bytearray) else "no bytes"
                raise DataError(
                    f"{place}, row {number}: found {what} in {display.name(names[column])}, expected an encoded image",
                    "fill in the images themselves, not only their paths, or pass a column of paths",
                )
            own = f"{place} {number:07d}"
            images[own] = bytes(found)
            filled.append([own if k == column else _text(cell) for k, cell in enumerate(row)])
        return cls(place, names, filled, images=images, column=names[column])

    def joined(self, others: dict[SplitName, FileTable]) -> FileTable:
        """Return one table of several, with a column that names the split. Raises DataError if one has its own."""
        if not others:
            return self
        rows: list[list[str]] = []
        images: dict[str, bytes] = {}
        joins: list[tuple[int, str]] = []
        for split, table in {"train": self, **others}.items():
            joins.append((len(rows), table.place))
            if table.names != self.names:
                raise DataError(
                    f"{self.place}: the table of {split} has the columns {', '.join(table.names)}; "
                    f"expected {', '.join(self.names)}",
                    "use the same column names in all tables",
                )
            if bool(table.images) != bool(self.images):
                has, lacks = (table.place, self.place) if table.images else (self.place, table.place)
                raise DataError(f"found encoded images in {has}, but paths in {lacks}", "pass both tables the same way")
            rows += [[*row, split] for row in table.rows]
            images |= table.images
        if "split" in (name.lower() for name in self.names):
            raise DataError(
                f"{self.place}: found a split column, but {' and '.join(others)} is passed too",
                "use only one of the two",
            )
        names = [*self.names, "split"]
        return FileTable(self.place, names, rows, images=images, column=self.column, joins=tuple(joins))

    def read(
        self, folder: str | os.PathLike[str] | None, options: ImageOptions, progress: Progress | None
    ) -> SourceArrays:
        """Return the images. Raises DataError.

        folder: contains the files, named by any end of their paths, with or without suffix, as in a label file; without
        it each row has a path.
        """
        if options.source.table is not None or options.source.pattern is not None:
            raise DataError(f"{self.place}: the table already has the labels", "omit labels and label_by")
        column = self._column(options.source.columns[0])
        if folder is not None and (self.images or all(_is_there(row[column]) for row in self.rows)):
            folder = None  # nothing has to be searched for
        table = self if self.images or folder is not None else self._with_paths(column)
        try:
            columns = (table.names[column], options.source.columns[1])
            options = replace(options, source=LabelSource(table._as_table(), columns=columns))
            if folder is None:
                read = table._files(column, replace(options, cache=None), progress)
            else:
                most = _MOST_FILES + _MOST_PER_ROW * len(table.rows)
                read = _below(Path(folder), options, progress, most)
        except DataError as error:
            raise self._by_row(error) from error
        return replace(read, notes=tuple(map(self._in_rows, read.notes)))

    def _with_paths(self, column: int) -> FileTable:
        """Return the table with paths relative to the folder that they have in common."""
        paths = [os.path.normpath(row[column]).replace(os.sep, "/") if row[column] else "" for row in self.rows]
        split = [path.split("/")[:-1] for path in paths if path]
        common = [names[0] for names in takewhile(lambda names: len(set(names)) == 1, zip(*split, strict=False))]
        rows = [
            [*row[:column], "/".join(path.split("/")[len(common) :]), *row[column + 1 :]]
            for row, path in zip(self.rows, paths, strict=True)
        ]
        return replace(self, rows=rows, prefix="/".join([*common, ""]) if common else "")

    def _column(self, named: str | None) -> int:
        """Return the index of the column with the paths; the first if none is called like one.

        named: the column that was passed. Raises DataError if there is none of this name.
        """
        if self.column or named is not None:
            wanted = self.column or str(named)
            if wanted not in self.names:
                raise DataError(
                    f"--file-column {display.name(wanted, 30)}: {self.place} has no such column",
                    spelling.hint(wanted, self.names, "its columns: "),
                )
            return self.names.index(wanted)
        known = [k for k, name in enumerate(self.names) if label_columns.names_files(name)]
        return known[0] if known else 0

    def _as_table(self) -> Table:
        """Return it as the lines of a label file; the header is line 1."""
        rows = ([" ".join(cell.splitlines()).strip() for cell in row] for row in (self.names, *self.rows))
        lines = tuple((number, tuple(row)) for number, row in enumerate(rows, 1))
        return Table(
            self.place, lines, hashlib.sha256(repr(lines).encode("utf-8", "surrogatepass")).hexdigest(), True, (), True
        )

    def _by_row(self, error: DataError) -> DataError:
        """Return an error about a line as one about a row, counted from 0."""
        advice = error.help and error.help.replace("two lines", "two rows").replace("the line", "the row")
        advice = advice and advice.replace("these lines", "these rows").replace("each line", "each row")
        advice = advice and advice.replace("the first line names the columns", "name the columns")
        return DataError(self._in_rows(error.message), advice)

    def _in_rows(self, message: str) -> str:
        """Return a message about lines as one about rows, counted from 0 as in pandas' iloc."""

        def place(line: re.Match[str]) -> str:
            number = int(line[1]) - _HEADER_LINES
            return self._where(number) if number >= 0 else self.place

        message = re.sub(rf"{re.escape(self.place)}:([0-9]+)", place, message)
        message = re.sub(r"on line ([0-9]+)", lambda line: f"in row {int(line[1]) - _HEADER_LINES}", message)
        return message.replace("the line ", "the row ").replace(" lines ", " rows ").replace("on 1 line ", "in 1 row ")

    def _where(self, number: int) -> str:
        """Return the name of a row: its table, and its number there."""
        first, name = next((join for join in reversed(self.joins) if join[0] <= number), (0, self.place))
        return f"{name}, row {number - first}"

    def _files(self, column: int, options: ImageOptions, progress: Progress | None) -> SourceArrays:
        """Return the images of the rows: at their paths, which are in a column, or contained in the table."""
        found = [(number, row[column], self._file(number, row[column])) for number, row in enumerate(self.rows)]
        missing = [(number, name) for number, name, file in found if file is None and name]
        if len(missing) > math.floor(options.skip_bad * len(found)):
            raise self._missing(missing)
        files = [file for _, _, file in found if file is not None]
        if not files:
            raise DataError(f"{self.place}: no row has the path of a file", "check the column of the paths")
        options = options.for_files(self.place, (), [file.path for file in files])
        labels = options.labels
        if labels is None:
            raise DataError(f"{self.place}: no images left", "check exclude")
        files = [file for file in files if labels.row(file.folders, file.name) is not None]
        files.sort(key=lambda file: (*labels.rank(file.folders, file.name), file.folders, file.name))
        outlines = Outlines(options.sizing)
        for file in files:
            outlines.add(file)
        collector = ImageCollector(self.place, options, outlines, len(files))
        collector.fill(files, progress)
        if not collector.inventory.files:
            raise DataError(f"{self.place}: no image can be read", "fix the files")
        return parts(self.place, "table", collector.sorted_by(labels, None, {}), labels, IgnoredFiles(root=""), options)

    def _missing(self, rows: Sequence[tuple[int, str]]) -> DataError:
        """Return the error for rows whose files do not exist: their numbers and paths."""
        (number, name), count = rows[0], len(rows)
        path = Path(self.prefix + name)
        what = "found a folder" if path.is_dir() else "no such file"
        found = f"{self._where(number)}: {display.name(str(path), 200)}: {what}"
        if count > 1:
            found += f"; {display.count(count)} of {display.count(len(self.rows))} rows have no file"
        help_ = "paths are relative to the current folder; for another folder, pass data_dir="
        share = above(count / len(self.rows))
        skipping = f"; or skip {'it' if count == 1 else 'them'}: --skip-bad {share:g}" if share < MAX_SHARE else ""
        return DataError(found, help_ + skipping)

    def _file(self, number: int, name: str) -> File | None:
        """Return the file of a row; None if there is none. Raises DataError for a name that no file can have."""
        if self.images:
            return File((), name, self.images[name])
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(f"{self._where(number)}: found a name that is not valid Unicode", "rename the file")
        path = Path(self.prefix + name)
        if not name or not path.is_file():
            return None
        *folders, last = name.split("/")
        return File(tuple(folders), last, path, stamp(path.stat()))


def _is_there(name: str) -> bool:
    """Return whether a cell is the absolute path of a file."""
    return Path(name).is_absolute() and Path(name).is_file()


def _below(folder: Path, options: ImageOptions, progress: Progress | None, most: int) -> SourceArrays:
    if not folder.is_dir():
        raise DataError(f"--data-dir {display.name(str(folder), 200)}: no such folder", "check the path")
    read = image_folder.read_folder(folder, options, progress, most)
    if read is None:
        raise DataError(f"{display.name(str(folder), 200)}: no images found", "check the path")
    return read


def _text(cell: Any) -> str:
    """Return a cell as text; an integer stored as a float without its point, a missing value as nothing."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return os.fspath(cell) if isinstance(cell, os.PathLike) else str(cell)
