"""What scikit-learn calls X, as the images that a network takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data import pixels
from layerline.data.dataset import ImageSet, Split
from layerline.errors import DataError
from layerline.numbers.scalars import is_whole, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, int, int]
"""(C, H, W)."""

LAYOUTS: Final = ("NCHW", "NHWC")
BYTE: Final = 255.0


def layout_of(X: NDArray[Any], layout: str | None, given: object) -> str:
    """Return whether channels come first or last: as is said, else as X, or the shape that is given, leaves no doubt.

    Where the first or the last size alone is at most 4, these are the channels, as for the arrays of an .npz file.
    Raises DataError where that holds for both, or for neither.
    """
    if layout is not None:
        if layout not in LAYOUTS:
            raise DataError(f"layout={layout!r}: not known", "one of: " + ", ".join(LAYOUTS))
        return layout
    if X.ndim != 4 or X.shape[2:] == (1, 1):
        return LAYOUTS[0]
    wanted, channels = _checked_shape(given), (X.shape[1], X.shape[3])
    if wanted is not None:
        fits = [name for name in LAYOUTS if _shape(X, name) == wanted] or [LAYOUTS[0]]
    else:
        most = 1 if 1 in channels else pixels.MOST_CHANNELS
        fits = [name for name, count in zip(LAYOUTS, channels, strict=True) if count <= most]
    if len(fits) != 1 and channels != (1, 1):
        first, last = (f"{count} channel{'' if count == 1 else 's'}" for count in channels)
        raise DataError(
            f"X has images of {_times(X.shape[1:])}: channels may come first or last",
            f"say which: layout='NCHW' for {first}, or layout='NHWC' for {last}",
        )
    return fits[0]


def shape_of(X: NDArray[Any], layout: str, given: object) -> Shape:
    """Return (C, H, W) of an image: as X shows it, or as it is given where X is flat, else X's d columns as (d, 1, 1).

    Raises DataError where X has neither 2, 3 nor 4 dimensions, or is not of the shape that is given.
    """
    wanted = _checked_shape(given)
    if 0 in X.shape:
        raise DataError(f"X has no values: its shape is {_times(X.shape)}", "put images into it")
    if X.ndim == 2:
        shape = wanted or (X.shape[1], 1, 1)
    elif X.ndim == 3:
        shape = (1, *X.shape[1:])
    elif X.ndim == 4:
        shape = _shape(X, layout)
    else:
        raise DataError(
            f"X has {X.ndim} dimensions, {_times(X.shape)}",
            "shape it as (N, d), (N, H, W), (N, C, H, W) or (N, H, W, C)",
        )
    if X.ndim > 2 and wanted not in (None, shape):
        raise DataError(
            f"input_shape={wanted}, and X has images of {_times(shape)} (C×H×W)",
            "leave input_shape out, or give the images' own; layout='NHWC' is for channels that come last",
        )
    if math.prod(X.shape[1:]) != math.prod(shape):
        raise DataError(
            f"input_shape={shape} has {math.prod(shape):,d} values, and X has {X.shape[1]:,d} features",
            f"give an input_shape (C, H, W) of which the product is {X.shape[1]:,d}",
        )
    return shape


def as_images(X: NDArray[Any], layout: str, shape: Shape) -> NDArray[Any]:
    """Return X, uint8 or float32, as (N, C, H, W): a view where it is contiguous.

    Where X has the channels at the other end than `layout` says, and the shape leaves no doubt of it, it is turned.
    Raises DataError where X has images of another shape.
    """
    if X.ndim == 4 and _shape(X, layout) != shape:
        layout = next((other for other in LAYOUTS if _shape(X, other) == shape), layout)
    if shape_of(X, layout, shape if X.ndim == 2 else None) != shape:
        raise DataError(
            f"X has images of {_times(X.shape[1:])}, and the network takes {_times(shape)} (C×H×W)",
            "give images of the shape that it was trained on",
        )
    C, H, W = shape
    whole = np.ascontiguousarray(X)
    return whole.reshape(-1, C, H, W) if layout == "NCHW" else whole.reshape(-1, H, W, C).transpose(0, 3, 1, 2)


def as_split(images: NDArray[Any], labels: NDArray[np.int32]) -> Split:
    """Return all images with their labels, and the largest value that a pixel can have."""
    return Split(ImageSet(images, labels, maximum_of(images)), np.arange(len(labels), dtype=np.int64))


def maximum_of(images: NDArray[Any]) -> float:
    """Return what pixels are divided by to lie in 0 … 1, as for the arrays of an .npz file."""
    return BYTE if images.dtype == np.uint8 else pixels.divisor(float(images.min()), float(images.max()))


def _shape(X: NDArray[Any], layout: str) -> Shape:
    """Return (C, H, W) of the images of X (N, C, H, W) or (N, H, W, C)."""
    first, second, third = X.shape[1:]
    return (first, second, third) if layout == LAYOUTS[0] else (third, first, second)


def _checked_shape(given: object) -> Shape | None:
    """Return the shape that is given, if one is. Raises DataError where it is not three sizes."""
    if given is None:
        return None
    sizes = tuple(map(plain, given)) if isinstance(given, list | tuple | np.ndarray) and np.ndim(given) else ()
    if len(sizes) != 3 or not all(is_whole(size) and size > 0 for size in sizes):
        raise DataError(f"input_shape={given!r}: must be three whole numbers", "give (C, H, W), such as (1, 28, 28)")
    C, H, W = sizes
    return C, H, W


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
