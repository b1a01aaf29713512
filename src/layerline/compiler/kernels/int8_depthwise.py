"""Depthwise convolution on 8-bit values, one filter per channel; a BatchNorm that is not folded is one of 1 × 1.

The math.  x (C, H, W), w (C, 1, R, S), int8, t int32: its head, then b (C), then M (C):
    a[c, p, q] = b[c] + Σ_r Σ_s w[c, r, s] · x[c, p·sh + r·dh, q·sw + s·dw]
and y is the value of a. As in kernels/int8_conv.py, x has its zero point in its border, and the sums are exact.

The schedule.  Lanes run over channels. Up to nine taps are written one after the other; more are a loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, reads, sets
from layerline.compiler.kernels.border import write_border
from layerline.compiler.kernels.depthwise import padded_channels
from layerline.compiler.kernels.int8_values import HEAD, Finish, border_value
from layerline.compiler.kernels.loops import vectors

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.layout import Taps
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value

UNROLLED: Final = 9


@dataclass(frozen=True)
class Int8Depthwise(Kernel):
    """y = the values of x ⋆ w + b, per channel."""

    shape: ConvShape
    taps: Taps
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        numbers = HEAD + 2 * self.shape.filters
        x, w = reads(self.shape.x, DType.I8), reads(self.taps, DType.I8)
        return {"x8": x, "w8": w, "t": reads(numbers, DType.I32), "y8": sets(self.y, DType.I8)}

    @property
    def symbol(self) -> str:
        return f"int8_depthwise_{self.shape.label}_{self.y.label}"

    def multiply_adds(self, images: int) -> int:
        return self.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        shape, y, C = self.shape, self.y, self.shape.filters
        lanes = pen.machine.lanes_for(C)
        finish, (P, Q) = Finish.loaded(pen, lanes), shape.out
        write_border(pen, "y8", y, border_value(pen))
        with pen.loop("n", pen.count("images")) as n:
            x, to = pen.at(pen.pointer("x8"), shape.x.begin(n)), pen.at(pen.pointer("y8"), y.at(n))
            with pen.loop("p", P) as p, pen.loop("q", Q) as q:
                patch, there = pen.at(x, shape.patch(p, q)), pen.at(to, y.step(p, q))
                for c, count in vectors(pen, C, lanes):
                    total = self._sum(pen, pen.at(patch, c), c, lanes)
                    factor = pen.load(pen.pointer("t"), c + (HEAD + C), lanes)
                    pen.store(finish.value(pen, total, factor), there, c, count)

    def _sum(self, pen: Pen, patch: Pointer, c: Index, lanes: int) -> Value:
        """Return the sum over the taps of a vector of channels."""
        shape, padded = self.shape, padded_channels(self.shape.filters, pen.machine)
        R, S = shape.kernel
        w, bias = pen.at(pen.pointer("w8"), c), pen.load(pen.pointer("t"), c + HEAD, lanes)
        if R * S <= UNROLLED:
            for k in range(R * S):
                value, tap = pen.load(patch, shape.tap(*divmod(k, S)), lanes), pen.load(w, k * padded, lanes)
                bias = pen.multiply_add(value, tap, bias)
            return bias
        total = pen.variable(bias)
        with pen.loop("r", R) as r, pen.loop("s", S) as s:
            value, tap = pen.load(patch, shape.tap(r, s), lanes), pen.load(w, (r * S + s) * padded, lanes)
            pen.write(total, pen.multiply_add(value, tap, pen.read(total)))
        return pen.read(total)
