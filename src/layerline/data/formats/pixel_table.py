"""Read a CSV file with an image per line and a column per pixel, as MNIST often is: the label, then 784 pixels."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.formats import partners, rows
from layerline.data.formats.array_names import set_name
from layerline.data.formats.pixel_lines import LONGEST_LINE, Lines
from layerline.data.formats.recognize import shown, unreadable
from layerline.data.formats.stream import Stream, open_stream
from layerline.data.part import FoundArray, SourceArrays, SplitArrays, SplitName
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SUFFIXES: Final = (".csv", ".csv.gz", ".csv.xz", ".tsv", ".txt")
_SEPARATORS: Final = ",;\t"
LABELS: Final = ("label", "labels", "target", "y", "class")
IDS: Final = ("id", "imageid", "image_id", "index", "unnamed: 0", "")
_BYTE: Final = 255
_MAX_FILES: Final = 50
FEWEST: Final = 64
"""Columns: 8 × 8 pixels."""


@dataclass(frozen=True)
class _Head:
    """What the first line of a file says about its columns."""

    separator: str
    columns: int
    header: bool
    """Whether it names the columns, and is not an image."""
    label: int | None
    """The column of the label, if it is named or every other would leave no image."""
    ids: tuple[int, ...]
    """Columns that number the images."""
    rest: bytes
    """What was read of the file, from the first image on."""

    @property
    def labeled(self) -> bool:
        """Whether there is a label."""
        return self.label is not None or not self.header


def is_one(path: Path) -> bool:
    """Return whether a file is a table of pixels, by its first line. Raises DataError if it cannot be read."""
    with open_stream(path) as stream:
        return _head(stream) is not None


def read_folder(folder: Path) -> SourceArrays | None:
    """Return the data set of the only labeled table of pixels in a folder; None if there is none. Raises DataError."""
    try:
        files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_SUFFIXES) and path.is_file())
    except OSError as error:
        raise unreadable(folder, error) from error
    tables = []
    for path in files[:_MAX_FILES]:
        with open_stream(path) as stream:
            head = _head(stream)
        if head is not None and head.labeled:
            tables.append(path)
    others = {other for path in tables for other in partners.of(path).values()}
    first = [path for path in tables if path not in others]
    if len(first) > 1:
        each = "".join(f"\n    --data {shown(path)}" for path in first[:8])
        raise DataError(
            f"{shown(folder)}: found {len(first)} tables of pixels, expected one", f"pass one of them:{each}"
        )
    return read(first[0]) if first else None


def read(path: Path) -> SourceArrays:
    """Return the data set of a table of pixels; with training images, also the test images next to it.

    Raises DataError.
    """
    train, *notes = _part(path)
    splits: dict[SplitName, SplitArrays] = {"train": train}
    for split, other in partners.of(path).items():
        with open_stream(other) as stream:
            head = _head(stream)
        if head is None or not head.labeled:
            notes.append(f"ignored: {display.name(other.name)}, which has no labels")
            continue
        splits[split], *_ = _part(other)
        notes.append(f"{display.name(other.name)}: read as {split}")
    splits, flat = rows.reshaped(splits)
    return SourceArrays(set_name(path), splits, notes=(*notes, *flat))


def _part(path: Path) -> tuple[SplitArrays, str]:
    """Return the labels and rows of pixels of a file, and a note about the label."""
    with open_stream(path) as stream:
        head = _head(stream)
        if head is None or not head.labeled:
            raise _no_label(stream.name, head)
        lines = Lines(stream, head.separator, head.columns, head.rest, 2 if head.header else 1)
        blocks = iter(lines)
        first = next(blocks, None)
        if first is None:
            raise DataError(f"{stream.name}: found a header and no images", "add lines of pixels")
        label = _label_column(first, stream.name) if head.label is None else head.label
        keep = _kept(head.columns, {label, *head.ids})
        pixels, labels, at = bytearray(), [], lines.number - len(first)
        for block in itertools.chain([first], blocks):
            kept = block[:, keep]
            if kept.max() > _BYTE:
                line = int(np.argmax(kept.max(axis=1) > _BYTE))
                raise DataError(
                    f"{stream.name}:{at + line}: found the pixel {kept[line].max()}, expected 0 to {_BYTE}",
                    "scale the pixels to 0 … 255",
                )
            pixels += kept.astype(np.uint8).data
            labels.append(block[:, label])
            at += len(block)
    images = np.frombuffer(pixels, np.uint8).reshape(-1, kept.shape[1])
    name = stream.name
    part = SplitArrays(FoundArray(images, name), FoundArray(np.concatenate(labels).astype(np.int32), name))
    return part, f"{name}: one image per line; the {ordinal(label, head.columns)} column is the label"


def ordinal(column: int, columns: int) -> str:
    """Return which column it is: first, 2nd, 3rd, 21st or last."""
    if column == 0 or column == columns - 1:
        return "last" if column else "first"
    number = column + 1
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _head(stream: Stream) -> _Head | None:
    """Return what the first line says; None if it is not that of a table of pixels."""
    start = b""
    while b"\n" not in start and len(start) <= LONGEST_LINE and (more := stream.take(2**14)):
        start += more
    line, _, rest = start.partition(b"\n")
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip("\r")
    separator = max(_SEPARATORS, key=text.count)
    names = [cell.strip().strip('"').strip().lower() for cell in text.split(separator)]
    if len(names) < FEWEST or len(line) > LONGEST_LINE:
        return None
    if all(name.isascii() and name.isdigit() for name in names) and len(set(names)) < len(names):
        held = line.removeprefix(b"\xef\xbb\xbf") + b"\n" + rest
        return _Head(separator, len(names), False, None, (), held) if rows.side(len(names) - 1) else None
    ids = tuple(column for column, name in enumerate(names) if name in IDS)
    named = [column for column, name in enumerate(names) if name in LABELS]
    pixels = len(names) - len(ids)
    if len(named) == 1 and rows.side(pixels - 1):
        return _Head(separator, len(names), True, named[0], ids, rest)
    if named:
        return None
    if rows.side(pixels):
        return _Head(separator, len(names), True, None, ids, rest)
    label = next((column for column in range(len(names)) if column not in ids), 0)
    return _Head(separator, len(names), True, label, ids, rest) if rows.side(pixels - 1) else None


def _kept(columns: int, without: set[int]) -> slice | list[int]:
    """Return the columns of the pixels: as a slice if they follow each other, which is faster."""
    kept = [column for column in range(columns) if column not in without]
    return slice(kept[0], kept[-1] + 1) if kept[-1] - kept[0] + 1 == len(kept) else kept


def _label_column(first: NDArray[np.uint16], place: str) -> int:
    """Return the column of the label in a file without a header. Raises DataError if it may be the first or the last.

    It is the first one, except if that is the same in many lines, as the corner of an image may be.
    """
    at_start, at_end = (len(np.unique(first[:, column])) for column in (0, -1))
    if at_start < 2 <= at_end:
        return int(first.shape[1]) - 1
    if 2 <= at_end < at_start:
        raise DataError(
            f"{place}: found {at_start} different values in the first column and {at_end} in the last: "
            "either could be the label",
            "add a first line with the names of the columns, one of them label",
        )
    return 0


def _no_label(place: str, head: _Head | None) -> DataError:
    if head is None:
        return DataError(
            f"{place}: found no table of pixels, expected lines of a label and the pixels of a square image",
            f"for a table of file names and labels: layerline data info FOLDER --labels {shlex.quote(place)}",
        )
    pixels = head.columns - len(head.ids)
    return DataError(
        f"{place}: found {display.count(pixels)} columns of pixels and no label", "pass the file with labels"
    )
