"""A network for some data: the preset that suits its images, or a text written for it.

The size of the images decides how deep a text is, their number how wide. Each of its lines has a comment that says what
the line does, so that the file can be read by who has seen none before.
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
"""What a text is called that is no preset."""

SMALLEST: Final = 2
"""Pixels of the shorter side that every preset of `preset_for` needs."""
_DIGITS, _GRAY, _PHOTO = 7, 16, 48
"""From so many pixels of the shorter side on it is digits, lenet5 or vgg-small, photo-small."""

_WIDTHS: Final = (48, 32, 24, 16, 8)
"""Filters of the first stage; each stage doubles them."""
_MOST_FILTERS: Final = 256
_FEW, _SOME = 1_000, 5_000
"""Below `_FEW` images the first stage has at most 16 filters, below `_SOME` 32; more would learn the images by heart.
From `_SOME` on a stage has two layers of filters."""
_WORK: Final = 1.2e12
"""Multiply-adds, forward, that an epoch may take: with backward about a minute, of two cores of 30 · 10⁹ a second."""
_STEM: Final = 24
"""Pixels of the shorter side that the first stage leaves at least."""
_HALVED: Final = 8
"""A side of so many pixels is halved once more."""


def preset_for(shape: Image) -> str:
    """Return the preset that suits images of (C, H, W): by their shorter side, and whether they have colors.

    It fits whatever has at least 2×2 pixels.
    """
    C, H, W = shape
    side = min(H, W)
    if side >= _PHOTO:
        return "photo-small"
    if side >= _GRAY:
        return "lenet5" if C == 1 else "vgg-small"
    return "digits" if side >= _DIGITS else "six-layer"


def choose(shape: Image, classes: int, images: int) -> tuple[str, str]:
    """Return name and text of a network for images of (C, H, W): a preset, or where none fits one that does."""
    if min(shape[1:]) >= SMALLEST:
        return find(preset_for(shape))
    return NAME, fitted(shape, classes, images)


def fitted(shape: Image, classes: int, images: int) -> str:
    """Return the text of a network for so many training images of (C, H, W), with a comment on every line.

    It is as wide as an epoch in about a minute on two cores allows, and narrow where there are few images.
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
    """The first stage of a network for large images: it makes them so much smaller at once that the rest is cheap."""

    kernel: int
    stride: int
    pool: int

    @classmethod
    def of(cls, side: int) -> _Stem | None:
        """Return the one that leaves `_STEM` to twice as many pixels of the shorter side; None for small images."""
        factor = 1
        while side // (2 * factor) >= _STEM:
            factor *= 2
        if factor == 1:
            return None
        stride = 2 if factor <= 4 else 4
        return cls(2 * stride + (1 if stride == 2 else -1), stride, factor // stride)


@final
class _Text:
    """A text in the making: its lines, and the shape behind the last one."""

    def __init__(self, shape: Image, classes: int, images: int, width: int) -> None:
        self._image, self._classes, self._images = shape, classes, images
        self._shape: tuple[int, int, int] = shape
        self._width, self._convs = width, 2 if images >= _SOME else 1
        self._lines: list[str] = []
        self._told: set[str] = set()

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
            f"# For {times(self._image)} images of {self._classes} classes, {self._images:,d} of them to train on.",
            "# The size of the images decides how many stages it has, and their number how many filters.",
            "# Behind each # is what comes out of the line, in channels × rows × columns, and what the line does.",
            "",
            f"Input {C} {H} {W}  # {colors}, {H} rows, {W} columns; without this line the data decides",
            "",
        ]

    def _begin(self, stem: _Stem) -> None:
        """Add the first stage where images are large."""
        k, s = stem.kernel, stem.stride
        place = _ORDINALS[s]
        told = f"{self._width} patterns of {k}×{k} pixels, looked for at every {place} place"
        _, H, W = self._shape
        self._shape = (self._width, (H - 1) // s + 1, (W - 1) // s + 1)
        self._add(f"Conv {self._width} {k} stride={s} padding={k // 2} bias=no", told, shape=True)
        self._norm()
        if stem.pool > 1:
            self._pool(stem.pool, stem.pool)
        self._lines.append("")

    def _convolve(self, filters: int, times_: int) -> None:
        for _ in range(times_):
            C, H, W = self._shape
            over = "the channel" if C == 1 else f"all {C} channels"
            told = f"{filters} patterns of 3×3, each over {over}"
            if filters == C:
                told = "once more: two layers of 3×3 see 5×5"
            self._shape = (filters, H, W)
            self._add(f"Conv {filters} 3 padding=1 bias=no", told, shape=True)
            self._norm()

    def _wider(self, filters: int) -> int:
        """Return twice as many filters, for an image of a quarter of the places, up to the most there are."""
        return min(2 * filters, max(filters, _MOST_FILTERS))

    def _norm(self) -> None:
        self._once("BatchNorm", "mean 0 and deviation 1 for each channel; then a learned scale and shift")
        self._once("ReLU", "below 0 becomes 0; without it, two layers do no more than one")

    def _pool(self, rows: int, columns: int) -> None:
        C, H, W = self._shape
        self._shape = (C, H // rows, W // columns)
        window = str(rows) if rows == columns else f"{rows}x{columns}"
        self._add(f"Pool {window}", f"the largest of each {rows}×{columns}: a pixel more or less does not matter", True)

    def _end(self) -> None:
        C, H, W = self._shape
        self._lines.append("")
        if min(self._image[1:]) >= _HALVED:
            self._shape = (C, H, W) = (C, 1, 1)
            self._add("GlobalPool", "the mean of each channel: how much of it is in the image, not where", True)
        self._add("Flat", f"→ {C * H * W:,d}: no image any more, but a list of numbers")
        share = 0.3 if self._images < _SOME else 0.1
        self._add(
            f"Dropout {share}", f"while training, {share:.0%} of them are 0 by chance: no single one is relied on"
        )
        self._add(
            "FC classes", f"→ {self._classes}: a number a class, each a weighted sum of all; the largest is the answer"
        )

    def _once(self, line: str, told: str) -> None:
        """Add a line that is explained where it stands first."""
        self._lines.append(line if line in self._told else f"{line}  # {told}")
        self._told.add(line)

    def _add(self, line: str, told: str, shape: bool = False) -> None:
        self._lines.append(f"{line}  # " + (f"→ {times(self._shape)}: " if shape else "") + told)
