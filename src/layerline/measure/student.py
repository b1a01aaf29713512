"""Student's t: the mean of a few runs with its 95% interval, without a table.

Student 1908, "The probable error of a mean". If x₁ … x_n are independent and normal, (mean − μ) / (s / √n) has the t
distribution with ν = n − 1 degrees of freedom, s² = Σ(x − mean)² / (n − 1).
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final

from layerline.runs.series_runs import Mean

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE: Final = 0.95
_MOST_TERMS: Final = 10_000
_SMALL: Final = 1e-15
_TINY: Final = 1e-300
_HALVINGS: Final = 200
"""More than enough for the 53 bits of a float64 between any two bounds."""


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean and its 95% interval, mean ± t · s / √n, with t the 97.5% quantile at n − 1 degrees of freedom.

    The interval assumes roughly normal values: for a fraction near 1 its upper end is a little too low.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Mean(tuple(values), mean, None, None, None)
    deviation = statistics.stdev(values)
    half = quantile((1 + CONFIDENCE) / 2, n - 1) * deviation / math.sqrt(n)
    return Mean(tuple(values), mean, mean - half, mean + half, deviation)


def quantile(p: float, nu: float) -> float:
    """Return the t with P(T ≤ t) = p for ν degrees of freedom, ½ ≤ p < 1, by bisection to the last bit.

    Raises ValueError for any other p, or if ν is below 1.
    """
    if not 0.5 <= p < 1 or nu < 1:
        raise ValueError(f"no quantile of t for p = {p} and {nu} degrees of freedom")
    low, high = 0.0, 1.0
    while central(high, nu) < 2 * p - 1:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if central(middle, nu) < 2 * p - 1 else (low, middle)
    return (low + high) / 2


def central(t: float, nu: float) -> float:
    """Return A = P(|T| ≤ t) for ν ≥ 1 degrees of freedom (not necessarily an integer), t ≥ 0.

    A = I(z; ½, ν/2), z = t² / (ν + t²), the regularized incomplete beta function (Abramowitz and Stegun 1964, 26.7.1
    and 26.5.27), from the side on which its continued fraction converges fast.
    """
    if t == 0:
        return 0.0
    z, rest = t * t / (nu + t * t), nu / (nu + t * t)
    if z < 1.5 / (0.5 + nu / 2 + 2):
        return _beta(z, rest, 0.5, nu / 2)
    return 1 - _beta(rest, z, nu / 2, 0.5)


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """Return I(x; a, b) with rest = 1 − x, by the continued fraction 26.5.8 and Lentz's method."""
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _MOST_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = _not_zero(1 + term / c), 1 / _not_zero(1 + term * d)
            fraction *= c * d
        if abs(c * d - 1) < _SMALL:
            break
    return math.exp(scale) * fraction / a


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
