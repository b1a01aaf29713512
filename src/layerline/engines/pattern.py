"""RUN: the features that a backbone computes from one fixed image: they show whether weights are where they belong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.dataset import ImageSet, Scaling
from layerline.engines.features import features
from layerline.errors import UserError
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.network.pretrained.adding import Candidate

SAMPLE: Final = 16
"""How many sums are stored and compared, each of as many neighboring features."""
CLOSE: Final = 1e-4
"""The largest difference, relative to the largest sum: rounding is well below."""


def pattern(size: int) -> NDArray[np.uint8]:
    """Return the image, uint8 (1, 3, size, size): waves, edges and gradients, computed in whole numbers."""
    c, h, w = np.ogrid[:3, :size, :size]
    values = (h * h + 3 * w * w) // 64 + 85 * c + (h ^ w) * (c + 1)
    image: NDArray[np.uint8] = (values % 256).astype(np.uint8)[None]
    return image


def sample(candidate: Candidate, place: str) -> tuple[float, ...]:
    """Return sums of the features of the pattern. Raises UserError if the weights cannot be the right ones.

    place: the file with the weights, in messages.
    """
    backbone = candidate.backbone
    images, indices = ImageSet(pattern(backbone.size), np.zeros(1, np.int32)), np.zeros(1, np.int64)
    scaling = Scaling(backbone.scale, backbone.shift)
    values = features(backbone.network(), scaling, Recipe(), candidate.weights, images, indices, threads=1)[0]
    if not np.isfinite(values).all() or float(np.ptp(values)) == 0:
        raise UserError(f"{place}: its features of an image are all equal, or not finite", backbone.expected)
    found = values.astype(np.float64).reshape(SAMPLE, -1).sum(1)
    expected = () if candidate.known is None else candidate.known.sample
    if expected and float(np.abs(found - expected).max()) > CLOSE * float(np.abs(found).max()):
        raise RuntimeError(f"{backbone.name}: the features of the test pattern are not those of PyTorch")  # our bug
    return tuple(round(float(value), 6) for value in found)
