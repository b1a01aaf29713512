"""Pools of 8-bit values.

The math.  Maximum: y = the largest x of the window inside the image; scale and zero point stay. Average: with n points
of the window inside the image, t int32: its head, then b and M for n = 1, 2, … (or, if every window is inside, for
its n alone):
    a[c, p, q] = 16 · Σ x[c, h, w] + b[n]
and y is the value of a (kernels/int8_values.py); M[n] contains the division, so a mean is rounded once.

The schedule.  Lanes run over channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, reads, sets
from layerline.compiler.kernels.average import covered
from layerline.compiler.kernels.border import write_border
from layerline.compiler.kernels.int8_values import HEAD, LOWEST, Finish, border_value, longer
from layerline.compiler.kernels.loops import vectors

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.pool import PoolShape
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value

PARTS: Final = 16
"""A sum is in units of a sixteenth, so that the factor of a mean of a single value is below 2³¹."""


@dataclass(frozen=True)
class Int8Pool(Kernel):
    """y = the maximum of each window; t is the zero point, for the border."""

    shape: PoolShape
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x8": reads(self.shape.x, DType.I8), "t": reads(1, DType.I32), "y8": sets(self.y, DType.I8)}

    @property
    def symbol(self) -> str:
        return f"int8_pool_{self.shape.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        x, y, lanes = self.shape.x, self.y, pen.machine.lanes_for(self.y.channels)
        write_border(pen, "y8", y, border_value(pen))
        with pen.loop("n", pen.count("images")) as n:
            source, to = pen.at(pen.pointer("x8"), x.at(n)), pen.at(pen.pointer("y8"), y.at(n))
            with pen.loop("p", y.height) as p, pen.loop("q", y.width) as q:
                (top, bottom), (left, right) = covered(pen, self.shape, p, q)
                for c, count in vectors(pen, y.channels, lanes):
                    largest = pen.variable(pen.constant(LOWEST, lanes, DType.I8))
                    with pen.loop("h", bottom, top) as h, pen.loop("w", right, left) as w:
                        value, so_far = pen.load(source, x.step(h, w, c), lanes), pen.read(largest)
                        pen.write(largest, pen.select(pen.greater(value, so_far), value, so_far))
                    pen.store(pen.read(largest), to, y.step(p, q, c), count)


@dataclass(frozen=True)
class Int8Average(Kernel):
    """y = the values of the mean of each window."""

    shape: PoolShape
    y: Plane

    @property
    def entries(self) -> int:
        """Return how many numbers of points a window may have inside the image."""
        return 1 if self.shape.inside else self.shape.window[0] * self.shape.window[1]

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        numbers = reads(HEAD + 2 * self.entries, DType.I32)
        return {"x8": reads(self.shape.x, DType.I8), "t": numbers, "y8": sets(self.y, DType.I8)}

    @property
    def symbol(self) -> str:
        return f"int8_average_{self.shape.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        x, y, lanes = self.shape.x, self.y, pen.machine.lanes_for(self.y.channels)
        finish, t = Finish.loaded(pen, lanes), pen.at(pen.pointer("t"), HEAD)
        write_border(pen, "y8", y, border_value(pen))
        with pen.loop("n", pen.count("images")) as n:
            source, to = pen.at(pen.pointer("x8"), x.at(n)), pen.at(pen.pointer("y8"), y.at(n))
            with pen.loop("p", y.height) as p, pen.loop("q", y.width) as q:
                (top, bottom), (left, right) = reached = covered(pen, self.shape, p, q)
                entry = pen.index(0) if self.shape.inside else (bottom - top) * (right - left) - 1
                bias, factor = (pen.broadcast(t, entry + first, lanes) for first in (0, self.entries))
                for c, count in vectors(pen, y.channels, lanes):
                    total = self._sum(pen, source, reached, c, lanes)
                    value = pen.add(pen.shifted_left(total, PARTS.bit_length() - 1), bias)
                    pen.store(finish.value(pen, value, factor), to, y.step(p, q, c), count)

    def _sum(
        self, pen: Pen, source: Pointer, reached: tuple[tuple[Index, Index], tuple[Index, Index]], c: Index, lanes: int
    ) -> Value:
        """Return the sum over a window."""
        (top, bottom), (left, right) = reached
        total = pen.variable(pen.constant(0, lanes, DType.I32))
        with pen.loop("h", bottom, top) as h, pen.loop("w", right, left) as w:
            pen.write(total, pen.add(pen.read(total), longer(pen, source, self.shape.x.step(h, w, c), lanes)))
        return pen.read(total)
