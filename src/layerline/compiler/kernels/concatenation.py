"""Concatenation of images along their channels: y[c] = x₁[c], then x₂[c], …

The math.  y[first + c, h, w] = x[c, h, w] for each x, where first is the number of channels of those before it; the
gradient of x is that range of channels of dy.

The schedule.  Pixel by pixel, lanes over channels: a pixel of y is the pixels of all x, one after the other. The
gradients are one kernel for each x, so that an x without a gradient, or with other readers, needs nothing special.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import vectors

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane


@dataclass(frozen=True)
class Concatenate(Kernel):
    """y = the channels of all x in their order."""

    xs: tuple[Plane, ...]
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {**{f"x{i}": reads(x) for i, x in enumerate(self.xs)}, "y": sets(self.y)}

    @property
    def symbol(self) -> str:
        return f"concatenate_{'_'.join(x.label for x in self.xs)}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        with pen.loop("n", pen.count("images")) as n:
            to, first = pen.at(pen.pointer("y"), self.y.at(n)), 0
            sources = [pen.at(pen.pointer(f"x{i}"), x.at(n)) for i, x in enumerate(self.xs)]
            for x, source in zip(self.xs, sources, strict=True):
                lanes = pen.machine.lanes_for(x.channels)
                with pen.loop("h", x.height) as h, pen.loop("w", x.width) as w:
                    for c, count in vectors(pen, x.channels, lanes):
                        value = pen.load(source, x.step(h, w, c), lanes)
                        pen.store(value, to, self.y.step(h, w, c + first), count)
                first += x.channels


@dataclass(frozen=True)
class ConcatenateBackward(Kernel):
    """dx = (set) or dx += (add) the channels of dy that are x's."""

    dy: Plane
    dx: Plane
    first: int
    """The channel of dy that is x's first."""
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"dy": reads(self.dy), "dx": (adds if self.add else sets)(self.dx)}

    @property
    def symbol(self) -> str:
        return f"concatenate_bwd{'_add' * self.add}_{self.dy.label}_{self.dx.label}f{self.first}"

    def write(self, pen: Pen) -> None:
        dx, lanes = self.dx, pen.machine.lanes_for(self.dx.channels)
        with pen.loop("n", pen.count("images")) as n:
            source, to = pen.at(pen.pointer("dy"), self.dy.at(n)), pen.at(pen.pointer("dx"), dx.at(n))
            with pen.loop("h", dx.height) as h, pen.loop("w", dx.width) as w:
                for c, count in vectors(pen, dx.channels, lanes):
                    value, here = pen.load(source, self.dy.step(h, w, c + self.first), lanes), dx.step(h, w, c)
                    pen.store(pen.add(pen.load(to, here, lanes), value) if self.add else value, to, here, count)
