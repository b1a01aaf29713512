"""Conversion of pixels of any type to uint8 or float32 (N, C, H, W), without a copy if they already are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from layerline.data.part import FoundArray, SplitName

Images = dict["SplitName", "NDArray[Any]"]

_BLOCK: Final = 2**20
"""Values that are examined in one block."""
MOST_CHANNELS: Final = 4
"""If one of the two sizes is at most this and the other is not, it is the number of channels without doubt."""
_BYTE: Final = 255
_SHORT: Final = 65535
_DARK: Final = 64
"""If no uint8 pixel reaches a quarter of the range, the images probably use another range than 0 to 255."""


def settle(found: Mapping[SplitName, FoundArray], maximum: float | None) -> tuple[Images, float, tuple[str, ...]]:
    """Return the images of each split, the divisor of their pixels, and notes about automatic choices.

    uint8 and bool keep their type, and are divided by 255 and 1. Other integers from 0 to 255 become uint8; those up to
    65,535 become float32 and are divided by the largest. Floats become float32; they are used as they are if none is
    above 1 or one is below 0; otherwise they are divided by 255 if the largest is above 128 and at most 255, else by
    the largest.
    maximum: the divisor, if it is known. Raises DataError for shapes and values that none of these rules covers.
    """
    notes: list[str] = []
    images: Images = {}
    for split, item in found.items():
        images[split] = _channels_first(item, notes)
    _check_alike(images, found)
    ranges = {split: _range(array, found[split]) for split, array in images.items()}
    kind = images["train"].dtype.kind
    if kind == "f":
        return *_floats(images, found, ranges, maximum, notes), tuple(notes)
    return *_wholes(images, found, ranges, maximum, notes), tuple(notes)


def _channels_first(found: FoundArray, notes: list[str]) -> NDArray[Any]:
    """Return a view (N, C, H, W): if the order is unknown, channels are the smaller of the second and last size."""
    array, place = found.array, found.place
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{place}: found type {array.dtype}, expected numbers",
            "save pixels as uint8, or as float32 from 0 to 1",
        )
    if array.ndim not in (3, 4):
        raise DataError(
            f"{place}: found {display.counted(array.ndim, 'dimension')} ({_times(array.shape)}), expected 3 or 4",
            "shape it as (N, H, W), (N, C, H, W) or (N, H, W, C): N images, C channels, H rows, W columns",
        )
    if 0 in array.shape:
        raise DataError(
            f"{place}: found shape {_times(array.shape)}, expected no dimension of size 0",
            "the array is empty: save images in it",
        )
    if array.ndim == 3:
        return array[:, None]
    first, last = array.shape[1], array.shape[3]
    if found.order is not None:
        return array if found.order == "CHW" else array.transpose(0, 3, 1, 2)
    channels_last = last < first
    if (first <= MOST_CHANNELS) == (last <= MOST_CHANNELS):
        order = "(N, H, W, C)" if channels_last else "(N, C, H, W)"
        notes.append(
            f"{place} of shape {_times(array.shape)} is read as {order}, with "
            f"{display.counted(min(first, last), 'channel')}"
        )
    return array.transpose(0, 3, 1, 2) if channels_last else array


def _check_alike(images: Images, found: Mapping[SplitName, FoundArray]) -> None:
    train = images["train"]
    for split, array in images.items():
        if array.shape[1:] != train.shape[1:]:
            raise DataError(
                f"{found[split].place}: found {_times(array.shape[1:])} images, "
                f"expected {_times(train.shape[1:])} as in {found['train'].place}",
                "resize all images to the same size",
            )
        if array.dtype.newbyteorder("=") != train.dtype.newbyteorder("="):
            raise DataError(
                f"{found[split].place}: found type {array.dtype}, expected {train.dtype} as in {found['train'].place}",
                "save both with the same type and scale",
            )


def _range(array: NDArray[Any], item: FoundArray) -> tuple[float, float]:
    """Return the smallest and the largest value. Raises DataError, naming the first one, if any is not finite."""
    if item.known is not None:
        return float(item.known.low), float(item.known.high)
    low, high = _extremes(array)
    if not math.isfinite(low + high):
        check_finite(array, item.place)
    return low, high


def _extremes(array: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and the largest value, NaN if any value is NaN, without temporaries the size of the array."""
    pairs = [(block.min(), block.max()) for _, block in _blocks(array)]
    return float(np.min([low for low, _ in pairs])), float(np.max([high for _, high in pairs]))


def check_finite(images: NDArray[Any], place: str) -> None:
    """Raise DataError if values of images (N, …) are NaN or infinite, with their number and the first image."""
    if images.dtype.kind != "f" or not images.size or all(map(math.isfinite, _extremes(images))):
        return
    bad, first = 0, -1
    for start, block in _blocks(images):
        wrong = np.count_nonzero(~np.isfinite(block).reshape(len(block), -1), axis=1)
        if wrong.any():
            bad += int(wrong.sum())
            first = start + int(np.argmax(wrong > 0)) if first < 0 else first
    raise DataError(
        f"{place}: found {display.counted(bad, 'NaN or infinite value')} (first: image {first}); "
        "expected finite numbers",
        "remove these images, or fix the code that produced them",
    )


def unmasked(values: Any, place: str) -> Any:
    """Return the values; for a masked array, its data. Raises DataError if a value is masked, that is, missing."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    masked = int(np.count_nonzero(np.ma.getmaskarray(values)))
    if masked:
        raise DataError(
            f"{place}: found {display.counted(masked, 'masked value')}, expected no missing values",
            "fill them, for example with 0: array.filled(0)",
        )
    return values.data


def _blocks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield blocks of a few images each, with the index of the first image."""
    step = max(1, _BLOCK // (array.size // len(array)))
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


def _wholes(
    images: Images,
    found: Mapping[SplitName, FoundArray],
    ranges: Mapping[SplitName, tuple[float, float]],
    maximum: float | None,
    notes: list[str],
) -> tuple[Images, float]:
    dtype = images["train"].dtype
    high = max(high for _, high in ranges.values())
    for split, (smallest, largest) in ranges.items():
        if smallest < 0 or largest > (maximum or _SHORT):
            raise DataError(
                f"{found[split].place}: found value {_whole(smallest if smallest < 0 else largest)}, "
                f"expected whole numbers from 0 to {_whole(maximum or _SHORT)}",
                "scale the images to 0 … 255 and save them as uint8",
            )
    if dtype.kind == "b":
        return {split: array.view(np.uint8) for split, array in images.items()}, maximum or 1.0
    if maximum is not None:
        return {split: array.astype(np.uint8, copy=False) for split, array in images.items()}, maximum
    if dtype == np.uint8:
        if high < _DARK:
            notes.append(
                f"the largest pixel is {_whole(high)}, but all are divided by 255; "
                "--normalize standard uses their actual mean and deviation"
            )
        return images, float(_BYTE)
    if high <= _BYTE:
        notes.append(f"pixels of type {dtype}, at most {_whole(high)}, are divided by 255")
        return {split: array.astype(np.uint8) for split, array in images.items()}, float(_BYTE)
    notes.append(f"pixels of type {dtype} are divided by the largest, {_whole(high)} (--normalize)")
    return {split: array.astype(np.float32) for split, array in images.items()}, high


def _floats(
    images: Images,
    found: Mapping[SplitName, FoundArray],
    ranges: Mapping[SplitName, tuple[float, float]],
    maximum: float | None,
    notes: list[str],
) -> tuple[Images, float]:
    low, high = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
    if max(-low, high) > float(np.finfo(np.float32).max):
        raise DataError(
            f"{found['train'].place}: found values up to {max(-low, high):.3g}, expected at most 3.4e+38",
            "scale the images",
        )
    for split, (smallest, largest) in ranges.items():
        other = ranges["train"]
        unalike = min(largest, other[1]) <= 1 and max(largest, other[1]) > 2 and min(smallest, other[0]) >= 0
        if unalike and min(largest, other[1]) > 0:
            raise DataError(
                f"{found[split].place}: found values up to {largest:.4g}, "
                f"expected the range of {found['train'].place}, up to {other[1]:.4g}",
                "scale both the same way",
            )
    settled = {split: array.astype(np.float32, copy=False) for split, array in images.items()}
    span = f"pixels from {low:.4g} to {high:.4g}"
    if maximum is not None:
        return settled, maximum
    by = divisor(low, high)
    done = "used as they are" if by == 1 else f"divided by {by:.4g}"
    notes.append(f"{span} are {done} (--normalize)")
    return settled, by


def divisor(low: float, high: float) -> float:
    """Return the divisor of floats from `low` to `high` if nothing else is known; see `settle`."""
    if low < 0 or high <= 1:
        return 1.0
    return float(_BYTE) if _BYTE // 2 + 1 < high <= _BYTE else high


def _whole(value: float) -> str:
    return display.count(int(value))


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if shape else "a single value"
