"""How stored pixels are scaled to the network's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.dataset import Scaling
from layerline.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import Split

NORMALIZE: Final = ("max", "standard")

_BLOCK: Final = 2**20
"""Values that are summed in one block."""
_ROUNDING: Final = 2.0**-24
"""Half the distance from 1 to the next float32: a deviation below this fraction of the values is rounding error."""


def check(normalize: str | None) -> str:
    """Return the scaling method, `max` by default. Raises DataError for an unknown one."""
    if normalize is None:
        return NORMALIZE[0]
    if normalize not in NORMALIZE:
        raise DataError(f"--normalize {normalize}: must be one of " + ", ".join(NORMALIZE))
    return normalize


def scaling(train: Split, maximum: float, normalize: str) -> Scaling:
    """Return the scaling: x = value / maximum, or x = (value − mean) / deviation of the training images.

    Mean and standard deviation are per channel, over all pixels of all training images, in float64. A constant channel
    becomes 0, up to rounding.
    """
    C = train.source.images.shape[1]
    if normalize == "max":
        return Scaling((1 / maximum,) * C, (0.0,) * C)
    mean, deviation = _moments(train)
    largest = np.abs(mean) + deviation
    constant = deviation <= _ROUNDING * np.where(largest > 0, largest, 1)
    scale = 1 / np.where(constant, maximum, deviation)
    return Scaling(tuple(scale.tolist()), tuple((-mean * scale).tolist()))


def _moments(split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each channel, float64 (C,).

    Blocks are combined as in Chan, Golub & LeVeque 1979, eq. 2.1: M = M₁ + M₂ + δ² n₁n₂/n, M = Σ (x − mean)².
    """
    images, indices = split.source.images, split.indices
    _, C, H, W = images.shape
    step = max(1, _BLOCK // (C * H * W))
    n, mean, M = 0, np.zeros(C), np.zeros(C)
    for start in range(0, len(indices), step):
        block = images[indices[start : start + step]].transpose(1, 0, 2, 3).reshape(C, -1).astype(np.float64)
        size, center = block.shape[1], block.mean(axis=1)
        block -= center[:, None]
        delta = center - mean
        M += (block * block).sum(axis=1) + delta**2 * (n * size / (n + size))
        mean += delta * (size / (n + size))
        n += size
    return mean, np.sqrt(M / n)
