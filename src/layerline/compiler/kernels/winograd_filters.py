"""The gradient of the filters of Winograd's convolution.

The math.  dw += Gᵀ [ Σ over tiles of (Bᵀ x B) ⊙ (A dy Aᵀ) ] G: the sum of the images that are processed together is
transformed once and added to dw. kernels/winograd_formula.py.

The schedule.  kernels/winograd_tiles.py; the sum over the tiles of a strip stays in registers, filters × vectors of
channels. dw has its channels in neighboring elements, and so has the sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from layerline.compiler.kernel import Kernel, adds, owns, reads
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.kernels.winograd_formula import WrittenLinear, both_ways
from layerline.compiler.kernels.winograd_tiles import (
    Domain,
    Windows,
    at_once,
    each_strip,
    tiling,
    whole_vectors,
    write_transform,
)
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.kernels.winograd_formula import Winograd
    from layerline.compiler.kernels.winograd_tiles import Strip, Tiling
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Pointer


VECTORS: Final = 2
"""Most vectors of channels of a register tile."""


@dataclass(frozen=True)
class WinogradFilters(Kernel):
    """dw += the gradient of the filters, by transformed tiles of x and of dy."""

    shape: ConvShape
    dy: Plane
    tiling: Tiling
    filters: int
    """Filters of a register tile,"""
    vectors: int
    """and its vectors of channels."""
    work: int
    """The elements of its workspace."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        dw = adds(self.shape.filters * self.shape.taps)
        return {"x": reads(self.shape.x), "dy": reads(self.dy), "dw": dw, "work": owns(self.work)}

    @property
    def symbol(self) -> str:
        how = f"{self.tiling.strip}x{self.filters}x{self.vectors}"
        return f"winograd_filters_{self.shape.label}_{self.dy.label}_{self.tiling.label}__{how}"

    def domains(self, machine: Machine) -> tuple[Domain, Domain, Domain]:
        """Return how a strip of x, a strip of dy and the sums are stored."""
        products, tiles = self.tiling.winograd.products, self.tiling.tiles
        channels, filters = (whole_vectors(n, machine) for n in (self.shape.x.channels, self.shape.filters))
        return (
            Domain(products, tiles, channels),
            Domain(products, tiles, filters),
            Domain(products, self.shape.filters, channels),
        )

    def workspace(self, machine: Machine) -> int:
        """Return the elements of all."""
        return sum(domain.size for domain in self.domains(machine))

    def multiply_adds(self, images: int) -> int:
        return self.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        xs, dys, sums = self.domains(pen.machine)
        v = pen.pointer("work")
        g, du = pen.at(v, xs.size), pen.at(v, xs.size + dys.size)
        winograd, outputs = self.tiling.winograd, Windows(self.dy, self.dy.inner())
        for strip in each_strip(pen, self.tiling):
            write_transform(
                pen, strip, (Windows(self.shape.x, self.shape.first), pen.pointer("x")), winograd.from_inputs, (xs, v)
            )
            write_transform(pen, strip, (outputs, pen.pointer("dy")), winograd.from_outputs, (dys, g))
            self._sums(pen, strip, (xs, v), (dys, g), (sums, du))
        self._add(pen, sums, du)

    def _sums(
        self,
        pen: Pen,
        strip: Strip,
        x: tuple[Domain, Pointer],
        dy: tuple[Domain, Pointer],
        to: tuple[Domain, Pointer],
    ) -> None:
        """Add the products of a strip to the sums, which begin with those of the first."""
        lanes, first = pen.machine.lanes_for(self.shape.x.channels), strip.first.is_(0)
        zero = pen.constant(0.0, lanes)
        xs, dys, sums = x[0], dy[0], to[0]
        with pen.loop("product", self.tiling.winograd.products) as number:
            here = [pen.at(pointer, number * domain.step) for domain, pointer in (x, dy, to)]
            for v0, wide, v_tiles in balanced(xs.channels // lanes, self.vectors):
                for o0, filters, o_tiles in balanced(self.shape.filters, self.filters):
                    with pen.loop("v", v_tiles) as i, pen.loop("o", o_tiles) as k:
                        c, o = (i * wide + v0) * lanes, k * filters + o0
                        cells = [(a, b) for a in range(filters) for b in range(wide)]
                        total = pen.at(here[2], o * sums.row + c)
                        where = {(a, b): a * sums.row + b * lanes for a, b in cells}
                        before = {cell: pen.load(total, where[cell], lanes) for cell in cells}
                        acc = {cell: pen.variable(pen.select(first, zero, so_far)) for cell, so_far in before.items()}
                        x_at, g_at = pen.at(here[0], c), pen.at(here[1], o)
                        with pen.loop("t", strip.tiles) as t:
                            xv = [pen.load(x_at, t * xs.row + b * lanes, lanes) for b in range(wide)]
                            for a in range(filters):
                                value = pen.broadcast(g_at, t * dys.row + a, lanes)
                                for b in range(wide):
                                    pen.write(acc[a, b], pen.fma(value, xv[b], pen.read(acc[a, b])))
                        for cell in cells:
                            pen.store(pen.read(acc[cell]), total, where[cell])

    def _add(self, pen: Pen, sums: Domain, du: Pointer) -> None:
        """Add the transformed sums to dw."""
        shape, winograd = self.shape, self.tiling.winograd
        C, rows = shape.x.channels, shape.rows(pen.machine)
        lanes, side = pen.machine.lanes_for(C), range(winograd.size)
        with pen.loop("o", shape.filters) as o:
            for c, count in vectors(pen, C, lanes):
                here = pen.at(du, o * sums.row + c)
                u = [[pen.load(here, (a * winograd.size + b) * sums.step, lanes) for b in side] for a in side]
                dw = pen.at(pen.pointer("dw"), o * (rows.runs * rows.padded) + c)
                for r, row in enumerate(both_ways(WrittenLinear(pen), winograd.from_filters, u, gathered=True)):
                    for s, value in enumerate(row):
                        where = r * rows.padded + s * C
                        pen.store(pen.add(pen.load(dw, where, lanes), value), dw, where, count)


def winograd_filters(shape: ConvShape, dy: Plane, winograd: Winograd, machine: Machine) -> WinogradFilters:
    """Return the kernel that computes the gradient of a convolution's filters by such tiles."""
    channels = whole_vectors(shape.x.channels, machine)
    wide = balanced(channels // machine.lanes_for(shape.x.channels), VECTORS)[0][1]
    both = channels + whole_vectors(shape.filters, machine)
    tiles = tiling(winograd, shape.out, both, beside=shape.filters * channels)
    kernel = WinogradFilters(shape, dy, tiles, at_once(wide, machine), wide, 0)
    return replace(kernel, work=kernel.workspace(machine))
