"""TRAIN: the scale of arrays to predict, and their conversion to the training scale.

The rules for types also apply in `evaluation`: bytes are from 0 to 255, floats up to 1 from 0 to 1. If the scale is
ambiguous, an array is refused: with a wrong scale the probabilities would look like any others.
"""

from __future__ import annotations

import math
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
"""The largest pixel values that follow from a type: floats up to 1, `digits`, bytes."""
PLACE: Final = "the images"
NUMERIC: Final = "buif"
"""The kinds of types that pixels may have: bool, integers, floats."""
_BYTE: Final = 255.0
_SHORT: Final = 65535.0
_NORMALIZED: Final = 1 / 8
"""Fraction of the largest value: if some pixels are below 0 and none is above this, they were normalized."""
_TYPED: Final = (*OF_TYPES, _SHORT)
"""The same for arrays, which may also have 16 bits."""
_TWICE: Final = 2.0
_FAR: Final = 8
"""A range this many times the training range means another scale."""


def brought(images: NDArray[Any], preprocessing: Preprocessing) -> tuple[NDArray[Any], str | None]:
    """Return images as uint8 or float32 on the training scale, with the same memory layout.

    Also returns a sentence if their values were changed. Raises DataError if a value is NaN or infinite, if the type is
    not numeric, or if the scale is ambiguous.
    """
    if images.dtype == np.uint8:
        return (images, None) if preprocessing.maximum == _BYTE else _of_bytes(images, preprocessing)
    if images.dtype.kind not in NUMERIC:
        raise DataError(f"{PLACE} have the type {images.dtype}, expected numbers", "use uint8 or floats")
    if not images.size:
        return images.astype(np.float32), None
    if images.dtype.kind == "f":
        return _of_floats(_single_precision(images), preprocessing)
    return _of_wholes(images, preprocessing)


def _single_precision(images: NDArray[Any]) -> NDArray[np.float32]:
    if images.dtype == np.float32:
        return images
    with np.errstate(over="ignore"):  # values out of float32's range are reported as infinite
        return images.astype(np.float32)


def _of_wholes(images: NDArray[Any], preprocessing: Preprocessing) -> tuple[NDArray[Any], str | None]:
    """Convert other integer types: up to 255 they are bytes, up to 65,535 they have 16 bits."""
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
        raise _doubt("only the values 0 and 1, as integers", preprocessing, "if 1 is white: images.astype(np.float32)")
    if high <= 1 or (needs < _BYTE and high <= needs):
        return images, None
    if needs == 1 and _is_normalized(preprocessing.seen):
        raise _doubt(f"integers up to {high}", preprocessing, "normalize them like the training images")
    return _scaled(images, _BYTE, preprocessing)


def _of_floats(images: NDArray[np.float32], preprocessing: Preprocessing) -> tuple[NDArray[Any], str | None]:
    needs, (low, high) = preprocessing.maximum, _extremes(images)
    if not math.isfinite(high - low):
        pixels.check_finite(images, PLACE)
    if needs not in _TYPED:
        return images, None
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
            f"divide by their white value and multiply by {needs:g}: images / white * {needs:g}",
        )
    return images, None


def _of_floats_for_floats(
    images: NDArray[np.float32], low: float, high: float, preprocessing: Preprocessing
) -> tuple[NDArray[Any], str | None]:
    """Convert floats for a training run on floats up to 1, or on normalized ones."""
    seen = preprocessing.seen
    if seen is not None and seen.normalized:
        if high - low > _FAR * (seen.high - seen.low):
            raise _doubt(_range(low, high), preprocessing, "normalize them like the training images")
        return images, None
    if low >= 0 and _BYTE / 2 < high <= _BYTE:
        return _scaled(images, _BYTE, preprocessing)
    if seen is not None and low < BELOW:
        raise _doubt(_range(low, high), preprocessing, _undone(1.0))
    if seen is not None and high > _TWICE:
        raise _doubt(_range(low, high), preprocessing, "divide by their white value: images / white")
    return images, None


def _scaled(images: NDArray[Any], has: float, preprocessing: Preprocessing) -> tuple[NDArray[Any], str | None]:
    """Scale images so that `has` becomes the training's largest value; return them with a sentence about it."""
    needs = preprocessing.maximum
    if images.dtype == np.uint16:  # `preprocessing.scaled` takes uint16, as from a file, as already scaled
        images = images.astype(np.float32)
    if has == needs:
        return preprocessing.scaled(images, has), None
    by = f"{needs / has:g}" if needs > has else f"1/{has / needs:g}"
    note = (
        f"the images are assumed to be from 0 to {has:g}, the training images were from 0 to {needs:g}: "
        f"multiplied them by {by}"
    )
    return preprocessing.scaled(images, has), note


def _extremes(images: NDArray[np.float32]) -> tuple[float, float]:
    """Return the smallest and the largest value; NaN if there is one.

    argmin and argmax take 0.2 µs for an image of MNIST, min and max 0.85 (Zen 5, 2026-11-29).
    """
    values = images.ravel(order="K")
    return float(values[values.argmin()]), float(values[values.argmax()])


def _is_normalized(seen: Brightness | None) -> bool:
    return seen is not None and seen.normalized


def _are_whole(images: NDArray[np.float32]) -> bool:
    return bool(np.array_equal(images, np.rint(images)))


def _range(low: float, high: float) -> str:
    return f"pixels from {low:.4g} to {high:.4g}"


def _undone(needs: float) -> str:
    half = f"(images + 1) * {needs / 2:g}"
    back = "images * deviation + mean" + ("" if needs == 1 else f", then * {needs:g} if that gives 0 to 1")
    return f"undo the normalization: {half} if they are from -1 to 1, or {back}"


def _doubt(found: str, preprocessing: Preprocessing, fix: str) -> DataError:
    """Return the error for images whose scale is ambiguous."""
    seen, needs = preprocessing.seen, preprocessing.maximum
    were = f"from 0 to {needs:g}" if seen is None or not seen.normalized else f"from {seen.low:.4g} to {seen.high:.4g}"
    return DataError(f"{PLACE}: found {found}, but the training images were {were}: the conversion is ambiguous", fix)
