"""Read STL-10's binary files: images of 3 × 96 × 96 bytes, each color column by column, and labels from 1.

https://cs.stanford.edu/~acoates/stl10: A. Coates, H. Lee, A. Y. Ng, AISTATS 2011.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.formats import turned
from layerline.data.formats.recognize import shown, unreadable
from layerline.data.formats.stream import FETCH
from layerline.data.part import FoundArray, SourceArrays, SplitArrays, SplitName
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_FOLDER: Final = "stl10_binary"
_SIDE: Final = 96
_PIXELS: Final = 3 * _SIDE * _SIDE
_CLASSES: Final = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_SPLITS: Final[tuple[SplitName, ...]] = ("train", "test")
_MAX_BYTES: Final = 2**20
"""Maximum size of a file of labels; the published ones have 8,000 bytes."""


def place_of(folder: Path) -> Path | None:
    """Return the folder that contains the files: this one, or a subfolder with the published name; None if neither."""
    for place in (folder, folder / _FOLDER):
        if any((place / name).is_file() for name in ("train_X.bin", "test_X.bin")):
            return place
    return None


def read_folder(folder: Path) -> SourceArrays:
    """Return the data set in a folder. Raises DataError."""
    lacking = [name for split in _SPLITS for name in _names(split) if not (folder / name).is_file()]
    if lacking:
        raise DataError(f"{shown(folder)}: this STL-10 folder has no {', '.join(lacking)}", "add them")
    splits = {split: _part(folder, split) for split in _SPLITS}
    notes = ["STL-10 stores its images column by column: turned upright"]
    if (folder / "unlabeled_X.bin").is_file():
        notes.append("ignored: unlabeled_X.bin, which has no labels")
    return SourceArrays("stl10", {**splits}, _classes(folder), notes=tuple(notes))


def _names(split: str) -> tuple[str, str]:
    return f"{split}_X.bin", f"{split}_y.bin"


def _part(folder: Path, split: SplitName) -> SplitArrays:
    x, y = (folder / name for name in _names(split))
    images = turned.upright(_images(x))
    content = _content(y)
    labels = np.frombuffer(content, np.uint8)
    wrong = (labels < 1) | (labels > len(_CLASSES))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"{shown(y)}:{first}: found label {labels[first]}, expected 1 to {len(_CLASSES)}",
            FETCH,
        )
    return SplitArrays(FoundArray(images, shown(x), "CHW"), FoundArray(labels - np.uint8(1), shown(y)))


def _images(path: Path) -> NDArray[Any]:
    """Return the images as stored, (N, 3, W, H). Raises DataError."""
    name = shown(path)
    try:
        with regular.opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not size or size % _PIXELS:
                raise DataError(
                    f"{name}: found {display.count(size)} bytes "
                    f"({display.counted(size // _PIXELS, 'image')} and {display.count(size % _PIXELS)} bytes), "
                    f"expected images of {display.count(_PIXELS)} bytes",
                    FETCH,
                )
            buffer = np.empty((size // _PIXELS, 3, _SIDE, _SIDE), np.uint8)
            read = file.readinto(buffer.reshape(-1).data)
    except OSError as error:
        raise unreadable(path, error) from error
    except MemoryError as error:
        raise DataError(f"{name}: {display.size(size)} do not fit into memory", "use part of the data") from error
    if read < size:
        raise DataError(f"{name}: the file was truncated while it was being read", "read it again")
    return buffer


def _content(path: Path) -> bytes:
    try:
        content = regular.content(path, _MAX_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    if content is None:
        raise DataError(f"{shown(path)}: found more than {display.size(_MAX_BYTES)}, expected 8 kB", FETCH)
    return content


def _classes(folder: Path) -> tuple[str, ...]:
    """Return the names in class_names.txt, or the published ones without it. Raises DataError."""
    path = folder / "class_names.txt"
    if not path.is_file():
        return _CLASSES
    names = tuple(line.strip() for line in _content(path).decode("utf-8", "replace").splitlines() if line.strip())
    if len(names) != len(_CLASSES) or len(set(names)) != len(names) or max(map(len, names)) > 200:
        raise DataError(f"{shown(path)}: found {len(names)} names, expected {len(_CLASSES)} distinct ones", FETCH)
    return names
