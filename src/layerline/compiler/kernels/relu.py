"""ReLU that is not fused into a convolution.

The math.  y = 0 where 0 > x, else x; NaN propagates.  dx = 0 where y ≤ 0, else dy (PyTorch's threshold_backward).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import elementwise

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class ReLUForward(Kernel):
    """y = max(x, 0)."""

    x: Plane
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(self.x), "y": sets(self.y)}

    @property
    def symbol(self) -> str:
        return f"relu_fwd_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            return pen.relu(pen.load(memory[0], places[0], lanes))

        elementwise(pen, ((self.x, "x"), (self.y, "y")), step)


@dataclass(frozen=True)
class ReLUBackward(Kernel):
    """dx = (set) or dx += (add) dy where y is above zero."""

    y: Plane
    """The layout of y and dy."""
    dx: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"dy": reads(self.y), "y": reads(self.y), "dx": (adds if self.add else sets)(self.dx)}

    @property
    def symbol(self) -> str:
        return f"relu_bwd{'_add' * self.add}_{self.y.label}_{self.dx.label}"

    def write(self, pen: Pen) -> None:
        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            dy, y = (pen.load(m, i, lanes) for m, i in zip(memory[:2], places[:2], strict=True))
            zero = pen.constant(0.0, lanes)
            dx = pen.select(pen.not_greater(y, zero), zero, dy)
            return pen.add(pen.load(memory[2], places[2], lanes), dx) if self.add else dx

        elementwise(pen, ((self.y, "dy"), (self.y, "y"), (self.dx, "dx")), step)
