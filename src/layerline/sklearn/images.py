"""Conversion of scikit-learn's X to the images of a network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data import pixels
from layerline.data.dataset import ImageSet, Split
from layerline.errors import DataError
from layerline.layers.grammar import times
from layerline.numbers.scalars import is_whole, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, int, int]
"""(C, H, W)."""

LAYOUTS: Final = ("NCHW", "NHWC")
BYTE: Final = 255.0


def layout_of(X: NDArray[Any], layout: str | None, given: object) -> str:
    """Return whether channels come first or last: as specified, else inferred from the shape of X or `given`.

    If only the first or only the last size is at most 4, it is the channels, as for the arrays of an .npz file. Raises
    DataError if that holds for both or for neither.
    """
    if layout is not None:
        if layout not in LAYOUTS:
            raise DataError(f"layout={layout!r}: unknown", "one of: " + ", ".join(LAYOUTS))
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
            f"X has {times(X.shape[1:])} images: channels may come first or last",
            f"set layout='NCHW' for {first}, or layout='NHWC' for {last}",
        )
    return fits[0]


def shape_of(X: NDArray[Any], layout: str, given: object) -> Shape:
    """Return (C, H, W) of an image: from the shape of X or, if X is flat, as specified, else (d, 1, 1) for d columns.

    Raises DataError unless X has 2, 3 or 4 dimensions and the specified shape.
    """
    wanted = _checked_shape(given)
    if 0 in X.shape:
        raise DataError(f"X is empty: its shape is {times(X.shape)}", "pass at least one image")
    if X.ndim == 2:
        shape = wanted or (X.shape[1], 1, 1)
    elif X.ndim == 3:
        shape = (1, *X.shape[1:])
    elif X.ndim == 4:
        shape = _shape(X, layout)
    else:
        raise DataError(
            f"X has {X.ndim} dimension{'s' * (X.ndim != 1)}: {times(X.shape)}",
            "reshape it to (N, d), (N, H, W), (N, C, H, W) or (N, H, W, C)",
        )
    if X.ndim > 2 and wanted not in (None, shape):
        raise DataError(
            f"input_shape={wanted}, but X has {times(shape)} images (C×H×W)",
            "omit input_shape, or set it to the images' shape; use layout='NHWC' if channels come last",
        )
    if math.prod(X.shape[1:]) != math.prod(shape):
        raise DataError(
            f"input_shape={shape} has {math.prod(shape):,d} values, but X has {X.shape[1]:,d} features",
            f"set an input_shape (C, H, W) whose product is {X.shape[1]:,d}",
        )
    return shape


def as_images(X: NDArray[Any], layout: str, shape: Shape) -> NDArray[Any]:
    """Return X, uint8 or float32, as (N, C, H, W): a view if it is contiguous.

    If the channels of X are clearly at the other end than `layout`, it is transposed. Raises DataError if X has images
    of another shape.
    """
    if X.ndim == 4 and _shape(X, layout) != shape:
        layout = next((other for other in LAYOUTS if _shape(X, other) == shape), layout)
    if shape_of(X, layout, shape if X.ndim == 2 else None) != shape:
        raise DataError(
            f"X has {times(X.shape[1:])} images, but the network needs {times(shape)} (C×H×W)",
            "pass images of the same shape as in training",
        )
    C, H, W = shape
    whole = np.ascontiguousarray(X)
    return whole.reshape(-1, C, H, W) if layout == "NCHW" else whole.reshape(-1, H, W, C).transpose(0, 3, 1, 2)


def as_split(images: NDArray[Any], labels: NDArray[np.int32]) -> Split:
    """Return all images with their labels, and the largest value that a pixel can have."""
    return Split(ImageSet(images, labels, maximum_of(images)), np.arange(len(labels), dtype=np.int64))


def maximum_of(images: NDArray[Any]) -> float:
    """Return the divisor that maps pixels to 0 … 1, as for the arrays of an .npz file."""
    return BYTE if images.dtype == np.uint8 else pixels.divisor(float(images.min()), float(images.max()))


def _shape(X: NDArray[Any], layout: str) -> Shape:
    """Return (C, H, W) of the images of X (N, C, H, W) or (N, H, W, C)."""
    first, second, third = X.shape[1:]
    return (first, second, third) if layout == LAYOUTS[0] else (third, first, second)


def _checked_shape(given: object) -> Shape | None:
    """Return the specified shape, if any. Raises DataError if it is not three sizes."""
    if given is None:
        return None
    sizes = tuple(map(plain, given)) if isinstance(given, list | tuple | np.ndarray) and np.ndim(given) else ()
    if len(sizes) != 3 or not all(is_whole(size) and size > 0 for size in sizes):
        raise DataError(f"input_shape={given!r}: must be three whole numbers", "pass (C, H, W), such as (1, 28, 28)")
    C, H, W = sizes
    return C, H, W
