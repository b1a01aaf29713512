"""Images of any size are brought to one: which size that is, and how they are fitted into it.

Where nothing is asked for, images that are all equal and at most 64 × 64 stay as they are; else all become 128 × 128.
An image that has the size already is not touched. Others are resized by a triangle that is as wide as a step from one
pixel of the result to the next, or as a pixel where the image grows (Pillow's BILINEAR, which is antialiased):

    crop      the largest part of the target's proportions, from the middle
    pad       all of it, with black on both sides
    stretch   all of it, its proportions changed
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from layerline import figures
from layerline.data.dataset import Fit
from layerline.errors import DataError
from layerline.scalars import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from PIL.Image import Image

Size = tuple[int, int]
"""(H, W)."""

LARGEST_KEPT: Final = 64
"""Rows and columns up to which images of one size stay as they are."""
DEFAULT: Final[Size] = (128, 128)
LARGEST: Final = 4096
_MARGIN: Final = 1.5
"""Of what is needed, so that the triangle and not the decoder decides how sharp an image is. On pictures of clouds at
128 × 128, pixels are off a full decoding by 0.2 to 3.1 of 255 on average, the finer the clouds the more; without the
margin it was 0.2 to 5.1 (Pillow 13.0.0)."""
FITS: Final[tuple[str, ...]] = get_args(Fit)
_WRITTEN: Final = re.compile(r"([0-9]{1,6})(?:[x×]([0-9]{1,6}))?")


@dataclass(frozen=True)
class Sizing:
    """What is asked of the size and the colour of images."""

    size: Size | None = None
    """None: what the images themselves decide."""
    fit: Fit = "crop"
    gray: bool | None = None
    """True: all gray; False: all RGB; None: gray where all of them are."""
    stay: bool = False
    """Whether every image stays as large as it is."""

    def target(self, size: Size) -> Size | None:
        """Return the size that an image of this one gets, as far as it alone decides; None where it may stay."""
        if self.size is None and max(size) > LARGEST_KEPT and not self.stay:
            return DEFAULT
        return self.size

    def of_network(self, shape: tuple[int, int, int]) -> Sizing:
        """Return this for a network that says what it takes, (C, H, W). Raises DataError where both do not agree."""
        C, H, W = shape
        if self.size not in (None, (H, W)):
            raise DataError(
                f"--size {written(self.size or DEFAULT)}: the network's line Input says {H}×{W}, expected the same",
                f"leave --size out, or change the line to Input {C} {' '.join(map(str, self.size or DEFAULT))}",
            )
        if self.gray is not None and C in (1, 3) and self.gray != (C == 1):
            raise DataError(
                f"--gray {'yes' if self.gray else 'no'}: the network's line Input says {C} "
                f"{'channel' if C == 1 else 'channels'}, expected {'1' if self.gray else '3'}",
                "leave --gray out, or change the line",
            )
        return replace(self, size=(H, W), gray={1: True, 3: False}.get(C, self.gray))


AS_IT_IS: Final = Sizing(stay=True)
PLAIN: Final = Sizing()


def parse(size: int | str | None, fit: str | None, *, gray: bool | None) -> Sizing:
    """Return what --size, --fit and --gray mean. Raises DataError where they mean nothing."""
    size, gray = plain(size), plain(gray)
    if fit is not None and fit not in FITS:
        raise DataError(f"--fit {figures.name(str(fit))}: must be one of {', '.join(FITS)}")
    if gray is not None and not isinstance(gray, bool):
        raise DataError(f"--gray {figures.name(str(gray))}: must be yes or no")
    known: Fit = "pad" if fit == "pad" else "stretch" if fit == "stretch" else "crop"
    return Sizing(None if size is None else _size(size), known, gray)


def written(size: Size) -> str:
    """Return a size as --size takes it: 128, or 96x128."""
    H, W = size
    return str(H) if H == W else f"{H}x{W}"


def _size(given: Any) -> Size:
    match = _WRITTEN.fullmatch(str(given).strip()) if not isinstance(given, bool) else None
    asked = f"--size {figures.name(str(given))}"
    if match is None:
        raise DataError(f"{asked}: must be the side of a square in pixels, or height x width", "such as 128 or 96x128")
    H = int(match[1])
    W = int(match[2] or H)
    if not (1 <= H <= LARGEST and 1 <= W <= LARGEST):
        raise DataError(f"{asked}: must be from 1 to {LARGEST:,d} pixels", "128 is usual for photos")
    return H, W


def drafted(size: Size, target: Size, fit: Fit) -> Size:
    """Return the least size (H, W) that a decoder may give an image of `size`: more than is needed, see `_MARGIN`."""
    (h, w), (H, W) = size, target
    if fit == "stretch":
        return min(h, math.ceil(H * _MARGIN)), min(w, math.ceil(W * _MARGIN))
    scale = min(1.0, (max if fit == "crop" else min)(H / h, W / w) * _MARGIN)
    return math.ceil(h * scale), math.ceil(w * scale)


def fitted(image: Image, target: Size, fit: Fit) -> Image:
    """Return an image, of mode L or RGB, in the target's size."""
    h, w = image.height, image.width
    H, W = target
    if (h, w) == target:
        return image
    bilinear = _bilinear()
    if fit == "stretch":
        return image.resize((W, H), bilinear)
    if fit == "crop":
        scale = max(H / h, W / w)
        top, left = max(0.0, (h - H / scale) / 2), max(0.0, (w - W / scale) / 2)
        return image.resize((W, H), bilinear, box=(left, top, min(w, left + W / scale), min(h, top + H / scale)))
    scale = min(H / h, W / w)
    rows, columns = min(H, _at_least_one(h * scale)), min(W, _at_least_one(w * scale))
    paper = _empty(image.mode, target)
    paper.paste(image.resize((columns, rows), bilinear), ((W - columns) // 2, (H - rows) // 2))
    return paper


def pixels_fitted(pixels: NDArray[np.uint8], target: Size, fit: Fit) -> NDArray[np.uint8]:
    """Return uint8 (H, W) or (H, W, 3) in the target's size."""
    if pixels.shape[:2] == target:
        return pixels
    from PIL import Image

    return np.asarray(fitted(Image.fromarray(pixels), target, fit))


def smallest_and_largest(sizes: Iterable[Size]) -> tuple[Size, Size]:
    """Return the sizes of the fewest and of the most pixels; of equal ones, that of fewer rows comes first."""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return ordered[0], ordered[-1]


def _at_least_one(length: float) -> int:
    return max(1, int(length + 0.5))


def _bilinear() -> Any:
    from PIL import Image

    return Image.Resampling.BILINEAR


def _empty(mode: str, size: Size) -> Image:
    from PIL import Image

    H, W = size
    return Image.new(mode, (W, H))
