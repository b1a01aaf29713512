"""Copies of values with another border, or in another order.

The math.  y = x or y += x, value by value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import elementwise
from layerline.compiler.plane import Plane, item

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class Copy(Kernel):
    """y = (set) or y += (add) x, between planes of the same size with different borders."""

    x: Plane
    y: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(self.x), "y": (adds if self.add else sets)(self.y)}

    @property
    def symbol(self) -> str:
        return f"copy{'_add' * self.add}_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            x = pen.load(memory[0], places[0], lanes)
            return pen.add(pen.load(memory[1], places[1], lanes), x) if self.add else x

        elementwise(pen, ((self.x, "x"), (self.y, "y")), step)


@dataclass(frozen=True)
class Deliver(Kernel):
    """values[n, c, h, w] = x[n, h, w, c]: what the caller gets of a layer, in PyTorch's order and without a border."""

    x: Plane
    part: tuple[int, int] | None = None
    """Of several values that are delivered: the place of this one, and the size of all."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(self.x), "values": sets(self._part[1])}

    @property
    def _part(self) -> tuple[int, int]:
        return self.part or (0, self.x.inside.size)

    @property
    def symbol(self) -> str:
        return f"deliver_{self.x.label}" + (f"_{self.part[0]}of{self.part[1]}" if self.part else "")

    def write(self, pen: Pen) -> None:
        C, H, W = self.x.channels, self.x.height, self.x.width
        first, size = self._part
        x, values = pen.pointer("x"), pen.at(pen.pointer("values"), first)
        with (
            pen.loop("n", pen.count("images")) as n,
            pen.loop("c", C) as c,
            pen.loop("h", H) as h,
            pen.loop("w", W) as w,
        ):
            pen.store(pen.load(x, self.x.at(n, h, w, c)), values, n * size + ((c * H + h) * W + w))


@dataclass(frozen=True)
class Reorder(Kernel):
    """y[b, a] = x[a, b] for an image of a × b floats: from memory order H, W, C to class order C, H, W."""

    inner: int
    """b, the fastest-varying index of x."""
    outer: int
    elements: int | None = None
    """The elements allocated per image, if more than a × b."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(self._elements), "y": sets(self._elements)}

    @property
    def _elements(self) -> int:
        return self.elements or self.inner * self.outer

    @property
    def symbol(self) -> str:
        return f"reorder_{self.outer}x{self.inner}" + (f"_{item(1, self.elements)}" if self.elements else "")

    def write(self, pen: Pen) -> None:
        with pen.loop("n", pen.count("images")) as n:
            x, y = (pen.at(pen.pointer(name), item(n, self._elements)) for name in ("x", "y"))
            with pen.loop("a", self.outer) as a, pen.loop("b", self.inner) as b:
                pen.store(pen.load(x, a * self.inner + b), y, b * self.outer + a)
