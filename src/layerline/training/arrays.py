"""TRAIN: the axis order of an array of images to predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Shape = tuple[int, int, int]

LAYOUTS: Final = ("NCHW", "NHWC", "NHW")
_AXES: Final = {4: ("NCHW", "NHWC"), 3: ("NHW", "CHW", "HWC"), 2: ("HW",)}
"""Number of dimensions → possible axis orders; without N it is a single image."""


def as_array(images: Any) -> NDArray[Any]:
    """Return the images as an array. Raises DataError if that is impossible, as for lists of different sizes."""
    try:
        return np.asarray(images)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"the images cannot be converted to one array: {str(error).splitlines()[0][:200]}",
            "pass images of one size, (N, C, H, W) or (N, H, W, C); files and Pillow images may differ in size",
        ) from error


def order_of(images: NDArray[Any], layout: str | None, shape: Shape) -> str:
    """Return the axis order, such as NHWC: `layout` if given, else inferred from the network's input shape.

    Raises DataError if no order fits, or two.
    """
    if layout is None and images.shape[1:] == shape and len(set(shape)) > 1:
        return "NCHW"  # a shortcut, because an image takes 10 µs in all
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"layout={layout!r}: unknown layout", "one of: " + ", ".join(LAYOUTS))
    sizes = dict(zip("CHW", shape, strict=True))
    fits = [
        axes
        for axes in ((layout,) if layout else _AXES.get(images.ndim, ()))
        if len(axes) == images.ndim and _fits(axes, images.shape, sizes)
    ]
    if not fits:
        raise _unfit(images, layout, sizes)
    if len(fits) > 1 and shape[0] > 1:  # with one channel both orders are the same bytes
        raise DataError(
            f"the images have shape {images.shape}: channels may be first or last",
            "specify layout='NCHW' or layout='NHWC', for images (N, …)",
        )
    return fits[0]


def batch(images: NDArray[Any], axes: str, shape: Shape) -> NDArray[Any]:
    """Return contiguous images in this axis order as a view (N, C, H, W)."""
    C, H, W = shape
    return images.reshape(-1, H, W, C).transpose(0, 3, 1, 2) if axes.endswith("C") else images.reshape(-1, C, H, W)


def as_given(batch: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return a view of images (N, C, H, W) that has these axes, in this order: the inverse of `batch`."""
    kept = [axis for axis in "NCHW" if axis in axes]
    single = batch[tuple(slice(None) if axis in axes else 0 for axis in "NCHW")]
    return single.transpose([kept.index(axis) for axis in axes])


def _fits(axes: str, found: tuple[int, ...], sizes: dict[str, int]) -> bool:
    return ("C" in axes or sizes["C"] == 1) and all(
        size == sizes.get(axis, size) for axis, size in zip(axes, found, strict=True)
    )


def _unfit(images: NDArray[Any], layout: str | None, sizes: dict[str, int]) -> DataError:
    C, H, W = sizes.values()
    needed = ", ".join(str(sizes.get(axis, axis)) for axis in layout or "NCHW")
    found = f"the images have shape {images.shape}, but the network expects ({needed})"
    if images.ndim == 2 and images.shape[1] == C * H * W:
        return DataError(found, f"turn rows into images: images.reshape(-1, {C}, {H}, {W})")
    if images.ndim == 1 and images.size == C * H * W:
        return DataError(found, f"turn the row into an image: images.reshape(1, {C}, {H}, {W})")
    return DataError(
        found,
        f"pass images of {H}×{W} pixels: a single one, or (N, C, H, W) or (N, H, W, C); files and Pillow images are "
        "resized automatically",
    )
