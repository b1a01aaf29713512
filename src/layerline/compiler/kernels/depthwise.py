"""Depthwise convolution (one filter per channel): forward, and the gradient of the filters.

The math.  x (C, H, W), w (C, 1, R, S), float32:
    y[c, p, q] = b[c] + Σ_r Σ_s w[c, r, s] · x[c, p·sh + r·dh, q·sw + s·dw], then an activation, if one is fused
    dw[c, r, s] = Σ_n Σ_p Σ_q dy[c, p, q] · x[c, p·sh + r·dh, q·sw + s·dw]
Taps are summed in the order r, s; pixels image by image in the order p, q. The input's gradient is in
kernels/depthwise_input.py.

The schedule.  Lanes run over channels; vectors of x are multiplied by vectors of w, without broadcasts. Forward
accumulates T pixels of a row at once, so that a weight is loaded once per T multiply-adds. The filter gradient keeps
all taps in registers throughout an image, or as many rows of taps as fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.activations import Activation
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer


def padded_channels(C: int, machine: Machine) -> int:
    """Return the elements between taps: the channels, padded to whole vectors."""
    lanes = machine.lanes_for(C)
    return -(-C // lanes) * lanes


@dataclass(frozen=True)
class DepthwiseForward(Kernel):
    """y = x ⋆ w + b, per channel, optionally followed by an activation."""

    shape: ConvShape
    y: Plane
    bias: bool = True
    activation: Activation | None = None

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        shape = self.shape
        b = {"b": reads(shape.filters)} if self.bias else {}
        return {"x": reads(shape.x), "w": reads(shape.filters * shape.taps), **b, "y": sets(self.y)}

    @property
    def symbol(self) -> str:
        activated = f"_{self.activation.label}" if self.activation else ""
        return f"depthwise{'_b' * self.bias}{activated}_fwd_{self.shape.label}_{self.y.label}"

    def multiply_adds(self, images: int) -> int:
        return self.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        shape, lanes = self.shape, pen.machine.lanes_for(self.shape.filters)
        P, Q = shape.out
        with pen.loop("n", pen.count("images")) as n:
            x = pen.at(pen.pointer("x"), shape.x.begin(n) + shape.first)
            y = pen.at(pen.pointer("y"), self.y.at(n))
            for c, count in vectors(pen, shape.filters, lanes):
                with pen.loop("p", P) as p:
                    for q0, pixels, tiles in balanced(Q, pen.machine.accumulators - 2):
                        with pen.loop("q", tiles) as t:
                            self._tile(pen, (p, t * pixels + q0, c), (x, y), pixels, count)

    def _tile(
        self, pen: Pen, position: tuple[Index, Index, Index], memory: tuple[Pointer, Pointer], pixels: int, count: int
    ) -> None:
        """Write some adjacent pixels of a row, for one vector of channels."""
        (p, q, c), (x, y), shape = position, memory, self.shape
        lanes = pen.machine.lanes_for(shape.filters)
        patch = pen.at(x, shape.x.step(p, q, c, shape.stride))
        start = pen.load(pen.pointer("b"), c, lanes) if self.bias else pen.constant(0.0, lanes)
        sums = [pen.variable(start) for _ in range(pixels)]
        padded = padded_channels(shape.filters, pen.machine)
        with pen.loop("r", shape.kernel[0]) as r, pen.loop("s", shape.kernel[1]) as s:
            w = pen.load(pen.pointer("w"), (r * shape.kernel[1] + s) * padded + c, lanes)
            for t, total in enumerate(sums):
                value = pen.load(patch, shape.tap(r, s) + shape.along(0, t), lanes)
                pen.write(total, pen.fma(w, value, pen.read(total)))
        for t, total in enumerate(sums):
            to, value = self.y.step(p, q + t, c), pen.read(total)
            pen.store(self.activation.forward(pen, value) if self.activation else value, y, to, count)


@dataclass(frozen=True)
class DepthwiseFilters(Kernel):
    """dw += Σ over images and pixels of dy · x at each tap; partial per shard."""

    shape: ConvShape
    dy: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        shape = self.shape
        return {"x": reads(shape.x), "dy": reads(self.dy), "dw": adds(shape.filters * shape.taps)}

    @property
    def symbol(self) -> str:
        return f"depthwise_filters_{self.shape.label}_{self.dy.label}"

    def multiply_adds(self, images: int) -> int:
        return self.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        shape, lanes = self.shape, pen.machine.lanes_for(self.shape.filters)
        R, S = shape.kernel
        most = pen.machine.accumulators - 2
        with pen.loop("n", pen.count("images")) as n:
            for c, count in vectors(pen, shape.filters, lanes):
                for s0, columns, s_tiles in balanced(S, most):
                    for r0, rows, r_tiles in balanced(R, max(1, most // columns)):
                        with pen.loop("r", r_tiles) as i, pen.loop("s", s_tiles) as j:
                            self._tile(pen, (n, i * rows + r0, j * columns + s0, c), (rows, columns), count)

    def _tile(self, pen: Pen, position: tuple[Index, Index, Index, Index], size: tuple[int, int], count: int) -> None:
        """Accumulate one image into some taps."""
        (n, r, s, c), shape, dy = position, self.shape, self.dy
        lanes, padded = pen.machine.lanes_for(shape.filters), padded_channels(shape.filters, pen.machine)
        x = pen.at(pen.pointer("x"), shape.x.begin(n) + shape.tap(r, s) + c + shape.first)
        g_at = pen.at(pen.pointer("dy"), dy.at(n, c=c))
        dw = pen.at(pen.pointer("dw"), (r * shape.kernel[1] + s) * padded + c)
        taps = [(i, j) for i in range(size[0]) for j in range(size[1])]
        where = {(i, j): (i * shape.kernel[1] + j) * padded for i, j in taps}
        sums = {tap: pen.variable(pen.load(dw, where[tap], lanes)) for tap in taps}
        with pen.loop("p", shape.out[0]) as p, pen.loop("q", shape.out[1]) as q:
            g = pen.load(g_at, dy.step(p, q), lanes)
            for i, j in taps:
                value = pen.load(x, shape.along(p, q) + shape.tap(i, j), lanes)
                pen.write(sums[i, j], pen.fma(g, value, pen.read(sums[i, j])))
        for tap in taps:
            pen.store(pen.read(sums[tap]), dw, where[tap], count)
