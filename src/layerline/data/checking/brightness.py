"""The brightness of the training images, and whether other images are far from it.

All numbers are pixels divided by the largest possible value. The limits below are from MNIST, CIFAR-10 and photos of
clothing: each test set, each half and each class of it stays within them, and so does nearly every single image; the
same images inverted (MNIST), divided by 255 once too often, or almost black do not (docs/predicting.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import Split

MANY: Final = 16
"""From this number of images on, their mean is more informative than that of a single image."""
SPREADS: Final = {False: 7.0, True: 3.0}
"""For few (False) and many images: how many standard deviations of the image means their mean may be away. The farthest
image of MNIST is 6.2 away, inverted ones 17."""
DEVIATIONS: Final = {False: 1.0, True: 0.5}
"""How many standard deviations of all pixels it may be away in any case, because image means may hardly differ."""
OF_THE_RANGE: Final = {False: 1 / 50, True: 1 / 4}
"""Their distance to black, and to white, must be at least this fraction of the training images' distance."""
CONTRAST: Final = 3.0
"""For many images: the factor by which their standard deviation may be larger or smaller."""
BELOW: Final = -0.25
"""Resizing overshoots, so pixels may be this far below 0; if any are lower, the images were normalized (MNIST, with
mean and standard deviation, starts at -0.42)."""
_AT_MOST: Final = 2**24
"""Values of training images that are examined: a tenth of a second."""
_BLOCK: Final = 2**17
"""Values converted to float64 at once: 1 MiB, which stays in the cache. MNIST takes 18 ms instead of 37 with 8 MiB (AMD
EPYC, Zen 5, 2026-11-29)."""
AT_ONCE: Final = 256
"""Images that are examined: at least this many training images, and at most this many images to predict per call."""


@dataclass(frozen=True)
class Brightness:
    """The brightness of training images: mean and standard deviation of each channel over all pixels, and more."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    spread: float
    """Standard deviation of the image means."""
    low: float
    """The smallest pixel."""
    high: float

    @property
    def normalized(self) -> bool:
        """Return whether pixels were already normalized on input: black is not 0, and white not 1."""
        return self.low < BELOW

    @cached_property
    def middle(self) -> float:
        """Return the mean over all channels."""
        return sum(self.mean) / len(self.mean)

    @cached_property
    def contrast(self) -> float:
        """Return the standard deviation of all pixels, over all channels."""
        return float(np.sqrt(np.mean(np.square(self.deviation)) + np.var(self.mean)))

    @cached_property
    def limits(self) -> dict[bool, tuple[float, float]]:
        """Return the range of unremarkable means, for few (False) and for many images."""
        return {many: self._limits(many=many) for many in (False, True)}

    def _limits(self, *, many: bool) -> tuple[float, float]:
        way = max(SPREADS[many] * self.spread, DEVIATIONS[many] * self.contrast)
        low, high = self.middle - way, self.middle + way
        if not self.normalized:
            low = max(low, self.middle * OF_THE_RANGE[many])
            high = min(high, 1 - (1 - self.middle) * OF_THE_RANGE[many])
        return low, high


@final
class Look:
    """The brightness of the images to predict, accumulated over several calls."""

    def __init__(self, seen: Brightness | None) -> None:
        """Start without images. seen: the brightness of the training images; None if the model file lacks it."""
        self._seen = seen
        self._images, self._values = 0, 0
        self._sum, self._squares, self._low = 0.0, 0.0, math.inf

    def add(self, images: NDArray[Any], maximum: float) -> None:
        """Add images (N, …) whose largest possible value is `maximum`; of more than 256, only 256 are examined."""
        n = len(images)
        if self._seen is None or not images.size:
            return
        some = images[:: -(-n // AT_ONCE)] if n > AT_ONCE else images
        self._images += n
        self._values += some.size
        self._sum += float(np.add.reduce(some, axis=None, dtype=np.float64 if some.dtype.kind == "f" else np.int64)) / (
            maximum
        )
        if self._seen.normalized:
            self._low = min(self._low, float(some.min()) / maximum)
        if n > 1:  # a single image is not checked for contrast
            self._squares += float(np.square(some, dtype=np.float32).sum(dtype=np.float64)) / maximum**2

    def remark(self) -> str | None:
        """Return a remark if these images are far from the training images, else None."""
        if self._seen is None or not self._images:
            return None
        seen, many, found = self._seen, self._images >= MANY, self._sum / self._values
        low, high = seen.limits[many]
        if not low <= found <= high:
            word = "brighter" if found > seen.middle else "darker"
            mirrored = not seen.normalized and low <= 1 - found <= high
            cause = "inverted?" if mirrored else "scaled differently?"
            which = "This image is" if self._images == 1 else "These images are"
            return f"{which} much {word} ({_short(found)}) than the training images ({_short(seen.middle)}): {cause}"
        if not many:
            return None
        if seen.normalized and self._low >= 0:
            return (
                f"None of these images has a pixel below 0, but the training images go down to {_short(seen.low)}: "
                "normalized differently?"
            )
        deviation = math.sqrt(max(0.0, self._squares / self._values - found**2))
        if not seen.contrast / CONTRAST <= deviation <= seen.contrast * CONTRAST:
            word = "more" if deviation > seen.contrast else "less"
            return (
                f"These images have much {word} contrast (standard deviation {_short(deviation)}) than the training "
                f"images ({_short(seen.contrast)}): scaled differently?"
            )
        return None


def of(split: Split) -> Brightness:
    """Return the brightness of a split, from all images or from an evenly spaced sample of 2²⁴ values."""
    source, indices = split.source, split.indices
    _, C, H, W = source.images.shape
    most = max(AT_ONCE, _AT_MOST // (C * H * W))
    some = indices[np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(np.int64)]
    step = max(1, _BLOCK // (C * H * W))
    means, squares, lowest, highest = [], [], [], []
    for k in range(0, len(some), step):
        block = source.images[some[k : k + step]]
        values = block.astype(np.float64) / source.maximum
        means.append(values.mean(axis=(2, 3)))
        squares.append(np.square(values).mean(axis=(2, 3)))
        lowest.append(float(block.min()))
        highest.append(float(block.max()))
    single = np.concatenate(means)
    mean = single.mean(axis=0)
    deviation = np.sqrt(np.maximum(0, np.concatenate(squares).mean(axis=0) - mean**2))
    return Brightness(
        tuple(mean.tolist()),
        tuple(deviation.tolist()),
        float(single.mean(axis=1).std()),
        min(lowest) / source.maximum,
        max(highest) / source.maximum,
    )


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.1g}"
