"""Student's t: the mean of a few runs with its 95 % interval, from closed forms, without a table.

Student 1908, "The probable error of a mean". Where x₁ … x_n are independent and normal, (mean − μ) / (s / √n) has the t
distribution with ν = n − 1 degrees of freedom, s² = Σ(x − mean)² / (n − 1).
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE: Final = 0.95
_HALVINGS: Final = 200
"""More than enough for the 53 bits of a float64 between any two bounds."""


@dataclass(frozen=True)
class Mean:
    """The mean of some values, and how sure it is."""

    values: tuple[float, ...]
    mean: float
    low: float | None
    """Of the 95 % interval; None where there are fewer than two values."""
    high: float | None
    deviation: float | None
    """The standard deviation of the values, divided by n − 1; None where there are fewer than two."""


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean with its 95 % interval, mean ± t · s / √n, t the 97.5 % quantile of t with n − 1 degrees.

    The interval holds for values that are about normal: of a share near 1 it is a little too low at its upper end.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Mean(tuple(values), mean, None, None, None)
    deviation = statistics.stdev(values)
    half = quantile((1 + CONFIDENCE) / 2, n - 1) * deviation / math.sqrt(n)
    return Mean(tuple(values), mean, mean - half, mean + half, deviation)


def quantile(p: float, nu: int) -> float:
    """Return the t with P(T ≤ t) = p for ν degrees of freedom, ½ ≤ p < 1, by bisection to the last bit.

    Raises ValueError for another p, or where ν is not at least 1.
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


def central(t: float, nu: int) -> float:
    """Return A = P(|T| ≤ t) for ν degrees of freedom, t ≥ 0, as a finite sum in θ = arctan(t / √ν).

    Abramowitz and Stegun 1964, 26.7.3 and 26.7.4:

        ν = 1        A = 2θ / π
        ν odd        A = (2 / π) (θ + sin θ (cos θ + (2/3) cos³θ + … + (2·4…(ν−3)) / (3·5…(ν−2)) cos^(ν−2) θ))
        ν even       A = sin θ (1 + (1/2) cos²θ + … + (1·3…(ν−3)) / (2·4…(ν−2)) cos^(ν−2) θ)
    """
    theta = math.atan(t / math.sqrt(nu))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = nu % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(2 + odd, nu + 1, 2):  # the term in cos^(k−2)
        total += term
        term *= (k - 1) / k * cosine * cosine
    return 2 / math.pi * (theta + sine * total) if odd else sine * total
