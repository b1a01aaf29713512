"""Resize images of any size to one: which size that is, and how they are fitted to it.

By default, images that all have the same size of at most 64 × 64 are not resized; otherwise all become squares, as
large as the median of their shorter sides allows (see `usual`). An image that already has the target size is not
changed. Others are resized with a triangle filter whose width is the distance between two pixels of the result, or one
pixel of the image if it grows (Pillow's BILINEAR, which is antialiased):

    crop      the largest centered part with the target's aspect ratio
    pad       the whole image, with black on two sides
    stretch   the whole image, without keeping its aspect ratio

By default images are cropped, but stretched if a crop would remove more than a fifth of the median image
(docs/decisions/0006-what-a-crop-cuts-away.md has the measurements).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, get_args

from layerline.data.dataset import Fit
from layerline.errors import DataError
from layerline.numbers import display
from layerline.numbers.scalars import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from PIL.Image import Image

Size = tuple[int, int]
"""(H, W)."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels: the position of the picture in a decoded image."""

LARGEST_KEPT: Final = 64
"""Maximum rows and columns of images of one size that are not resized."""
SMALLEST_USUAL: Final = 16
LARGEST_USUAL: Final = 128
"""Minimum and maximum rows and columns of images if no size is specified."""
MAX_CROPPED: Final = 0.2
"""The fraction of the median image that may be cropped if no fit is specified."""
LARGEST: Final = 4096
_MARGIN: Final = 1.5
"""Factor on the needed size, so that the resize filter and not the decoder determines the sharpness. For pictures of
clouds at 128 × 128, pixels differ from a full decoding by 0.2 to 3.1 of 255 on average, more for finer clouds; without
the margin by 0.2 to 5.1 (Pillow 13.0.0)."""
FITS: Final[tuple[str, ...]] = get_args(Fit)
_WRITTEN: Final = re.compile(r"([0-9]{1,6})(?:[x×]([0-9]{1,6}))?")


@dataclass(frozen=True)
class Sizing:
    """The requested size and color of images."""

    size: Size | None = None
    """None: determined by the images."""
    fit: Fit | None = None
    """None: determined by the images; for a single one, "crop"."""
    gray: bool | None = None
    """True: all gray; False: all RGB; None: gray if all of them are."""
    deep: bool | None = None
    """Whether 16-bit gray keeps all its bits, not just the upper 8; None: if all images are 16-bit gray."""
    largest: float | None = None
    """The value that 255 of an 8-bit image becomes among 16-bit images; None: there are no 8-bit images."""

    @property
    def how(self) -> Fit:
        """Return the fit for a single image."""
        return self.fit or "crop"

    def of_network(self, shape: tuple[int, int, int]) -> Sizing:
        """Return this with the input shape (C, H, W) of a network. Raises DataError if they do not match."""
        C, H, W = shape
        if self.size is not None and self.size != (H, W):
            raise DataError(
                f"--size {written(self.size)}: the network's Input line specifies {H}×{W}; the sizes must match",
                f"omit --size, or change the line to Input {C} {' '.join(map(str, self.size))}",
            )
        if self.gray is not None and C in (1, 3) and self.gray != (C == 1):
            raise DataError(
                f"--gray {'yes' if self.gray else 'no'}: the network's Input line has {C} "
                f"{'channel' if C == 1 else 'channels'}, expected {'1' if self.gray else '3'}",
                "omit --gray, or change the line",
            )
        return replace(self, size=(H, W), gray={1: True, 3: False}.get(C, self.gray))


AS_IT_IS: Final = Sizing()


def parse(size: int | str | None, fit: str | None, *, gray: bool | None) -> Sizing:
    """Parse --size, --fit and --gray. Raises DataError if one is invalid."""
    size, gray = plain(size), plain(gray)
    if fit is not None and fit not in FITS:
        raise DataError(f"--fit {display.name(str(fit))}: must be one of {', '.join(FITS)}")
    if gray is not None and not isinstance(gray, bool):
        raise DataError(f"--gray {display.switch_as_passed(gray)}: must be yes or no")
    known: Fit | None = next((known for known in get_args(Fit) if known == fit), None)
    return Sizing(None if size is None else _size(size), known, gray)


def settled(requested: Sizing, sizes: Mapping[Size, int], *, deep: bool) -> Sizing:
    """Return the sizing with every unspecified value determined by the images' sizes, (H, W) → number of images.

    deep: whether all of them are 16-bit gray.
    """
    size = requested.size or usual(sizes)
    fit = requested.fit or (
        "crop" if median({each: cut(each, size) for each in sizes}, sizes) <= MAX_CROPPED else "stretch"
    )
    return replace(requested, size=size, fit=fit, deep=deep if requested.deep is None else requested.deep)


def usual(sizes: Mapping[Size, int]) -> Size:
    """Return the default size for images of these sizes, (H, W) → number of images.

    Their own if they are all equal and at most 64; else a square with the largest side 4, 5, 6 or 7 · 2ᵏ that is at
    most the median of their shorter sides, and 16 to 128: so at least half of them need not grow, unless they are tiny.
    """
    first = next(iter(sizes))
    if len(sizes) == 1 and max(first) <= LARGEST_KEPT:
        return first
    median_side = int(median({size: min(size) for size in sizes}, sizes))
    shorter = max(SMALLEST_USUAL, min(LARGEST_USUAL, median_side))
    step = 1 << max(0, shorter.bit_length() - 3)
    side = shorter // step * step
    return side, side


def median(values: Mapping[Size, float], counts: Mapping[Size, int]) -> float:
    """Return the median over all images of a value per size; for an even number of images, the lower of the two."""
    ordered = sorted(values, key=values.__getitem__)
    left = (sum(counts.values()) + 1) // 2
    for size in ordered:
        left -= counts[size]
        if left <= 0:
            return values[size]
    raise ValueError("no images")


def cut(size: Size, target: Size) -> float:
    """Return the fraction of an image of `size` that `crop` removes to reach the target's aspect ratio."""
    (h, w), (H, W) = size, target
    return 1 - min(h * W, w * H) / max(h * W, w * H)


def written(size: Size) -> str:
    """Return a size in the format of --size: 128, or 96x128."""
    H, W = size
    return str(H) if H == W else f"{H}x{W}"


def _size(given: Any) -> Size:
    match = _WRITTEN.fullmatch(str(given).strip()) if not isinstance(given, bool) else None
    requested = f"--size {display.name(str(given))}"
    if match is None:
        raise DataError(
            f"{requested}: must be the side of a square in pixels, or height x width", "for example 128 or 96x128"
        )
    H = int(match[1])
    W = int(match[2] or H)
    if not (1 <= H <= LARGEST and 1 <= W <= LARGEST):
        raise DataError(f"{requested}: must be from 1 to {LARGEST:,d} pixels", "128 is typical for photos")
    return H, W


def drafted(size: Size, target: Size, fit: Fit) -> Size:
    """Return the minimum size (H, W) to which a decoder may reduce an image of `size`: with a margin, see `_MARGIN`."""
    (h, w), (H, W) = size, target
    if fit == "stretch":
        return min(h, math.ceil(H * _MARGIN)), min(w, math.ceil(W * _MARGIN))
    scale = min(1.0, (max if fit == "crop" else min)(H / h, W / w) * _MARGIN)
    return math.ceil(h * scale), math.ceil(w * scale)


def fitted(image: Image, target: Size, fit: Fit, box: Box | None = None) -> Image:
    """Return an image of mode L, RGB or F, resized to the target.

    box: the part of the image that is the picture, if a decoder's last row or column is only partly covered.
    """
    left, top, right, bottom = box or (0.0, 0.0, image.width, image.height)
    h, w = bottom - top, right - left
    H, W = target
    if (h, w) == target:
        return image
    bilinear = _bilinear()
    if fit == "stretch":
        return image.resize((W, H), bilinear, box=(left, top, right, bottom))
    if fit == "crop":
        scale = max(H / h, W / w)
        x, y = left + max(0.0, (w - W / scale) / 2), top + max(0.0, (h - H / scale) / 2)
        return image.resize((W, H), bilinear, box=(x, y, min(right, x + W / scale), min(bottom, y + H / scale)))
    scale = min(H / h, W / w)
    rows, columns = min(H, _at_least_one(h * scale)), min(W, _at_least_one(w * scale))
    paper = _empty(image.mode, target)
    whole = image.resize((columns, rows), bilinear, box=(left, top, right, bottom))
    paper.paste(whole, ((W - columns) // 2, (H - rows) // 2))
    return paper


def smallest_and_largest(sizes: Iterable[Size]) -> tuple[Size, Size]:
    """Return the sizes with the fewest and the most pixels; of equal ones, the one with fewer rows comes first."""
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
