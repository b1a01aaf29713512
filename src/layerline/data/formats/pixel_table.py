"""Read a CSV file with an image per line and a column per pixel, as MNIST often is: the label, then 784 pixels."""

from __future__ import annotations

import itertools
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.formats import partners, rows
from layerline.data.formats.array_names import set_name
from layerline.data.formats.decimal_lines import DecimalLines, is_number
from layerline.data.formats.pixel_lines import LONGEST_LINE, Lines
from layerline.data.formats.recognize import shown, unreadable
from layerline.data.formats.stream import Stream, open_stream
from layerline.data.part import FoundArray, SourceArrays, SplitArrays, SplitName
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

_SUFFIXES: Final = (".csv", ".csv.gz", ".csv.xz", ".tsv", ".txt")
_SEPARATORS: Final = ",;\t"
LABELS: Final = ("label", "labels", "target", "y", "class")
IDS: Final = ("id", "imageid", "image_id", "index", "unnamed: 0", "")
_BYTE: Final = 255
_DIGITS: Final = re.compile(r"\d+")
_ADD_NAMES: Final = "add a first line with the names of the columns, one of them label"
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
    """The column of the label, if the header names it, or it is the only text."""
    ids: tuple[int, ...]
    """Columns that number the images."""
    rest: bytes
    """What was read of the file, from the first image on."""
    names: tuple[str, ...] = ()
    """The names of the columns, if there is a header."""

    @property
    def labeled(self) -> bool:
        """Whether there is a label, even if it is not clear which column that is."""
        return rows.side(self.columns - len(self.ids) - 1) is not None


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
    notes += partners.alone(path)
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
        if head.header and head.label is None:
            columns = [column for column in range(head.columns) if column not in head.ids]
            first_and_last = head.names[columns[0]], head.names[columns[-1]]
            advice = "rename the column of the labels to label in the first line"
            raise unclear(f"{stream.name}:1", *first_and_last, advice)
        lines = _lines(stream, head)
        blocks = iter(lines)
        first = next(blocks, None)
        if first is None:
            raise DataError(f"{stream.name}: found a header and no images", "add lines of pixels")
        label = label_column(first, stream.name, _ADD_NAMES) if head.label is None else head.label
        keep = _kept(head.columns, {label, *head.ids})
        pixels, labels, at = bytearray(), [], lines.number - len(first)
        for block in itertools.chain([first], blocks):
            pixels += _pixels(block[:, keep], stream.name, at).data
            labels.append(block[:, label])
            at += len(block)
    number = head.columns - len({label, *head.ids})
    images = narrowest(np.frombuffer(pixels, np.float32 if first.dtype.kind == "f" else np.uint8).reshape(-1, number))
    classes: NDArray[Any] = np.concatenate(labels)
    if isinstance(lines, DecimalLines) and lines.text is not None:
        classes = np.array(list(lines.texts))[classes.astype(np.int64)]
    elif classes.dtype.kind != "f":
        classes = classes.astype(np.int32)
    name = stream.name
    part = SplitArrays(FoundArray(images, name), FoundArray(classes, name))
    called = head.names[label] if head.names else ""
    named = f" ({display.name(called, 30)})" if head.names and called not in LABELS else ""
    return part, f"{name}: one image per line; the {ordinal(label, head.columns)} column{named} is the label"


def _lines(stream: Stream, head: _Head) -> Lines:
    """Return the lines of images, parsed as the first one requires: whole numbers, or any numbers with a text label."""
    held = head.rest
    while b"\n" not in held and len(held) <= LONGEST_LINE and (more := stream.take(2**14)):
        held += more
    cells = held.partition(b"\n")[0].decode("utf-8", "replace").strip("\r").split(head.separator)
    number = 2 if head.header else 1
    if len(cells) == head.columns:
        text = head.label if head.label is not None and not is_number(cells[head.label].strip('"')) else None
        others = [cell for column, cell in enumerate(cells) if column != text]
        if text is not None or any(is_number(cell) and not cell.isdigit() for cell in others):
            return DecimalLines(stream, head.separator, head.columns, held, number, text)
    return Lines(stream, head.separator, head.columns, held, number)


def _pixels(block: NDArray[Any], place: str, at: int) -> NDArray[Any]:
    """Return the pixels of lines from the number `at` on. Raises DataError for a whole number that is not a byte."""
    if block.dtype.kind == "f":
        return block.astype(np.float32, order="C")
    if block.max() > _BYTE:
        line = int(np.argmax(block.max(axis=1) > _BYTE))
        raise DataError(
            f"{place}:{at + line}: found the pixel {block[line].max()}, expected 0 to {_BYTE}",
            "scale the pixels to 0 … 255",
        )
    return block.astype(np.uint8, order="C")


def narrowest(images: NDArray[Any]) -> NDArray[Any]:
    """Return floats that are all bytes, as numpy.savetxt writes them, as uint8; others, such as 0 to 1, unchanged."""
    if images.dtype.kind != "f" or not (1 < images.max() <= _BYTE) or images.min() < 0:
        return images
    whole = images.astype(np.uint8)
    return whole if np.array_equal(whole, images) else images


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
    words = [column for column, name in enumerate(names) if not is_number(name)]
    decimal = any("." in name for name in names if is_number(name))
    if len(words) <= 1 and (decimal or len(set(names)) < len(names)):
        held = line.removeprefix(b"\xef\xbb\xbf") + b"\n" + rest
        label = words[0] if words else None
        if are_renamed(names):
            raise DataError(
                f"{stream.name}:1: found 0, 0.1, 0.2 and so on in the first line: pandas made column names of an image",
                "write the file again from pandas.read_csv(FILE, header=None)",
            )
        square = rows.side(len(names) - 1) or (rows.side(len(names)) and not words)
        return _Head(separator, len(names), False, label, (), held) if square else None
    ids = tuple(column for column, name in enumerate(names) if name in IDS)
    named = [column for column, name in enumerate(names) if name in LABELS]
    pixels = len(names) - len(ids)
    if len(named) > 1 or not (rows.side(pixels - 1) or (rows.side(pixels) and not named)):
        return None
    label = named[0] if named else apart(names, ids) if rows.side(pixels - 1) else None
    return _Head(separator, len(names), True, label, ids, rest, tuple(names))


def apart(names: list[str], ids: Collection[int]) -> int | None:
    """Return the only column that is not named like the pixels, p0 p1 … or 1x1 1x2 …; None if that is not clear."""
    stems = {column: _DIGITS.sub("#", name) for column, name in enumerate(names) if column not in ids}
    counts = Counter(stems.values())
    single = [column for column, stem in stems.items() if counts[stem] == 1]
    others = [stem for stem, count in counts.items() if count > 1]
    return single[0] if len(single) == 1 and all("#" in stem for stem in others) else None


def _kept(columns: int, without: set[int]) -> slice | list[int]:
    """Return the columns of the pixels: as a slice if they follow each other, which is faster."""
    kept = [column for column in range(columns) if column not in without]
    return slice(kept[0], kept[-1] + 1) if kept[-1] - kept[0] + 1 == len(kept) else kept


def label_column(first: NDArray[Any], place: str, advice: str) -> int:
    """Return the column of the label in a file without a header. Raises DataError if it may be the first or the last.

    It is the first one, except if that is the same in many lines, as the corner of an image may be. Labels are whole.
    """
    whole = [bool((first[:, column] == np.trunc(first[:, column])).all()) for column in (0, -1)]
    if whole[0] != whole[1]:
        return 0 if whole[0] else int(first.shape[1]) - 1
    at_start, at_end = (len(np.unique(first[:, column])) for column in (0, -1))
    if at_start < 2 <= at_end:
        return int(first.shape[1]) - 1
    if 2 <= at_end < at_start:
        raise DataError(
            f"{place}: found {at_start} different values in the first column and {at_end} in the last: "
            "either could be the label",
            advice,
        )
    return 0


def unclear(place: str, first: str, last: str, advice: str) -> DataError:
    """Return the error for columns whose names do not say which one is the label."""
    ends = f"the first ({display.name(first, 30)}) or the last ({display.name(last, 30)})"
    return DataError(f"{place}: found no column named label: {ends} could be the label", advice)


def are_renamed(names: Collection[str]) -> bool:
    """Return whether these are the pixels of an image, equal ones renamed, as pandas does without `header=None`."""
    return len(set(names)) == len(names) and {"0", "0.1", "0.2"} <= set(names)


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
