"""A network for given data: the preset that suits its images, or a text generated for it.

In a generated text, the image size determines the depth, and the number of images the width. Each line has a comment
that explains what it does, so that readers who have never seen a network file can understand it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from layerline.layers.grammar import times
from layerline.network.check import parse
from layerline.network.source import find
from layerline.network_file import formatted

if TYPE_CHECKING:
    from layerline.network.check import Image

NAME: Final = "fitted"
"""The name of a text that is not a preset."""

SMALLEST: Final = 2
"""Pixels of the shorter side that every preset from `preset_for` needs."""
_DIGITS, _GRAY, _PHOTO = 7, 16, 48
"""Pixels of the shorter side from which on the preset is digits, lenet5 or vgg-small, photo-small."""

_WIDTHS: Final = (48, 32, 24, 16, 8)
"""Filters of the first stage; each stage doubles them."""
_MOST_FILTERS: Final = 256
_FEW, _SOME = 1_000, 5_000
"""Below `_FEW` images the first stage has at most 16 filters, below `_SOME` 32; more would memorize the images.
From `_SOME` images on, a stage has two convolutional layers."""
_WORK: Final = 1.2e12
"""Multiply-adds (forward) per epoch, at most: with backward about a minute on two cores at 30 · 10⁹ per second."""
_STEM: Final = 24
"""Pixels that remain of the shorter side after the first stage, at least."""
_HALVED: Final = 8
"""A side of at least this many pixels is halved once more."""


def preset_for(shape: Image) -> str:
    """Return the preset that suits images of (C, H, W): by their shorter side, and whether they have colors.

    It accepts images of at least 2×2 pixels.
    """
    C, H, W = shape
    side = min(H, W)
    if side >= _PHOTO:
        return "photo-small"
    if side >= _GRAY:
        return "lenet5" if C == 1 else "vgg-small"
    return "digits" if side >= _DIGITS else "six-layer"


def choose(shape: Image, classes: int, images: int) -> tuple[str, str]:
    """Return name and text of a network for images of (C, H, W): a preset, or a generated one if no preset fits."""
    if min(shape[1:]) >= SMALLEST:
        return find(preset_for(shape))
    return NAME, fitted(shape, classes, images)


def fitted(shape: Image, classes: int, images: int) -> str:
    """Return the text of a network for this number of training images of (C, H, W), with a comment on every line.

    It is as wide as possible with an epoch in about a minute on two cores, and narrower if there are few images.
    """
    most = 16 if images < _FEW else 32 if images < _SOME else max(_WIDTHS)
    widths = [width for width in _WIDTHS if width <= most]
    for width in widths:
        text = _Text(shape, classes, images, width).text()
        work = parse(text, input_shape=shape, classes=classes).multiply_adds
        if work * images <= _WORK:
            break
    return text


_ORDINALS: Final = {2: "second", 4: "fourth"}


@dataclass(frozen=True)
class _Stem:
    """The first stage of a network for large images: it shrinks them so much at once that the rest is cheap."""

    kernel: int
    stride: int
    pool: int

    @classmethod
    def of(cls, side: int) -> _Stem | None:
        """Return the stem after which the shorter side has `_STEM` to 2·`_STEM` pixels; None for small images."""
        factor = 1
        while side // (2 * factor) >= _STEM:
            factor *= 2
        if factor == 1:
            return None
        stride = 2 if factor <= 4 else 4
        return cls(2 * stride + (1 if stride == 2 else -1), stride, factor // stride)


@final
class _Text:
    """A text being generated: its lines, and the shape after the last one."""

    def __init__(self, shape: Image, classes: int, images: int, width: int) -> None:
        self._image, self._classes, self._images = shape, classes, images
        self._shape: tuple[int, int, int] = shape
        self._width, self._convs = width, 2 if images >= _SOME else 1
        self._lines: list[str] = []
        self._explained: set[str] = set()

    def text(self) -> str:
        """Return the text in its readable form."""
        self._head()
        filters, stem = self._width, _Stem.of(min(self._image[1:]))
        if stem is None:
            self._convolve(filters, self._convs)
        else:
            self._begin(stem)
            filters = self._wider(filters)
            self._convolve(filters, self._convs)
        while max(self._shape[1:]) >= _HALVED:
            _, H, W = self._shape
            self._pool(2 if H >= _HALVED else 1, 2 if W >= _HALVED else 1)
            self._lines.append("")
            filters = self._wider(filters)
            self._convolve(filters, self._convs)
        self._end()
        return formatted("\n".join(self._lines) + "\n", NAME)

    def _head(self) -> None:
        C, H, W = self._image
        colors = {1: "1 channel (gray)", 3: "3 channels (red, green, blue)"}.get(C, f"{C} channels")
        self._lines += [
            f"# For {times(self._image)} images in {self._classes} classes, with {self._images:,d} training images.",
            "# The image size determines the number of stages, and the number of images the number of filters.",
            "# Each comment has the output shape of its line (channels × rows × columns), and what the line does.",
            "",
            f"Input {C} {H} {W}  # {colors}, {H} rows, {W} columns; without this line, the data's size applies",
            "",
        ]

    def _begin(self, stem: _Stem) -> None:
        """Add the first stage of a network for large images."""
        k, s = stem.kernel, stem.stride
        place = _ORDINALS[s]
        comment = f"{self._width} filters of {k}×{k} pixels, at every {place} pixel"
        _, H, W = self._shape
        self._shape = (self._width, (H - 1) // s + 1, (W - 1) // s + 1)
        self._add(f"Conv {self._width} {k} stride={s} padding={k // 2} bias=no", comment, shape=True)
        self._norm()
        if stem.pool > 1:
            self._pool(stem.pool, stem.pool)
        self._lines.append("")

    def _convolve(self, filters: int, times_: int) -> None:
        for _ in range(times_):
            C, H, W = self._shape
            over = "the channel" if C == 1 else f"all {C} channels"
            comment = f"{filters} filters of 3×3, each over {over}"
            if filters == C:
                comment = "once more, because two stacked layers of 3×3 cover 5×5"
            self._shape = (filters, H, W)
            self._add(f"Conv {filters} 3 padding=1 bias=no", comment, shape=True)
            self._norm()

    def _wider(self, filters: int) -> int:
        """Return twice the filters, up to the maximum, because the image has a quarter of the positions."""
        return min(2 * filters, max(filters, _MOST_FILTERS))

    def _norm(self) -> None:
        self._once("BatchNorm", "mean 0 and variance 1 per channel, then a learned scale and shift")
        self._once("ReLU", "negative values become 0; without it, two layers would act as one")

    def _pool(self, rows: int, columns: int) -> None:
        C, H, W = self._shape
        self._shape = (C, H // rows, W // columns)
        window = str(rows) if rows == columns else f"{rows}x{columns}"
        self._add(f"Pool {window}", f"the maximum of each {rows}×{columns}, so small shifts hardly matter", True)

    def _end(self) -> None:
        C, H, W = self._shape
        self._lines.append("")
        if min(self._image[1:]) >= _HALVED:
            self._shape = (C, H, W) = (C, 1, 1)
            self._add("GlobalPool", "the mean of each channel, wherever in the image it responded", True)
        self._add("Flat", f"→ {C * H * W:,d}: from an image to a vector")
        share = 0.3 if self._images < _SOME else 0.1
        self._add(
            f"Dropout {share}", f"in training, a random {share:.0%} are set to 0, so that no single value is relied on"
        )
        self._add("FC classes", f"→ {self._classes}: a number per class, each a weighted sum of all; the largest wins")

    def _once(self, line: str, comment: str) -> None:
        """Add a line that is explained only at its first occurrence."""
        self._lines.append(line if line in self._explained else f"{line}  # {comment}")
        self._explained.add(line)

    def _add(self, line: str, comment: str, shape: bool = False) -> None:
        self._lines.append(f"{line}  # " + (f"→ {times(self._shape)}: " if shape else "") + comment)
