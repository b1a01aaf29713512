"""EMNIST as published: images stored column by column, and a file that maps labels to characters.

G. Cohen, S. Afshar, J. Tapson, A. van Schaik: EMNIST, an extension of MNIST to handwritten letters, arXiv:1702.05373.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.formats import turned
from layerline.data.formats.recognize import shown, unreadable
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.data.part import SourceArrays

_MAX_BYTES: Final = 2**16
_LAST_LETTER: Final = 0x10FFFF
_NOTE: Final = "EMNIST stores its images column by column: turned upright (files with other names are read unchanged)"


def settled(parts: SourceArrays, name: str, folder: Path) -> SourceArrays:
    """Return a set of IDX files; if its name says EMNIST, with images turned upright and with names of the classes.

    name: of the set, as its files have it, `emnist-letters`. Raises DataError if the mapping does not fit the labels.
    """
    if "emnist" not in name.split("-"):
        return parts
    splits = {}
    for split, part in parts.splits.items():
        images = dataclasses.replace(part.images, array=turned.upright(part.images.array))
        splits[split] = dataclasses.replace(part, images=images)
    notes = (*parts.notes, _NOTE)
    mapping = folder / f"{name}-mapping.txt"
    if not mapping.is_file():
        return dataclasses.replace(parts, splits=splits, notes=notes)
    names = _names(mapping)
    for split, part in splits.items():
        labels = dataclasses.replace(part.labels, array=_indices(part.labels.array, names, part.labels.place, mapping))
        splits[split] = dataclasses.replace(part, labels=labels)
    notes = (*notes, f"the names of the {len(names)} classes are from {display.name(mapping.name)}")
    return dataclasses.replace(parts, splits=splits, classes=tuple(names.values()), notes=notes)


def _names(mapping: Path) -> dict[int, str]:
    """Return the character of each label: lines of a label and one or two code points. Raises DataError."""
    place = shown(mapping)
    try:
        content = regular.content(mapping, _MAX_BYTES)
    except OSError as error:
        raise unreadable(mapping, error) from error
    names: dict[int, str] = {}
    for number, line in enumerate((content or b"").splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or not all(field.isdigit() and len(field) < 8 for field in fields):
            raise _wrong(place, number, "found a line that is not a label and its code points")
        label, code = int(fields[0]), int(fields[1])
        letter = chr(code) if code <= _LAST_LETTER else ""
        if not letter.isprintable() or not letter.strip() or label in names or letter in names.values():
            raise _wrong(
                place,
                number,
                f"found label {label} and code point {code}; each must be unique, and the character printable",
            )
        names[label] = letter
    if len(names) < 2:
        raise _wrong(place, 1, f"found {display.counted(len(names), 'label')}, expected at least 2")
    return dict(sorted(names.items()))


def _wrong(place: str, number: int, reason: str) -> DataError:
    return DataError(f"{place}:{number}: {reason}", "download it again, or remove it: the classes are then numbers")


def _indices(labels: NDArray[Any], names: dict[int, str], place: str, mapping: Path) -> NDArray[np.int64]:
    known = np.array(list(names))
    unknown = ~np.isin(labels, known)
    if unknown.any():
        first = int(np.argmax(unknown))
        raise DataError(
            f"{place}: found label {labels[first]} at image {first}, expected those in {shown(mapping)}: "
            f"{known[0]} to {known[-1]}",
            "check that both files are from the same set",
        )
    return np.searchsorted(known, labels).astype(np.int64)
