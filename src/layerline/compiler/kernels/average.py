"""Average pooling, over windows or over the whole image.

The math.  y[c, p, q] = Σ x[c, h, w] / (kh·kw) over the window h = p·sh − ph + i, w = q·sw − pw + j; outside the image
x is 0 and counted (PyTorch's count_include_pad); with `real` the divisor is the number of the window's points inside
the image instead (TensorFlow's SAME).  dx[c, h, w] = Σ dy / (kh·kw) over the windows that cover it, in the order p, q.
A window is summed row by row, so that the rounding error of a whole image grows with H + W rather than H·W.

The schedule.  Lanes run over channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import clear, vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.pool import PoolShape
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class AverageForward(Kernel):
    """y = the mean of each window."""

    shape: PoolShape
    y: Plane
    real: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(self.shape.x), "y": sets(self.y)}

    @property
    def symbol(self) -> str:
        return f"average{'_real' * self.real}_fwd_{self.shape.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        shape, y, lanes = self.shape, self.y, pen.machine.lanes_for(self.shape.x.channels)
        with pen.loop("n", pen.count("images")) as n:
            source = pen.at(pen.pointer("x"), shape.x.at(n))
            to = pen.at(pen.pointer("y"), y.at(n))
            with pen.loop("p", y.height) as p, pen.loop("q", y.width) as q:
                mean = _mean(pen, shape, p, q, lanes, real=self.real)
                for c, count in vectors(pen, y.channels, lanes):
                    total = self._window(pen, source, p, q, c)
                    pen.store(mean(total), to, y.step(p, q, c), count)

    def _window(self, pen: Pen, source: Pointer, p: Index, q: Index, c: Index) -> Value:
        """Return the sum over a window, row by row."""
        x, lanes = self.shape.x, pen.machine.lanes_for(self.shape.x.channels)
        (top, bottom), (left, right) = covered(pen, self.shape, p, q)
        zero = pen.constant(0.0, lanes)
        total = pen.variable(zero)
        with pen.loop("h", bottom, top) as h:
            row = pen.variable(zero)
            with pen.loop("w", right, left) as w:
                value = pen.load(source, x.step(h, w, c), lanes)
                pen.write(row, pen.add(pen.read(row), value))
            pen.write(total, pen.add(pen.read(total), pen.read(row)))
        return pen.read(total)


@dataclass(frozen=True)
class AverageBackward(Kernel):
    """dx = (set) or dx += (add) dy / (kh·kw), spread over each window."""

    shape: PoolShape
    dy: Plane
    add: bool = False
    real: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"dy": reads(self.dy), "dx": (adds if self.add else sets)(self.shape.x)}

    @property
    def symbol(self) -> str:
        return f"average{'_real' * self.real}_bwd{'_add' * self.add}_{self.shape.label}_{self.dy.label}"

    def write(self, pen: Pen) -> None:
        shape, dy, lanes = self.shape, self.dy, pen.machine.lanes_for(self.shape.x.channels)
        with pen.loop("n", pen.count("images")) as n:
            dx = pen.at(pen.pointer("dx"), shape.x.begin(n))
            if not self.add:
                clear(pen, dx, shape.x.size)
            dx = pen.at(dx, shape.x.inner())
            source = pen.at(pen.pointer("dy"), dy.at(n))
            with pen.loop("p", dy.height) as p, pen.loop("q", dy.width) as q:
                mean = _mean(pen, shape, p, q, lanes, real=self.real)
                for c, count in vectors(pen, dy.channels, lanes):
                    g = mean(pen.load(source, dy.step(p, q, c), lanes))
                    self._window(pen, g, dx, (p, q, c), count)

    def _window(self, pen: Pen, g: Value, dx: Pointer, position: tuple[Index, Index, Index], count: int) -> None:
        """Add to each value of a window."""
        (p, q, c), x, lanes = position, self.shape.x, pen.machine.lanes_for(self.shape.x.channels)
        (top, bottom), (left, right) = covered(pen, self.shape, p, q)
        with pen.loop("h", bottom, top) as h, pen.loop("w", right, left) as w:
            here = x.step(h, w, c)
            pen.store(pen.add(pen.load(dx, here, lanes), g), dx, here, count)


def _mean(pen: Pen, shape: PoolShape, p: Index, q: Index, lanes: int, *, real: bool) -> Callable[[Value], Value]:
    """Return what makes a mean of a window's sum; with `real` of its points inside the image alone."""
    if not real or shape.inside:
        share = pen.constant(1 / (shape.window[0] * shape.window[1]), lanes)
        return lambda total: pen.mul(total, share)
    (top, bottom), (left, right) = covered(pen, shape, p, q)
    rows, columns = (pen.convert(pen.as_value(size, DType.I32), DType.F32) for size in (bottom - top, right - left))
    points = pen.splat(pen.mul(rows, columns), lanes)
    return lambda total: pen.div(total, points)


def covered(pen: Pen, shape: PoolShape, p: Index, q: Index) -> tuple[tuple[Index, Index], tuple[Index, Index]]:
    """Return the rows and columns of the image that a window covers: (first, end) of each."""
    rows = pen.clipped(p * shape.stride[0] - shape.padding[0], shape.window[0], shape.x.height)
    return rows, pen.clipped(q * shape.stride[1] - shape.padding[1], shape.window[1], shape.x.width)
