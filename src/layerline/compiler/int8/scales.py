"""The scales of 8-bit values and of the weights that they are multiplied with.

q stands for s · (q − z). Values have one scale per tensor, whose range includes 0, so that z is one of them; weights
have a scale per filter, and z = 0. kernels/int8_values.py has how sums become values; here the factors are made, and
what its proofs need is ensured: no factor reaches 2³¹, because a scale is made larger where one would, and no sum of
32 bits overflows, because a network in which one could is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.compiler.kernels.int8_values import HIGHEST, LOWEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHT: Final = 127
"""The largest weight."""
FINEST: Final = 2.0**-18
"""The least unit of a sum, in units of the result's scale: filters that are nearly zero get no finer weights. A factor
is at least 2¹⁴ then, so its rounding changes a value by less than 2⁻⁶."""
LARGEST_BIAS: Final = 2.0**28
"""The largest bias in units of the sums, without what zero points add."""
FACTOR: Final = 2.0**32
LARGEST_FACTOR: Final = 2.0**31 - 1
_MARGIN: Final = 2.0**-20


class TooLargeError(ValueError):
    """A sum of 32 bits might overflow."""


@dataclass(frozen=True)
class Scale:
    """The scale and the zero point of a tensor."""

    scale: float
    zero: float
    """An integer, except of images: there it may lie between two values."""

    @property
    def border(self) -> int:
        """Return the value that stands for 0, or is next to it."""
        return min(max(round(self.zero), LOWEST), HIGHEST)

    def values(self, numbers: NDArray[np.float64]) -> NDArray[np.int8]:
        """Return the values of numbers."""
        return np.clip(np.rint(numbers / self.scale + self.zero), LOWEST, HIGHEST).astype(np.int8)

    def numbers(self, values: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return the numbers that values stand for."""
        return (values.astype(np.float64) - self.zero) * self.scale


def scale_of(low: float, high: float, least: float = 0.0) -> Scale:
    """Return the scale of numbers from low to high, of at least `least`."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / (HIGHEST - LOWEST), least * (1 + _MARGIN))
    if scale == 0:  # every number is 0
        return Scale(1.0, LOWEST)
    return Scale(scale, float(min(max(round(LOWEST - low / scale), LOWEST), HIGHEST)))


def factor_of(ratio: NDArray[np.float64] | float) -> NDArray[np.int64]:
    """Return the factors by which sums in units of `ratio` scales become values."""
    factors = np.rint(np.asarray(ratio, np.float64) * FACTOR)
    if (factors > LARGEST_FACTOR).any():
        raise ValueError(f"a factor of {factors.max():.4g} does not fit in 32 bits")
    return factors.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Int8Filters:
    """The weights of a layer as integers: w ≈ scale · weights, filter by filter."""

    weights: NDArray[np.int8]
    scales: NDArray[np.float64]
    """One for each filter."""
    biases: NDArray[np.int64]
    """In units of the sums, without what the input's zero point adds to them."""

    @property
    def unit(self) -> float:
        """Return the largest scale."""
        return float(self.scales.max())


def least_scale(weights: NDArray[np.float64], biases: NDArray[np.float64], x: Scale) -> float:
    """Return the least scale of the output of filters for which the factors have 31 bits."""
    return 2 * max(x.scale * float(np.abs(weights).max()) / WEIGHT, float(np.abs(biases).max()) / LARGEST_BIAS)


def effective_biases(
    weights: NDArray[np.float64], biases: NDArray[np.float64], x: Scale, y: float
) -> NDArray[np.float64]:
    """Return biases of the same values: beyond a limit, no input keeps a filter from its lowest or highest value.

    A layer that a training switched off has biases far below what its weights can add, which need more than 32 bits.
    """
    span = HIGHEST - LOWEST
    reach = x.scale * span * np.abs(weights).reshape(len(weights), -1).sum(1) + y * (span + 1)
    return np.clip(biases, -reach, reach)


def filters_of(
    weights: NDArray[np.float64], biases: NDArray[np.float64], x: Scale, y: float | None, mean: NDArray[np.float64]
) -> Int8Filters:
    """Return filters (O, …) as integers, for an input of scale x and an output of scale y (None: not 8-bit values).

    mean: the mean input of each weight, of a shape that broadcasts to (O, …): what the rounding of the weights adds to
    a mean output is taken from the bias. Raises TooLargeError if a sum of 32 bits might overflow.
    """
    O = len(weights)
    flat = weights.reshape(O, -1)
    largest = np.abs(flat).max(1)
    finest = largest.max() * FINEST if y is None else y * FINEST / x.scale
    for_biases = np.abs(biases) / (LARGEST_BIAS * x.scale)  # of weights that are zero, or nearly
    scales = np.maximum(largest / WEIGHT, np.maximum(for_biases, max(finest, np.finfo(np.float32).tiny)))
    rounded = np.rint(flat / scales[:, None])
    excess = (rounded * scales[:, None]).reshape(weights.shape) - weights
    shifts = (excess * mean).reshape(O, -1).sum(1)
    sums = np.rint((biases - shifts) / (x.scale * scales) - x.zero * rounded.sum(1))
    if (np.abs(sums) + -LOWEST * np.abs(rounded).sum(1) >= 2.0**31).any():
        raise TooLargeError(f"sums of {flat.shape[1]:,d} products of 8-bit values may need more than 32 bits")
    return Int8Filters(rounded.reshape(weights.shape).astype(np.int8), scales, sums.astype(np.int64))
