"""How bright the images are that a model learned from, and whether others are far from them.

All numbers are pixels divided by the largest value that one can have. The limits below are from MNIST, CIFAR-10 and
photos of clothing: each test set, each half and each class of one stays within them, and so does nearly every image
alone; the same inverted (MNIST), divided by 255 once too often, or almost black does not (docs/predicting.md).
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
"""Images from which on their mean tells more than one image can."""
SPREADS: Final = {False: 7.0, True: 3.0}
"""Of few and of many images: so many deviations of an image's own mean may theirs be away. The farthest of MNIST's
images is 6.2 away, inverted ones 17."""
DEVIATIONS: Final = {False: 1.0, True: 0.5}
"""Of all pixels: so far it may be away in any case, for single means may hardly differ."""
OF_THE_ROOM: Final = {False: 1 / 50, True: 1 / 4}
"""The least share of the training's way to black, and to white, that theirs may have left."""
CONTRAST: Final = 3.0
"""Of many images: so many times may their deviation be larger, or smaller."""
BELOW: Final = -0.25
"""So far below 0 may pixels be that were resized, which overshoots; where some are further below, they were normalized
(MNIST, with mean and deviation, is from -0.42)."""
_AT_MOST: Final = 2**24
"""Values of training images that are looked at: a tenth of a second."""
AT_ONCE: Final = 256
"""Images that are looked at: of those to learn from at least so many, of those to predict at most, in a call."""


@dataclass(frozen=True)
class Brightness:
    """Of training images, of each channel, over all pixels."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    spread: float
    """Standard deviation of the images' own means."""
    low: float
    """The smallest pixel."""
    high: float

    @property
    def normalized(self) -> bool:
        """Return whether pixels had been normalized before they came: black is not 0, and white not 1."""
        return self.low < BELOW

    @cached_property
    def middle(self) -> float:
        """Return the mean over all channels."""
        return sum(self.mean) / len(self.mean)

    @cached_property
    def contrast(self) -> float:
        """Return the deviation of all pixels, whatever their channel."""
        return float(np.sqrt(np.mean(np.square(self.deviation)) + np.var(self.mean)))

    @cached_property
    def limits(self) -> dict[bool, tuple[float, float]]:
        """Return between which means of few (False) and of many images nothing needs saying."""
        return {many: self._limits(many=many) for many in (False, True)}

    def _limits(self, *, many: bool) -> tuple[float, float]:
        way = max(SPREADS[many] * self.spread, DEVIATIONS[many] * self.contrast)
        low, high = self.middle - way, self.middle + way
        if not self.normalized:
            low = max(low, self.middle * OF_THE_ROOM[many])
            high = min(high, 1 - (1 - self.middle) * OF_THE_ROOM[many])
        return low, high


@final
class Look:
    """How bright images are that a model is asked about, as they come."""

    def __init__(self, seen: Brightness | None) -> None:
        """Begin with none. seen: of what the model learned from; None where its file does not say."""
        self._seen = seen
        self._images, self._values = 0, 0
        self._sum, self._squares, self._low = 0.0, 0.0, math.inf

    def add(self, images: NDArray[Any], maximum: float) -> None:
        """Look at images (N, …) whose largest value is `maximum`, at 256 of them where they are more."""
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
        if n > 1:  # an image alone is not asked for its contrast
            self._squares += float(np.square(some, dtype=np.float32).sum(dtype=np.float64)) / maximum**2

    def remark(self) -> str | None:
        """Return what must be said where these images are far from those that the model learned from."""
        if self._seen is None or not self._images:
            return None
        seen, many, found = self._seen, self._images >= MANY, self._sum / self._values
        low, high = seen.limits[many]
        if not low <= found <= high:
            word = "brighter" if found > seen.middle else "darker"
            mirrored = not seen.normalized and low <= 1 - found <= high
            cause = "inverted?" if mirrored else "scaled differently?"
            which = "This image is" if self._images == 1 else "These images are"
            return f"{which} much {word} ({_short(found)}) than those it learned from ({_short(seen.middle)}): {cause}"
        if not many:
            return None
        if seen.normalized and self._low >= 0:
            return (
                f"None of these images has a pixel below 0, and those it learned from go down to {_short(seen.low)}: "
                "normalized differently?"
            )
        deviation = math.sqrt(max(0.0, self._squares / self._values - found**2))
        if not seen.contrast / CONTRAST <= deviation <= seen.contrast * CONTRAST:
            word = "more" if deviation > seen.contrast else "less"
            return (
                f"These images have much {word} contrast (a deviation of {_short(deviation)}) than those it learned "
                f"from ({_short(seen.contrast)}): scaled differently?"
            )
        return None


def of(split: Split) -> Brightness:
    """Return how bright the images of a split are: all of them, or as many as have 2²⁴ values, evenly spread."""
    source, indices = split.source, split.indices
    _, C, H, W = source.images.shape
    most = max(AT_ONCE, _AT_MOST // (C * H * W))
    some = indices[np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(np.int64)]
    step = max(1, 2**20 // (C * H * W))
    blocks = [source.images[some[k : k + step]] for k in range(0, len(some), step)]
    means, squares = [], []
    for block in blocks:
        values = block.astype(np.float64) / source.maximum
        means.append(values.mean(axis=(2, 3)))
        squares.append(np.square(values).mean(axis=(2, 3)))
    single = np.concatenate(means)
    mean = single.mean(axis=0)
    deviation = np.sqrt(np.maximum(0, np.concatenate(squares).mean(axis=0) - mean**2))
    return Brightness(
        tuple(mean.tolist()),
        tuple(deviation.tolist()),
        float(single.mean(axis=1).std()),
        float(min(block.min() for block in blocks)) / source.maximum,
        float(max(block.max() for block in blocks)) / source.maximum,
    )


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.1g}"
