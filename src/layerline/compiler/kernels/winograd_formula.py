"""Winograd's convolution: fewer multiplications, by transforms of tiles and filters.

The math.  m × m outputs of a convolution with r × r taps, from a tile d of n × n inputs, n = m + r − 1, and filters g:
    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A
with n² products for each input channel and filter, where the definition takes m² r²: 36 instead of 144 for m = 4 and
r = 3. (Lavin & Gray 2016, arXiv:1509.09308, eq. 7.) The products are summed over the channels before Aᵀ · A. The
gradient of the filters is the same bilinear form the other way around, with dy an m × m tile of the outputs' gradient:
    dg = Gᵀ [ (Bᵀ d B) ⊙ (A dy Aᵀ) ] G
A, B and G follow from n − 1 points and infinity, where polynomials are evaluated (Toom and Cook): row i of G is
(1, p, p², …) / Π (p − q) over the other points q, column i of Aᵀ is (1, p, p², …), and row i of Bᵀ has the
coefficients of Π (x − q). For n = 6 the points are 0, ±√½, ±√2: rounding errors are half of those with the usual
0, ±1, ±2 (6.6e-7 instead of 1.3e-6 for 64 channels), because all powers stay close to one; √½² · √2² is one.

The schedule.  Points come in pairs ±p, so that two rows share an even and an odd part, and two columns a sum and a
difference: a transform of 6 values takes 14 operations, not 22. The terms are added in a fixed order.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Value

Matrix = tuple[tuple[float, ...], ...]
T = TypeVar("T")

POINTS: Final = {
    4: (0.0, 1.0, -1.0),
    6: (0.0, math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2), -math.sqrt(2)),
}
"""The points besides infinity for each n: zero, then pairs."""


@dataclass(frozen=True)
class Winograd:
    """F(m × m, r × r): tiles of m × m outputs of a convolution with r × r taps."""

    outputs: int
    """m."""
    taps: int
    """r."""

    @property
    def size(self) -> int:
        """Return n, the inputs of a tile in each direction."""
        return self.outputs + self.taps - 1

    @property
    def products(self) -> int:
        """Return n², the products of a tile for each channel and filter."""
        return self.size * self.size

    @property
    def label(self) -> str:
        """Return it as it appears in symbols."""
        return f"f{self.outputs}_{self.taps}"

    @functools.cached_property
    def from_outputs(self) -> Matrix:
        """A, n × m: from gradients of outputs to the transformed domain."""
        return _powers(self.size, self.outputs, [1.0] * (self.size - 1))

    @functools.cached_property
    def from_filters(self) -> Matrix:
        """G, n × r: from filters to the transformed domain."""
        points = POINTS[self.size]
        scales = [math.prod(p - q for q in points if q != p) for p in points]
        return _powers(self.size, self.taps, scales)

    @functools.cached_property
    def from_inputs(self) -> Matrix:
        """Bᵀ, n × n: from inputs to the transformed domain."""
        points = POINTS[self.size]
        rows = [_coefficients([q for q in points if q != p]) for p in points]
        return _rounded([[*row, 0.0] for row in rows] + [_coefficients(points)])


def _powers(n: int, length: int, scales: Sequence[float]) -> Matrix:
    rows = [[p**k / scale for k in range(length)] for p, scale in zip(POINTS[n], scales, strict=True)]
    return _rounded([*rows, [0.0] * (length - 1) + [1.0]])


def _coefficients(roots: Sequence[float]) -> list[float]:
    """Return the coefficients of Π (x − root), lowest power first."""
    found = [1.0]
    for root in roots:
        found = [a - root * b for a, b in zip([0.0, *found], [*found, 0.0], strict=True)]
    return found


def _rounded(rows: Sequence[Sequence[float]]) -> Matrix:
    """Return the numbers as float32 has them; what is zero but for rounding, as zero."""
    return tuple(tuple(float(np.float32(x)) if abs(x) > 1e-9 else 0.0 for x in row) for row in rows)


class Linear(Protocol[T]):
    """The arithmetic of a transform."""

    def scaled(self, a: T, factor: float) -> T:
        """Return a · factor."""

    def plus(self, a: T, b: T) -> T:
        """Return a + b."""

    def minus(self, a: T, b: T) -> T:
        """Return a − b."""

    def plus_scaled(self, a: T, b: T, factor: float) -> T:
        """Return a + b · factor."""


@dataclass(frozen=True)
class WrittenLinear:
    """It, of vectors in the machine code; unless `fused`, a product is rounded before it is added."""

    pen: Pen
    fused: bool = True

    def scaled(self, a: Value, factor: float) -> Value:
        """Return a · factor."""
        return self.pen.mul(a, self.pen.constant(factor, a.lanes))

    def plus(self, a: Value, b: Value) -> Value:
        """Return a + b."""
        return self.pen.add(a, b)

    def minus(self, a: Value, b: Value) -> Value:
        """Return a − b."""
        return self.pen.sub(a, b)

    def plus_scaled(self, a: Value, b: Value, factor: float) -> Value:
        """Return a + b · factor."""
        if self.fused:
            return self.pen.fma(b, self.pen.constant(factor, a.lanes), a)
        return self.pen.add(a, self.scaled(b, factor))


@dataclass(frozen=True)
class ArrayLinear:
    """It, of float32 arrays, with the same roundings as WrittenLinear that is not fused."""

    def scaled(self, a: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
        """Return a · factor."""
        return a * np.float32(factor)

    def plus(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a + b."""
        return a + b

    def minus(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a − b."""
        return a - b

    def plus_scaled(self, a: NDArray[np.float32], b: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
        """Return a + b · factor."""
        return a + b * np.float32(factor)


def spread(of: Linear[T], matrix: Matrix, values: Sequence[T]) -> list[T]:
    """Return matrix · values, whose rows are those of the points: zero, pairs, infinity."""
    found = [_sum(of, matrix[0], values)]
    for plus, minus in zip(matrix[1:-1:2], matrix[2:-1:2], strict=True):
        even = _sum(of, [a if a == b else 0.0 for a, b in zip(plus, minus, strict=True)], values)
        odd = _sum(of, [0.0 if a == b else a for a, b in zip(plus, minus, strict=True)], values)
        found += [of.plus(even, odd), of.minus(even, odd)]
    return [*found, _sum(of, matrix[-1], values)]


def gather(of: Linear[T], matrix: Matrix, values: Sequence[T]) -> list[T]:
    """Return matrixᵀ · values, the rows of the matrix being those of the points."""
    pairs = list(zip(values[1:-1:2], values[2:-1:2], strict=True))
    sums, differences = [of.plus(*pair) for pair in pairs], [of.minus(*pair) for pair in pairs]
    found = []
    for column in zip(*matrix, strict=True):
        shared = [
            (sum_ if a == b else difference)
            for sum_, difference, a, b in zip(sums, differences, column[1:-1:2], column[2:-1:2], strict=True)
        ]
        found.append(_sum(of, [column[0], *column[1:-1:2], column[-1]], [values[0], *shared, values[-1]]))
    return found


def _sum(of: Linear[T], factors: Sequence[float], values: Sequence[T]) -> T:
    """Return Σ factor · value; a value with factor one comes first, if there is one."""
    terms = [(factor, value) for factor, value in zip(factors, values, strict=True) if factor]
    terms.sort(key=lambda term: term[0] != 1)
    factor, total = terms[0]
    if factor != 1:
        total = of.scaled(total, factor)
    for factor, value in terms[1:]:
        if factor in (1, -1):
            total = of.plus(total, value) if factor == 1 else of.minus(total, value)
        else:
            total = of.plus_scaled(total, value, factor)
    return total


def both_ways(of: Linear[T], matrix: Matrix, tile: Sequence[Sequence[T]], *, gathered: bool = False) -> list[list[T]]:
    """Return matrix · tile · matrixᵀ, or with `gathered` matrixᵀ · tile · matrix."""
    transform = gather if gathered else spread
    columns = [transform(of, matrix, column) for column in zip(*tile, strict=True)]
    return [transform(of, matrix, row) for row in zip(*columns, strict=True)]
