"""Activation functions made of e^x besides those in kernels/activations.py: ELU and Mish.

    ELU    x where x > 0, else α · (e^x − 1)     f′ = 1 where x > 0, else α · e^x
    Mish   x · tanh(ln(1 + e^x))                 f′ = w + x · σ(x) · (1 − w²), w = tanh(ln(1 + e^x))

(Clevert et al. 2015, arXiv:1511.07289, equation 16, ELU; Misra 2019, arXiv:1908.08681, Mish.) With t = e^−|x| Mish
needs no logarithm and no difference of near numbers:

    x > 0    w = (1 + 2t) / d,   σ · (1 − w²) = 4t²(1 + t) / d²,   d = 1 + 2t + 2t²
    else     w = t(2 + t) / d,   σ · (1 − w²) = 4t(1 + t) / d²,    d = 2 + 2t + t²

Everything is float32; kernels/functions.py has the errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from layerline.compiler.kernels import functions
from layerline.compiler.kernels.activations import Activation

if TYPE_CHECKING:
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Value


@dataclass(frozen=True)
class ELUFunction(Activation):
    """x where x > 0, else alpha · (e^x − 1)."""

    alpha: float
    name: ClassVar[str] = "elu"

    @property
    def label(self) -> str:
        """Return the function as symbols have it."""
        return f"elu{self.alpha}"

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        above, below = self._split(pen, x)
        low = pen.mul(pen.constant(self.alpha, x.lanes), functions.less_one(pen, below))
        return pen.select(above, x, low)

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return 1 or alpha · e^x."""
        above, below = self._split(pen, known)
        low = pen.mul(pen.constant(self.alpha, known.lanes), functions.exp(pen, below))
        return pen.select(above, pen.constant(1.0, known.lanes), low)

    @staticmethod
    def _split(pen: Pen, x: Value) -> tuple[Value, Value]:
        """Return whether x > 0, and x where it is not."""
        zero = pen.constant(0.0, x.lanes)
        above = pen.greater(x, zero)
        return above, pen.select(above, zero, x)


@dataclass(frozen=True)
class MishFunction(Activation):
    """x · tanh(ln(1 + e^x))."""

    name: ClassVar[str] = "mish"

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        gate, divisor, _, _ = self._parts(pen, x)
        return pen.mul(x, pen.div(gate, divisor))

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return w + x · σ · (1 − w²)."""
        lanes = known.lanes
        gate, divisor, t, above = self._parts(pen, known)
        one, four = pen.constant(1.0, lanes), pen.constant(4.0, lanes)
        rest = pen.mul(pen.mul(pen.mul(four, t), pen.select(above, t, one)), pen.add(one, t))
        return pen.fma(known, pen.div(pen.div(rest, divisor), divisor), pen.div(gate, divisor))

    @staticmethod
    def _parts(pen: Pen, x: Value) -> tuple[Value, Value, Value, Value]:
        """Return w · d, d, t and whether x > 0."""
        lanes = x.lanes
        zero, one, two = (pen.constant(number, lanes) for number in (0.0, 1.0, 2.0))
        t, above = functions.decay(pen, x), pen.greater(x, zero)
        gate = pen.select(above, pen.fma(two, t, one), pen.mul(t, pen.add(two, t)))
        high = pen.fma(pen.mul(two, t), pen.add(one, t), one)
        low = pen.fma(t, pen.add(two, t), two)
        return gate, pen.select(above, high, low), t, above
