"""TRAIN: on which scale arrays lie that a model is asked about, and how they come to that of its training.

What is said here of a type holds for `evaluation` too: bytes are from 0 to 255, floats up to 1 from 0 to 1. Where two
readings are left, an array is refused: a wrong scale gives probabilities that look like any others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data import pixels
from layerline.data.checking.brightness import BELOW
from layerline.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.checking.brightness import Brightness
    from layerline.runs.model_file import Preprocessing

OF_TYPES: Final = (1.0, 16.0, 255.0)
"""What pixels are divided by where their type says it: floats up to 1, `digits`, bytes."""
PLACE: Final = "the images"
_BYTE: Final = 255.0
_SHORT: Final = 65535.0
_NORMALIZED: Final = 1 / 8
"""Of the largest value: where pixels are below 0 and none is above this, they were normalized."""
_TYPED: Final = (*OF_TYPES, _SHORT)
"""The same of arrays, which may also be of 16 bits."""
_TWICE: Final = 2.0
_FAR: Final = 8
"""So many times the training's range is another scale."""


def brought(images: NDArray[Any], preprocessing: Preprocessing) -> tuple[NDArray[Any], str | None]:
    """Return images as uint8 or float32 on the scale of the training, in the same order in memory.

    With a sentence where that changed their values. Raises DataError where a value is NaN or infinite, where the type
    is none of numbers, and where it cannot be told how they come to that scale.
    """
    if images.dtype == np.uint8:
        return (images, None) if preprocessing.maximum == _BYTE else _of_bytes(images, preprocessing)
    if images.dtype.kind not in "buif":
        raise DataError(f"{PLACE} are of the type {images.dtype}, expected numbers", "give uint8, or floats")
    if not images.size:
        return images.astype(np.float32), None
    if images.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what float32 does not have is told as infinite
            floats = images.astype(np.float32, copy=False)
        pixels.check_finite(floats, PLACE)
        return _of_floats(floats, preprocessing)
    return _of_wholes(images, preprocessing)


def _of_wholes(images: NDArray[Any], preprocessing: Preprocessing) -> tuple[NDArray[Any], str | None]:
    """Bring whole numbers of other types: up to 255 they are bytes, up to 65,535 they are of 16 bits."""
    low, high, needs = int(images.min()), int(images.max()), preprocessing.maximum
    if images.dtype.kind == "b":
        return _scaled(images.view(np.uint8), 1.0, preprocessing)
    if 0 <= low <= high <= _BYTE:
        return brought(images.astype(np.uint8), preprocessing)
    if low >= 0 and high <= _SHORT and needs in _TYPED and not _is_normalized(preprocessing.seen):
        return _scaled(images, _SHORT, preprocessing)
    return _of_floats(images.astype(np.float32), preprocessing)


def _of_bytes(images: NDArray[np.uint8], preprocessing: Preprocessing) -> tuple[NDArray[Any], str | None]:
    needs = preprocessing.maximum
    if needs not in _TYPED or not images.size:
        return images, None
    high = int(images.max())
    if needs == 1 and high == 1:
        raise _doubt(
            "only the values 0 and 1, as whole numbers", preprocessing, "if 1 is white: images.astype(np.float32)"
        )
    if high <= 1 or (needs < _BYTE and high <= needs):
        return images, None
    if needs == 1 and _is_normalized(preprocessing.seen):
        raise _doubt(f"whole numbers up to {high}", preprocessing, "normalize them as the training images were")
    return _scaled(images, _BYTE, preprocessing)


def _of_floats(images: NDArray[np.float32], preprocessing: Preprocessing) -> tuple[NDArray[Any], str | None]:
    needs = preprocessing.maximum
    if needs not in _TYPED:
        return images, None
    low, high = float(images.min()), float(images.max())
    if needs == 1:
        return _of_floats_for_floats(images, low, high, preprocessing)
    if low < 0 and (high <= needs * _NORMALIZED or low < needs * BELOW):
        raise _doubt(_range(low, high), preprocessing, _undone(needs))
    if 0 < high <= _TWICE and not _are_whole(images):
        if high <= 1:
            return _scaled(images, 1.0, preprocessing)
        raise _doubt(_range(low, high), preprocessing, f"if 1 is white: np.clip(images, 0, 1) * {needs:g}")
    if high == 1:
        raise _doubt("only the values 0 and 1", preprocessing, f"if 1 is white: images * {needs:g}")
    if needs < _BYTE and _BYTE / 2 < high <= _BYTE:
        return _scaled(images, _BYTE, preprocessing)
    if high > needs * _TWICE:
        raise _doubt(
            _range(low, high),
            preprocessing,
            f"divide by their white, multiply by {needs:g}: images / white * {needs:g}",
        )
    return images, None


def _of_floats_for_floats(
    images: NDArray[np.float32], low: float, high: float, preprocessing: Preprocessing
) -> tuple[NDArray[Any], str | None]:
    """Bring floats to a training on floats up to 1, or on normalized ones."""
    seen = preprocessing.seen
    if seen is not None and seen.normalized:
        if high - low > _FAR * (seen.high - seen.low):
            raise _doubt(_range(low, high), preprocessing, "normalize them as the training images were")
        return images, None
    if low >= 0 and _BYTE / 2 < high <= _BYTE:
        return _scaled(images, _BYTE, preprocessing)
    if seen is not None and low < BELOW:
        raise _doubt(_range(low, high), preprocessing, _undone(1.0))
    if seen is not None and high > _TWICE:
        raise _doubt(_range(low, high), preprocessing, "divide by what is white: images / white")
    return images, None


def _scaled(images: NDArray[Any], has: float, preprocessing: Preprocessing) -> tuple[NDArray[Any], str | None]:
    """Bring `has` to the training's largest value, and say so."""
    needs = preprocessing.maximum
    if images.dtype == np.uint16:  # as they come of a file, these are on the training's scale already
        images = images.astype(np.float32)
    if has == needs:
        return preprocessing.scaled(images, has), None
    by = f"{needs / has:g}" if needs > has else f"1/{has / needs:g}"
    said = (
        f"the images are taken to be from 0 to {has:g}, and the model's were from 0 to {needs:g}: "
        f"they were multiplied by {by}"
    )
    return preprocessing.scaled(images, has), said


def _is_normalized(seen: Brightness | None) -> bool:
    return seen is not None and seen.normalized


def _are_whole(images: NDArray[np.float32]) -> bool:
    return bool(np.array_equal(images, np.rint(images)))


def _range(low: float, high: float) -> str:
    return f"pixels from {low:.4g} to {high:.4g}"


def _undone(needs: float) -> str:
    half = f"(images + 1) * {needs / 2:g}"
    back = "images * deviation + mean" + ("" if needs == 1 else f", then * {needs:g} where that gives 0 to 1")
    return f"undo it: {half} where they are from -1 to 1, or {back}"


def _doubt(found: str, preprocessing: Preprocessing, repair: str) -> DataError:
    """Return the error of images of which more than one reading is left."""
    seen, needs = preprocessing.seen, preprocessing.maximum
    were = f"from 0 to {needs:g}" if seen is None or not seen.normalized else f"from {seen.low:.4g} to {seen.high:.4g}"
    return DataError(
        f"{PLACE}: found {found}, and the model's were {were}: how one becomes the other cannot be told", repair
    )
