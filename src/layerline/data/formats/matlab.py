"""Read images and labels from MATLAB files: X and y, as SVHN has them, or other usual names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from layerline.data.formats import array_names, mat_file, partners, turned
from layerline.data.formats.recognize import shown
from layerline.data.part import FoundArray, SourceArrays, SplitArrays, SplitName
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SVHN: Final = "train_32x32.mat"
_DIGITS: Final = tuple("0123456789")
_TEN: Final = 10
_HELP: Final = "save images as X with the shape H × W × C × N, and labels as y with N values"


def place_of(folder: Path) -> Path | None:
    """Return the file of SVHN's training images in a folder, None if it is not there."""
    path = folder / _SVHN
    return path if path.is_file() else None


def read(path: Path) -> SourceArrays:
    """Return the data set of a MATLAB file; with training images, also the test images next to it. Raises DataError."""
    splits: dict[SplitName, SplitArrays] = {"train": _part(path)}
    notes = list(partners.alone(path))
    for split, other in partners.of(path).items():
        splits[split] = _part(other)
        notes.append(f"{display.name(other.name)}: read as {split}")
    if not path.name.endswith("_32x32.mat") or not all(_is_svhn(part) for part in splits.values()):
        return SourceArrays(path.resolve().stem, splits, notes=tuple(notes))
    for split, part in splits.items():
        digits = FoundArray(part.labels.array.astype(np.int64) % _TEN, part.labels.place)
        splits[split] = SplitArrays(part.images, digits)
    notes.append("SVHN labels the digit 0 as 10: read as 0")
    if path.with_name("extra_32x32.mat").is_file():
        notes.append("ignored: extra_32x32.mat")
    return SourceArrays("svhn", splits, _DIGITS, notes=tuple(notes))


def _is_svhn(part: SplitArrays) -> bool:
    labels = part.labels.array
    return part.images.array.shape[1:] == (3, 32, 32) and bool(((labels >= 1) & (labels <= _TEN)).all())


def _part(path: Path) -> SplitArrays:
    """Return the only images and labels of a file."""
    place, heads = shown(path), mat_file.heads(path)
    if not heads:
        raise DataError(f"{place}: found only text, cells or structures; expected arrays of numbers, X and y", _HELP)
    chosen = array_names.choose(place, heads, {name: head.shape for name, head in heads.items()})
    x, y = chosen["train", "images"], chosen["train", "labels"]
    found = mat_file.arrays(path, (x, y))
    where = {name: f"{place}: {display.name(name)}" for name in (x, y)}
    labels = found[y]
    if 1 not in labels.shape or labels.ndim != 2:
        raise DataError(f"{where[y]}: found {_times(heads[y].shape)}, expected one label per image", _HELP)
    images = _images(found[x], labels.size, where[x])
    colors: Literal["CHW"] | None = "CHW" if images.ndim == 4 and heads[x].shape[-1] == labels.size else None
    return SplitArrays(FoundArray(images, where[x], colors), FoundArray(labels.reshape(-1), where[y]))


def _images(found: NDArray[Any], count: int, place: str) -> NDArray[Any]:
    """Return images (N, C, H, W) or (N, H, W) from (N, C, W, H) or (N, W, H), or with N first."""
    first, last = found.shape[-1] == count, found.shape[0] == count
    if found.ndim not in (3, 4) or first == last:
        shape = _times(found.shape[::-1])
        reason = f"; expected H × W × C × {display.count(count)}, one image per label"
        if first and last:
            reason = ": the first or the last size could be the number of images"
        raise DataError(f"{place}: found shape {shape}{reason}", _HELP)
    return turned.upright(found) if last else np.ascontiguousarray(found.T)


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(display.count, shape))
