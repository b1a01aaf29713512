"""What kernels on 8-bit values share: how a sum becomes a value again.

The math.  A value q (int8) of a tensor with scale s and zero point z stands for the number s · (q − z). A sum a (int32)
in units of S becomes a value of a tensor with scale s and zero point z by a factor M = S / s · 2³², rounded:
    q = min(max(⌊(a · M + 2³¹) / 2³²⌋ + z, low), high)
with the product in 64 bits: no rounding but this one, in integers only, so that the result is the same on every chip,
with a floating-point unit or without. It needs M < 2³¹, that is S < s / 2, and the rounding of M changes the result by
at most |a| · 2⁻³³. `low` and `high` are −128 and 127, or the values of an activation's limits: ReLU is low = z.

The parameters of a kernel are one list of int32, `t`, whose first elements are these: z, low, high.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value

LOWEST: Final = -128
HIGHEST: Final = 127
HEAD: Final = 3
"""The elements of `t` that every kernel has: zero point, low, high."""


@dataclass(frozen=True, eq=False)
class Finish:
    """How the sums of a kernel become values: the head of `t`, in registers."""

    zero: Value
    low: Value
    high: Value

    @classmethod
    def loaded(cls, pen: Pen, lanes: int = 1) -> Finish:
        """Load the head of `t`, for vectors of this width."""
        return cls(*(pen.broadcast(pen.pointer("t"), number, lanes) for number in range(HEAD)))

    def splat(self, pen: Pen, lanes: int) -> Finish:
        """Return the same for vectors of this width."""
        return Finish(*(pen.splat(each, lanes) for each in (self.zero, self.low, self.high)))

    def value(self, pen: Pen, total: Value, factor: Value) -> Value:
        """Return the values of sums (i32), as i8."""
        found = pen.add(pen.scaled(total, factor), self.zero)
        found = pen.select(pen.greater(self.low, found), self.low, found)
        return pen.convert(pen.select(pen.greater(found, self.high), self.high, found), DType.I8)


def border_value(pen: Pen) -> Callable[[int], Value]:
    """Load the zero point from `t`; returns a function from lanes to a vector of it as i8."""
    zero = pen.convert(pen.load(pen.pointer("t")), DType.I8)
    return lambda lanes: pen.splat(zero, lanes)


def longer(pen: Pen, pointer: Pointer, index: Index | int, lanes: int = 1) -> Value:
    """Load values as i32."""
    return pen.convert(pen.load(pointer, index, lanes), DType.I32)
