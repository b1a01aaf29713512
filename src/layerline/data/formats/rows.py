"""Images that were saved as rows of pixels, (N, H · W) or (N, 3 · H · W): reshaped if only one shape is possible."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.data.part import FoundArray, SplitArrays, SplitName

SMALLEST: Final = 8
"""Fewest rows and columns of an image: shorter rows of numbers are rarely images."""
_LOOKED_AT: Final = 500
"""Number of images whose neighboring pixels are compared."""
_CLEAR: Final = 1.2
"""How much smaller the differences between neighbors must be in one order than in the other."""


def side(pixels: int) -> tuple[int, int] | None:
    """Return channels and side of square images with this number of values per row; None if there are none."""
    for channels in (1, 3):
        found = math.isqrt(pixels // channels)
        if found >= SMALLEST and found * found * channels == pixels:
            return channels, found
    return None


def reshaped(splits: Mapping[SplitName, SplitArrays]) -> tuple[dict[SplitName, SplitArrays], tuple[str, ...]]:
    """Return the splits with rows of pixels as images, and a note if there were any. Raises DataError if in doubt."""
    train = splits["train"].images
    if train.array.ndim != 2 or train.array.dtype.kind not in "buif" or 0 in train.array.shape:
        return dict(splits), ()
    width = train.array.shape[1]
    square = side(width)
    if square is None:
        raise DataError(
            f"{train.place}: rows of {display.count(width)} values are not square images (gray or RGB, at least "
            f"{SMALLEST}×{SMALLEST} pixels)",
            "reshape them before saving: x.reshape(len(x), H, W), or (len(x), C, H, W)",
        )
    channels, size = square
    last = channels == 3 and _interleaved(train.array, size, train.place)
    shape = (size, size, 3) if last else (3, size, size) if channels == 3 else (size, size)
    changed = {split: _as(item, shape, last=last) for split, item in splits.items()}
    order = " with interleaved colors" if last else " with separate color planes" if channels == 3 else ""
    text = f"{display.picture(size, size)} {display.colors(channels)}"
    return changed, (f"{train.place}: rows of {display.count(width)} values are read as {text} images{order}",)


def _as(item: SplitArrays, shape: tuple[int, ...], *, last: bool) -> SplitArrays:
    found = item.images
    if found.array.ndim != 2 or found.array.shape[1] != math.prod(shape):
        return item  # its size is not that of training, which is reported later
    array = found.array.reshape(len(found.array), *shape)
    order = None if len(shape) == 2 else "HWC" if last else "CHW"
    images: FoundArray = dataclasses.replace(found, array=array, order=order)  # type: ignore[arg-type]  # str, not Order
    return dataclasses.replace(item, images=images)


def _interleaved(array: NDArray[Any], size: int, place: str) -> bool:
    """Return whether the three colors of a pixel are next to each other. Raises DataError if the pixels do not tell.

    A pixel resembles the one below it: that is `size` values further in planes, and three times as many if interleaved.
    """
    some = array[:: max(1, len(array) // _LOOKED_AT)][:_LOOKED_AT].astype(np.float64)
    planes, interleaved = (float(np.abs(some[:, step:] - some[:, :-step]).mean()) for step in (size, 3 * size))
    if planes * _CLEAR < interleaved:
        return False
    if interleaved * _CLEAR < planes:
        return True
    raise DataError(
        f"{place}: found rows of {display.count(3 * size * size)} values, which could be "
        f"{display.picture(size, size)} RGB images with the colors in separate planes or interleaved",
        f"reshape them before saving: x.reshape(len(x), 3, {size}, {size}), or (len(x), {size}, {size}, 3)",
    )
