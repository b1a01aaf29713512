"""Depthwise convolution: the gradient of its input.

The math.  dy (C, P, Q), w (C, 1, R, S), float32; x is padded by (ph, pw) and read with strides (sh, sw):
    dx[c, h, w] = Σ dy[c, p, q] · w[c, r, s]  over the p, q, r, s with p·sh + r·dh = h + ph, q·sw + s·dw = w + pw
The terms are summed in the order p, q.

The schedule.  Lanes run over channels. With a stride, the rows of x fall into classes by h mod sh: all rows of a class
are reached by the same taps, one output row after the other, and so are columns. T columns of a class are accumulated
at once, so that a weight is loaded once per T multiply-adds; at the edges, where outputs are missing, one at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.depthwise import padded_channels
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer


@dataclass(frozen=True)
class Reached:
    """The rows (or columns) of x that the same taps reach: first, first + stride, …

    Tap `last_tap` − k · tap_step reaches number i of them from output i + base + k · step, for k = 0 … taps − 1.
    """

    first: int
    count: int
    taps: int
    last_tap: int
    tap_step: int
    base: int
    step: int
    outputs: int

    @property
    def whole(self) -> tuple[int, int]:
        """Return the range of those that all taps reach from outputs that exist."""
        start, stop = max(0, -self.base), min(self.count, self.outputs - self.base - (self.taps - 1) * self.step)
        if not self.taps:
            return 0, self.count
        return (start, stop) if start < stop else (self.count, self.count)

    def existing(self, pen: Pen, i: Index) -> tuple[Index, Index]:
        """Return the range of k whose outputs exist, for any number i."""
        start, stop = (
            pen.larger(pen.index(0), end - i) for end in (pen.index(-self.base), pen.index(self.outputs - self.base))
        )
        if self.step > 1:
            start, stop = ((end + (self.step - 1)) // self.step for end in (start, stop))
        return start, pen.smaller(stop, self.taps)


def reached(shape: ConvShape, axis: int) -> Iterator[Reached]:
    """Yield the classes of rows (axis 0) or columns (axis 1) of x."""
    size, stride, dilation = (shape.x.height, shape.x.width)[axis], shape.stride[axis], shape.dilation[axis]
    common = math.gcd(stride, dilation)
    for first in range(min(stride, size)):
        place = first + shape.padding[axis]
        taps = [tap for tap in range(shape.kernel[axis]) if (place - tap * dilation) % stride == 0]
        last = taps[-1] if taps else 0
        yield Reached(
            first,
            -(-(size - first) // stride),
            len(taps),
            last,
            stride // common,
            (place - last * dilation) // stride,
            dilation // common,
            shape.out[axis],
        )


@dataclass(frozen=True)
class DepthwiseInput(Kernel):
    """dx = (set) or dx += (add) dy · w, summed over the taps that reach a value."""

    shape: ConvShape
    dy: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        w, dx = reads(self.shape.filters * self.shape.taps), (adds if self.add else sets)(self.shape.x)
        return {"dy": reads(self.dy), "w": w, "dx": dx}

    @property
    def symbol(self) -> str:
        return f"depthwise_input{'_add' * self.add}_{self.shape.label}_{self.dy.label}"

    def multiply_adds(self, images: int) -> int:
        return self.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        shape, lanes = self.shape, pen.machine.lanes_for(self.shape.filters)
        with pen.loop("n", pen.count("images")) as n:
            dy, dx = pen.at(pen.pointer("dy"), self.dy.at(n)), pen.at(pen.pointer("dx"), shape.x.at(n))
            for c, count in vectors(pen, shape.filters, lanes):
                rows = list(reached(shape, 0))
                whole = min(each.count for each in rows)
                with pen.loop("h", whole) as i:
                    for each in rows:
                        self._row(pen, each, (i, c), (dy, dx), count)
                for each in rows:
                    if each.count > whole:
                        self._row(pen, each, (pen.index(whole), c), (dy, dx), count)

    def _row(
        self, pen: Pen, rows: Reached, place: tuple[Index, Index], memory: tuple[Pointer, Pointer], count: int
    ) -> None:
        """Write a row: of each class of columns the edges one at a time, the others in tiles."""
        i, c = place
        for columns in reached(self.shape, 1):
            start, stop = columns.whole
            for first, last in ((0, start), (stop, columns.count)):
                if first < last:
                    with pen.loop("edge", last, first) as j:
                        self._tile(pen, (rows, columns), (i, j, c), memory, (1, count), edge=True)
            for first, pixels, tiles in balanced(stop - start, pen.machine.accumulators - 2) if start < stop else ():
                with pen.loop("w", tiles) as t:
                    self._tile(pen, (rows, columns), (i, t * pixels + (first + start), c), memory, (pixels, count))

    def _tile(
        self,
        pen: Pen,
        classes: tuple[Reached, Reached],
        place: tuple[Index, Index, Index],
        memory: tuple[Pointer, Pointer],
        size: tuple[int, int],
        *,
        edge: bool = False,
    ) -> None:
        """Accumulate some columns of a class, all of whose outputs exist unless they are at an edge."""
        (rows, columns), (i, j, c), (dy, dx), (pixels, count), shape = classes, place, memory, size, self.shape
        lanes, (sh, sw) = pen.machine.lanes_for(shape.filters), shape.stride
        to = pen.at(dx, shape.x.step(i * sh + rows.first, j * sw + columns.first, c))
        along = [shape.x.step(0, t * sw) for t in range(pixels)]
        zero = pen.constant(0.0, lanes)
        sums = [pen.variable(pen.load(to, here, lanes) if self.add else zero) for here in along]
        if rows.taps and columns.taps:
            down = rows.existing(pen, i)
            right = columns.existing(pen, j) if edge else (pen.index(0), pen.index(columns.taps))
            source = pen.at(dy, self.dy.step(i + rows.base, j + columns.base, c))
            padded = padded_channels(shape.filters, pen.machine)
            with pen.loop("r", down[1], down[0]) as r, pen.loop("s", right[1], right[0]) as s:
                tap = (pen.index(rows.last_tap) - r * rows.tap_step) * shape.kernel[1]
                tap = tap + (pen.index(columns.last_tap) - s * columns.tap_step)
                w = pen.load(pen.pointer("w"), tap * padded + c, lanes)
                g = pen.at(source, self.dy.step(r * rows.step, s * columns.step))
                for t, total in enumerate(sums):
                    pen.write(total, pen.fma(pen.load(g, self.dy.step(0, t), lanes), w, pen.read(total)))
        for here, total in zip(along, sums, strict=True):
            pen.store(pen.read(total), to, here, count)
