"""TRAIN: in which order the axes of an array of images lie that a model is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Shape = tuple[int, int, int]

LAYOUTS: Final = ("NCHW", "NHWC", "NHW")
_AXES: Final = {4: ("NCHW", "NHWC"), 3: ("NHW", "CHW", "HWC"), 2: ("HW",)}
"""What an array of so many dimensions may be; without N it is one image."""


def as_array(images: Any) -> NDArray[Any]:
    """Return what is given as an array. Raises DataError where it is none, such as lists of images that differ."""
    try:
        return np.asarray(images)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"the images cannot become one array: {str(error).splitlines()[0][:200]}",
            "give images of one size, (N, C, H, W) or (N, H, W, C); files and Pillow images may differ",
        ) from error


def order_of(images: NDArray[Any], layout: str | None, shape: Shape) -> str:
    """Return what the axes are, such as NHWC, as it is said or as the network's shape leaves no doubt.

    Raises DataError where they fit no order, or two.
    """
    if layout is None and images.shape[1:] == shape and len(set(shape)) > 1:
        return "NCHW"  # at once, for one image is asked about in 30 µs
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"layout={layout!r}: not known", "one of: " + ", ".join(LAYOUTS))
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
            f"the images have shape {images.shape}: channels may come first or last",
            "say which: layout='NCHW' or layout='NHWC', of images (N, …)",
        )
    return fits[0]


def batch(images: NDArray[Any], axes: str, shape: Shape) -> NDArray[Any]:
    """Return contiguous images of such axes as (N, C, H, W), a view."""
    C, H, W = shape
    return images.reshape(-1, H, W, C).transpose(0, 3, 1, 2) if axes.endswith("C") else images.reshape(-1, C, H, W)


def _fits(axes: str, found: tuple[int, ...], sizes: dict[str, int]) -> bool:
    return ("C" in axes or sizes["C"] == 1) and all(
        size == sizes.get(axis, size) for axis, size in zip(axes, found, strict=True)
    )


def _unfit(images: NDArray[Any], layout: str | None, sizes: dict[str, int]) -> DataError:
    C, H, W = sizes.values()
    needed = ", ".join(str(sizes.get(axis, axis)) for axis in layout or "NCHW")
    found = f"the images have shape {images.shape}, and the network takes ({needed})"
    if images.ndim == 2 and images.shape[1] == C * H * W:
        return DataError(found, f"rows become images by images.reshape(-1, {C}, {H}, {W})")
    if images.ndim == 1 and images.size == C * H * W:
        return DataError(found, f"a row becomes an image by images.reshape(1, {C}, {H}, {W})")
    return DataError(
        found,
        f"give images of {H}×{W} pixels: one, or many as (N, C, H, W) or (N, H, W, C); files and Pillow images are "
        "brought to it",
    )
