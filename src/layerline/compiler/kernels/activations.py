"""Activation functions other than ReLU: y = f(x) and dx = dy · f′, computed from x or, where possible, from y.

    LeakyReLU   x where x > 0, else s·x             f′ = 1 where y > 0, else s
    Sigmoid     σ(x) = 1 / (1 + e^−x)               f′ = y · (1 − y)
    Tanh        tanh x                              f′ = 1 − y²
    SiLU        x · σ(x)                            f′ = σ + x · σ · (1 − σ)
    GELU        x · Φ(x), Φ the normal distribution  f′ = Φ + x · e^(−x² / 2) / √(2π)

(GELU and SiLU: Hendrycks & Gimpel 2016, arXiv:1606.08415.) Everything is float32; error bounds are in
kernels/functions.py.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels import functions
from layerline.compiler.kernels.loops import elementwise

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class Activation(abc.ABC):
    """An elementwise function. Abstract."""

    name: ClassVar[str]
    from_result: ClassVar[bool] = False
    """Whether the backward pass reads y rather than x."""
    fuses: ClassVar[bool] = False
    """Whether a convolution may apply it in its registers: it takes a few instructions, and keeps 0."""
    rises: ClassVar[bool] = False
    """Whether it never decreases, so that it may be applied to the largest of a pool's window."""

    @property
    def label(self) -> str:
        """Return the function as it appears in symbols."""
        return self.name

    @abc.abstractmethod
    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""

    @abc.abstractmethod
    def slope(self, pen: Pen, known: Value) -> Value:
        """Return f′ from x, or from y."""

    def gradient(self, pen: Pen, dy: Value, known: Value) -> Value:
        """Return dy · f′."""
        return pen.mul(dy, self.slope(pen, known))


@dataclass(frozen=True)
class LeakyReLUFunction(Activation):
    """x where x > 0, else slope · x."""

    negative_slope: float
    name: ClassVar[str] = "leaky_relu"
    from_result: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """Return the function as it appears in symbols."""
        return f"leaky_relu{self.negative_slope}"

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        return pen.mul(x, self.slope(pen, x))

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return 1 or the slope; y has the sign of x, or is zero, where the slope makes no difference."""
        lanes = known.lanes
        above = pen.greater(known, pen.constant(0.0, lanes))
        return pen.select(above, pen.constant(1.0, lanes), pen.constant(self.negative_slope, lanes))


@dataclass(frozen=True)
class SigmoidFunction(Activation):
    """1 / (1 + e^−x)."""

    name: ClassVar[str] = "sigmoid"
    from_result: ClassVar[bool] = True

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        return functions.sigmoid(pen, x)

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return y · (1 − y)."""
        return pen.mul(known, pen.sub(pen.constant(1.0, known.lanes), known))


@dataclass(frozen=True)
class TanhFunction(Activation):
    """Tanh x."""

    name: ClassVar[str] = "tanh"
    from_result: ClassVar[bool] = True

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        return functions.tanh(pen, x)

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return 1 − y²."""
        return pen.fma(pen.negative(known), known, pen.constant(1.0, known.lanes))


@dataclass(frozen=True)
class SiLUFunction(Activation):
    """x · σ(x)."""

    name: ClassVar[str] = "silu"

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        return pen.mul(x, functions.sigmoid(pen, x))

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return σ + x · σ · (1 − σ)."""
        s = functions.sigmoid(pen, known)
        return pen.fma(pen.mul(known, s), pen.sub(pen.constant(1.0, known.lanes), s), s)


@dataclass(frozen=True)
class GELUFunction(Activation):
    """x · Φ(x)."""

    name: ClassVar[str] = "gelu"

    def forward(self, pen: Pen, x: Value) -> Value:
        """Return f(x)."""
        return pen.mul(x, functions.normal(pen, x)[0])

    def slope(self, pen: Pen, known: Value) -> Value:
        """Return Φ + x · e^(−x² / 2) / √(2π)."""
        share, bell = functions.normal(pen, known)
        density = pen.mul(bell, pen.constant(1 / math.sqrt(2 * math.pi), known.lanes))
        return pen.fma(known, density, share)


@dataclass(frozen=True)
class ActivationForward(Kernel):
    """y = f(x)."""

    function: Activation
    x: Plane
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(self.x), "y": sets(self.y)}

    @property
    def symbol(self) -> str:
        return f"{self.function.label}_fwd_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            return self.function.forward(pen, pen.load(memory[0], places[0], lanes))

        elementwise(pen, ((self.x, "x"), (self.y, "y")), step)


@dataclass(frozen=True)
class ActivationBackward(Kernel):
    """dx = (set) or dx += (add) dy · f′, computed from `known`: x or y."""

    function: Activation
    known: Plane
    dy: Plane
    dx: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"dy": reads(self.dy), "known": reads(self.known), "dx": (adds if self.add else sets)(self.dx)}

    @property
    def symbol(self) -> str:
        what = f"{self.function.label}_bwd{'_add' * self.add}"
        return f"{what}_{self.known.label}_{self.dy.label}_{self.dx.label}"

    def write(self, pen: Pen) -> None:
        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            dy, known = (pen.load(m, i, lanes) for m, i in zip(memory[:2], places[:2], strict=True))
            dx = self.function.gradient(pen, dy, known)
            return pen.add(pen.load(memory[2], places[2], lanes), dx) if self.add else dx

        elementwise(pen, ((self.dy, "dy"), (self.known, "known"), (self.dx, "dx")), step)
