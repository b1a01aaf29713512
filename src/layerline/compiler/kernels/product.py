"""Products of two values, or of a value and one factor per channel: y = a · b, y[c] = x[c] · g[c].

The math.  y[c, h, w] = a[c, h, w] · b[c, h, w]; with factors of C × 1 × 1, y[c, h, w] = x[c, h, w] · g[c]. The
gradients are the same products of dy, except dg[c] = Σ_h Σ_w dy[c, h, w] · x[c, h, w]: row by row, so that the rounding
error grows with H + W.

The schedule.  Lanes run over channels; a factor stays in a register for the whole image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import elementwise, vectors

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class Product(Kernel):
    """y = (set) or y += (add) a · b."""

    a: Plane
    b: Plane
    y: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"a": reads(self.a), "b": reads(self.b), "y": (adds if self.add else sets)(self.y)}

    @property
    def symbol(self) -> str:
        return f"product{'_add' * self.add}_{self.a.label}_{self.b.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            y = pen.mul(*(pen.load(m, i, lanes) for m, i in zip(memory[:2], places[:2], strict=True)))
            return pen.add(pen.load(memory[2], places[2], lanes), y) if self.add else y

        elementwise(pen, ((self.a, "a"), (self.b, "b"), (self.y, "y")), step)


@dataclass(frozen=True)
class ScaledChannels(Kernel):
    """y = (set) or y += (add) x · g, with a g for each channel."""

    g: Plane
    x: Plane
    y: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"g": reads(self.g), "x": reads(self.x), "y": (adds if self.add else sets)(self.y)}

    @property
    def symbol(self) -> str:
        return f"scaled_channels{'_add' * self.add}_{self.g.label}_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        g, x, y, lanes = self.g, self.x, self.y, pen.machine.lanes_for(self.x.channels)
        with pen.loop("n", pen.count("images")) as n:
            factors = pen.at(pen.pointer("g"), g.at(n))
            source, to = pen.at(pen.pointer("x"), x.at(n)), pen.at(pen.pointer("y"), y.at(n))
            for c, count in vectors(pen, x.channels, lanes):
                factor = pen.load(factors, c, lanes)
                with pen.loop("h", x.height) as h, pen.loop("w", x.width) as w:
                    value, there = pen.mul(pen.load(source, x.step(h, w, c), lanes), factor), y.step(h, w, c)
                    pen.store(pen.add(pen.load(to, there, lanes), value) if self.add else value, to, there, count)


@dataclass(frozen=True)
class ProductSums(Kernel):
    """dg = (set) or dg += (add) the sums of dy · x over each channel's image."""

    dy: Plane
    x: Plane
    dg: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"dy": reads(self.dy), "x": reads(self.x), "dg": (adds if self.add else sets)(self.dg)}

    @property
    def symbol(self) -> str:
        return f"product_sums{'_add' * self.add}_{self.dy.label}_{self.x.label}_{self.dg.label}"

    def write(self, pen: Pen) -> None:
        x, dy, lanes = self.x, self.dy, pen.machine.lanes_for(self.x.channels)
        with pen.loop("n", pen.count("images")) as n:
            gradients, values = pen.at(pen.pointer("dy"), dy.at(n)), pen.at(pen.pointer("x"), x.at(n))
            to = pen.at(pen.pointer("dg"), self.dg.at(n))
            for c, count in vectors(pen, x.channels, lanes):
                zero = pen.constant(0.0, lanes)
                total = pen.variable(zero)
                with pen.loop("h", x.height) as h:
                    row = pen.variable(zero)
                    with pen.loop("w", x.width) as w:
                        terms = (pen.load(gradients, dy.step(h, w, c), lanes), pen.load(values, x.step(h, w, c), lanes))
                        pen.write(row, pen.fma(*terms, pen.read(row)))
                    pen.write(total, pen.add(pen.read(total), pen.read(row)))
                dg = pen.read(total)
                pen.store(pen.add(pen.load(to, c, lanes), dg) if self.add else dg, to, c, count)
