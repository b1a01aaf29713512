"""Read a CSV file whose column `pixels` has all pixels of an image as a text of numbers, as FER2013 has them.

emotion,pixels,Usage
0,70 80 82 72 …,Training
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.formats import partners, rows
from layerline.data.formats.array_names import set_name
from layerline.data.formats.pixel_lines import LONGEST_LINE
from layerline.data.formats.recognize import shown, unreadable
from layerline.data.formats.stream import open_stream
from layerline.data.part import SPLITS, FoundArray, SourceArrays, SplitArrays, SplitName
from layerline.data.photos import split_names
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.data.formats.stream import Stream

_SUFFIXES: Final = (".csv", ".csv.gz", ".csv.xz")
_PIXELS: Final = "pixels"
_SPLIT: Final = ("usage", "split")
_LABELS: Final = ("label", "emotion", "class", "target", "y")
_MOST_COLUMNS: Final = 20
_BLOCK: Final = 2**16
_BYTE: Final = 255


@dataclass(frozen=True)
class _TextColumns:
    """The columns by their positions."""

    names: tuple[str, ...]
    pixels: int
    label: int
    split: int | None


def is_one(path: Path) -> bool:
    """Return whether the first line of a file names a column `pixels`. Raises DataError if it cannot be read."""
    with open_stream(path) as stream:
        return _PIXELS in _names(next(_lines(stream), ""))


def read_folder(folder: Path) -> SourceArrays | None:
    """Return the data set of the only such file in a folder; None if there is none, or several. Raises DataError."""
    try:
        files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_SUFFIXES) and path.is_file())
    except OSError as error:
        raise unreadable(folder, error) from error
    found = [path for path in files if is_one(path)]
    return read(found[0]) if len(found) == 1 else None


def read(path: Path) -> SourceArrays:
    """Return the data set. Raises DataError with the line that is wrong."""
    place = shown(path)
    images: dict[str, list[NDArray[np.uint8]]] = {}
    labels: dict[str, list[str]] = {}
    with open_stream(path) as stream:
        text = _lines(stream)
        columns = _columns(_names(next(text)), place)
        for number, cells in _rows(text, columns, place):
            where = f"{place}:{number}"
            name = _split(cells, columns, where)
            image = _image(cells[columns.pixels], where, images)
            images.setdefault(name, []).append(image)
            labels.setdefault(name, []).append(_label(cells[columns.label], where))
    spelled = split_names.splits_of(images)
    if "train" not in spelled.values():
        raise DataError(f"{place}: found no training images", "add lines of pixels")
    arrays: dict[SplitName, SplitArrays] = {}
    for split in (split for split in SPLITS if split in spelled.values()):
        names = [name for name in images if spelled[name] == split]
        found = np.stack([image for name in names for image in images[name]])
        classes = _classes([label for name in names for label in labels[name]], labels)
        arrays[split] = SplitArrays(FoundArray(found, place), FoundArray(classes, place))
    notes = _notes(place, columns, spelled) + (() if columns.split is not None else partners.alone(path))
    arrays, flat = rows.reshaped(arrays)
    return SourceArrays(set_name(path), arrays, notes=(*notes, *flat))


def _lines(stream: Stream) -> Iterator[str]:
    """Yield the lines of a file. Raises DataError for one that is longer than any image."""
    held = b""
    while more := stream.take(_BLOCK):
        *whole, held = (held + more).split(b"\n")
        yield from (line.decode("utf-8-sig", "replace").rstrip("\r") for line in whole)
        if len(held) > LONGEST_LINE:
            raise DataError(
                f"{stream.name}: found a line of more than {display.size(LONGEST_LINE)}, expected lines of pixels",
                "check that this is the right file",
            )
    stream.close_end()
    if held:
        yield held.decode("utf-8-sig", "replace").rstrip("\r")


def _rows(lines: Iterator[str], columns: _TextColumns, place: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of the lines after the header, with their numbers. Raises DataError for a bad line."""
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise DataError(f"{place}:{number}: not valid CSV ({error})", "check that this is the right file") from None
        if len(cells) != len(columns.names):
            found = display.counted(len(cells), "cell")
            raise DataError(f"{place}:{number}: found {found}, expected {len(columns.names)}", "fix the line")
        yield number, cells


def _names(header: str) -> tuple[str, ...]:
    names = header.split(",", _MOST_COLUMNS)
    return tuple(name.strip().strip('"').strip().lower() for name in names)


def _columns(names: tuple[str, ...], place: str) -> _TextColumns:
    """Return the columns. Raises DataError unless exactly one can be the label."""
    split = next((names.index(name) for name in _SPLIT if name in names), None)
    pixels = names.index(_PIXELS)
    rest = [column for column in range(len(names)) if column not in (pixels, split)]
    labels = [column for column in rest if names[column] in _LABELS] or rest
    if len(labels) != 1:
        listed = ", ".join(display.name(name, 30) for name in names)
        raise DataError(
            f"{place}:1: found the columns {listed}, expected pixels, one column label, and optionally usage",
            "rename the column of the labels to label",
        )
    return _TextColumns(names, pixels, labels[0], split)


def _split(cells: Sequence[str], columns: _TextColumns, where: str) -> str:
    """Return the name of the split of a line as it is spelled there. Raises DataError if it means none."""
    if columns.split is None:
        return "train"
    name = cells[columns.split].strip()
    if split_names.split_of(name) is None:
        raise DataError(
            f"{where}: unknown split {display.name(cells[columns.split], 30)}; expected train, val or test",
            "omit the column for a random split",
        )
    return name


def _image(cell: str, where: str, before: dict[str, list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Return the pixels of a cell. Raises DataError if one is not a byte, or they are not as many as before."""
    numbers = cell.split()
    wrong = next((number for number in numbers if not _is_byte(number)), None)
    if wrong is not None:
        raise DataError(
            f"{where}: found the pixel {display.name(wrong, 30)}, expected a whole number from 0 to {_BYTE}",
            "scale the pixels to 0 … 255",
        )
    first = next((found[0] for found in before.values()), None)
    if not numbers or (first is not None and len(numbers) != len(first)):
        expected = "some" if first is None else display.count(len(first))
        raise DataError(f"{where}: found {display.counted(len(numbers), 'pixel')}, expected {expected}", "fix the line")
    return np.array(numbers, dtype="U3").astype(np.uint8)


def _is_byte(number: str) -> bool:
    return len(number) <= 3 and number.isascii() and number.isdigit() and int(number) <= _BYTE


def _label(cell: str, where: str) -> str:
    if not cell.strip():
        raise DataError(f"{where}: the line has no label", "add a label, or remove the line")
    return cell.strip()


def _classes(labels: list[str], every: dict[str, list[str]]) -> NDArray[Any]:
    """Return labels as numbers if those of all splits are."""
    short = all(len(label) < 10 and label.isascii() and label.isdigit() for each in every.values() for label in each)
    return np.array(labels).astype(np.int32) if short else np.array(labels)


def _notes(place: str, columns: _TextColumns, spelled: dict[str, SplitName]) -> tuple[str, ...]:
    label = display.name(columns.names[columns.label], 30)
    notes = [f"{place}: one image per line, in the column pixels; the column {label} is the label"]
    if columns.split is not None:
        listed = ", ".join(f"{display.name(name, 30)} as {split}" for name, split in spelled.items())
        notes.append(f"{place}: the column {columns.names[columns.split]} is used as split: {listed}")
    used = {columns.pixels, columns.label, columns.split}
    rest = [name for column, name in enumerate(columns.names) if column not in used]
    if rest:
        listed = ", ".join(display.name(name, 30) for name in rest)
        notes.append(f"ignored in {place}: the column{'s' * (len(rest) > 1)} {listed}")
    return tuple(notes)
