"""Sums of two branches, and what their gradients need: y = a + b, and dx = dy or dx += dy.

The way back of a sum gives its gradient to both branches. Where a branch has no other reader it takes the sum's own
buffer, and nothing is moved; else the gradient is copied, for others will add to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import elementwise

if TYPE_CHECKING:
    from layerline.compiler.kernel import Argument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class Sum(Kernel):
    """y = a + b."""

    a: Plane
    b: Plane
    y: Plane

    @property
    def arguments(self) -> dict[str, Argument]:
        return {"a": reads(self.a), "b": reads(self.b), "y": sets(self.y)}

    @property
    def symbol(self) -> str:
        return f"sum_{self.a.label}_{self.b.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            return pen.add(*(pen.load(m, i, lanes) for m, i in zip(memory[:2], places[:2], strict=True)))

        elementwise(pen, ((self.a, "a"), (self.b, "b"), (self.y, "y")), step)


@dataclass(frozen=True)
class Copy(Kernel):
    """y = (set) or y += (add) x, between planes of the same size with borders of their own."""

    x: Plane
    y: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, Argument]:
        return {"x": reads(self.x), "y": (adds if self.add else sets)(self.y)}

    @property
    def symbol(self) -> str:
        return f"copy{'_add' * self.add}_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            x = pen.load(memory[0], places[0], lanes)
            return pen.add(pen.load(memory[1], places[1], lanes), x) if self.add else x

        elementwise(pen, ((self.x, "x"), (self.y, "y")), step)
