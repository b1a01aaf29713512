"""Activation functions with kinks: ReLU, ReLU6, HardSwish and HardSigmoid.

    ReLU        max(x, 0)                   f′ = 1 where y > 0, else 0
    ReLU6       min(max(x, 0), 6)           f′ = 1 where 0 < x < 6, else 0
    HardSwish   x · ReLU6(x + 3) / 6        f′ = 0 where x ≤ −3, 1 where x ≥ 3, else x / 3 + ½
    HardSigmoid ReLU6(x + 3) / 6            f′ = 1/6 where −3 < x < 3, else 0

(Howard et al. 2019, arXiv:1905.02244, equation 1, both.) At a kink f′ is PyTorch's. Everything is float32.
A ReLU that is not fused into a convolution has its own kernels (kernels/relu.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from layerline.compiler.kernels.activations import Activation

if TYPE_CHECKING:
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Value


def _clipped(pen: Pen, x: Value) -> Value:
    """Return min(max(x, 0), 6); NaN stays NaN."""
    six, above = pen.constant(6.0, x.lanes), pen.relu(x)
    return pen.select(pen.greater(above, six), six, above)


@dataclass(frozen=True)
class ReLUFunction(Activation):
    """max(x, 0)."""

    name: ClassVar[str] = "relu"
    from_result: ClassVar[bool] = True
    fuses: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        return pen.relu(x)

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return 1 above 0, else 0."""
        zero, one = (pen.constant(number, known.lanes) for number in (0.0, 1.0))
        return pen.select(pen.greater(known, zero), one, zero)

    def gradient(self, pen: Pen, dy: Value, known: Value) -> Value:
        """Return 0 where y ≤ 0, else dy, as ReLUBackward does: also for a dy that is infinite."""
        zero = pen.constant(0.0, known.lanes)
        return pen.select(pen.not_greater(known, zero), zero, dy)


@dataclass(frozen=True)
class ReLU6Function(Activation):
    """min(max(x, 0), 6)."""

    name: ClassVar[str] = "relu6"
    from_result: ClassVar[bool] = True
    fuses: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        return _clipped(pen, x)

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return 1 between 0 and 6, else 0; y is on an edge wherever x is on or beyond it."""
        lanes = known.lanes
        zero, one, six = (pen.constant(number, lanes) for number in (0.0, 1.0, 6.0))
        inside = pen.both(pen.greater(known, zero), pen.greater(six, known))
        return pen.select(inside, one, zero)


@dataclass(frozen=True)
class HardSwishFunction(Activation):
    """x · ReLU6(x + 3) / 6."""

    name: ClassVar[str] = "hard_swish"
    fuses: ClassVar[bool] = True

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        lanes = x.lanes
        gate = _clipped(pen, pen.add(x, pen.constant(3.0, lanes)))
        return pen.div(pen.mul(x, gate), pen.constant(6.0, lanes))

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return 0, x / 3 + ½ or 1."""
        lanes = known.lanes
        zero, half, one, three = (pen.constant(number, lanes) for number in (0.0, 0.5, 1.0, 3.0))
        between = pen.add(pen.div(known, three), half)
        below_three = pen.select(pen.greater(three, known), between, one)
        return pen.select(pen.greater(known, pen.negative(three)), below_three, zero)


@dataclass(frozen=True)
class HardSigmoidFunction(Activation):
    """ReLU6(x + 3) / 6."""

    name: ClassVar[str] = "hard_sigmoid"

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        lanes = x.lanes
        return pen.div(_clipped(pen, pen.add(x, pen.constant(3.0, lanes))), pen.constant(6.0, lanes))

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return 1/6 between −3 and 3, else 0."""
        lanes = known.lanes
        zero, three, sixth = (pen.constant(number, lanes) for number in (0.0, 3.0, 1 / 6))
        inside = pen.both(pen.greater(known, pen.negative(three)), pen.greater(three, known))
        return pen.select(inside, sixth, zero)
