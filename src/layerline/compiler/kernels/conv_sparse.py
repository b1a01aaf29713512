"""The gradient of a convolution's input behind a max pool, from the outputs that have one.

The math.  dx as in kernels/conv_gradients.py, with dy zero except where it is that of a window's maximum (`at`) and
not zero there:
    dx += Σ over windows p, q, blocks of 64 filters, places i, j in the window:
          Σ over the filters o of the block whose maximum was at (i, j) and whose gradient is not zero: dy · w[o]
in the order p, q, block, (i, j); a patch of dx gets one sum at a time, whose terms are added in the order of o. NaN is
not zero.

The schedule.  At most one in ph·pw outputs has a gradient, with ReLU about half of those. Vectors compare 64 filters with
zero and with each place; the bits of the result are the filters to visit. A place's sum, runs × vectors of a patch,
stays in registers: a multiply-add for every vector of w, which is read in its order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import clear
from layerline.compiler.plane import Places, Plane, item
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value

BLOCK: Final = 64
"""Filters whose gradients are looked at together: the bits of an integer."""


@dataclass(frozen=True)
class PatchTile:
    """The tile: runs × vectors of a patch of dx in registers."""

    runs: int
    vectors: int


def patch_tile(shape: ConvShape, machine: Machine) -> PatchTile:
    """Return the tile of the input gradient behind a pool."""
    rows = shape.rows(machine)
    vectors = balanced(rows.padded // machine.lanes_for(rows.length), machine.accumulators)[0][1]
    return PatchTile(balanced(rows.runs, max(1, machine.accumulators // vectors))[0][1], vectors)


@dataclass(frozen=True)
class ConvPooledInput(Kernel):
    """dx = (set) or dx += (add) the sum over filters and windows of dy · w at the place of the window's maximum."""

    shape: ConvShape
    dy: Plane
    """The layout of dy: a pixel per window."""
    window: tuple[int, int]
    tile: PatchTile
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        shape = self.shape
        at = reads(Places(self.dy.inside.size, shape.steps, self.window), DType.I32)
        w, dx = reads(shape.filters * shape.taps), (adds if self.add else sets)(shape.x)
        return {"dy": reads(self.dy), "at": at, "w": w, "dx": dx}

    @property
    def symbol(self) -> str:
        what = "conv_at_input_add" if self.add else "conv_at_input"
        window = f"{self.window[0]}_{self.window[1]}"
        return f"{what}_{window}_{self.shape.label}_{self.dy.label}__{self.tile.runs}x{self.tile.vectors}"

    def write(self, pen: Pen) -> None:
        shape, rows, dy = self.shape, self.shape.rows(pen.machine), self.dy
        with pen.loop("n", pen.count("images")) as n:
            if not self.add:
                clear(pen, pen.at(pen.pointer("dx"), shape.x.begin(n)), shape.x.size)
            at = pen.at(pen.pointer("at"), item(n, dy.inside.size))
            with pen.loop("p", dy.height) as p, pen.loop("q", dy.width) as q, pen.loop("group", shape.groups) as group:
                corner = shape.x.begin(n) + shape.patch(p, q, self.window) + group * shape.group_channels
                dx, first = pen.at(pen.pointer("dx"), corner), group * shape.group_filters
                whole, rest = divmod(shape.group_filters, BLOCK)
                for o0, filters, blocks in ((0, BLOCK, whole), (whole * BLOCK, rest, 1)):
                    if filters and blocks:
                        with pen.loop("block", blocks) as block:
                            o = first + (block * BLOCK + o0)
                            g = pen.at(pen.pointer("dy"), dy.at(n, p, q, o))
                            w = pen.at(pen.pointer("w"), o * (rows.runs * rows.padded))
                            self._block(pen, filters, (g, pen.at(at, dy.rank(p, q, o)), w, dx))

    def _block(self, pen: Pen, filters: int, memory: tuple[Pointer, Pointer, Pointer, Pointer]) -> None:
        """Add the terms of one window and some filters."""
        g, at, w, dx = memory
        places = [self.shape.along(i, j) for i in range(self.window[0]) for j in range(self.window[1])]
        for place, bits in zip(places, self._chosen(pen, filters, places, (g, at)), strict=True):
            with pen.when(pen.below(pen.constant(0, 1, DType.I64), bits)):
                self._patch(pen, filters, bits, (g, w, pen.at(dx, place)))

    def _chosen(self, pen: Pen, filters: int, places: list[int], memory: tuple[Pointer, Pointer]) -> list[Value]:
        """Return, for each place, the bits of the filters with a gradient there."""
        lanes = pen.machine.lanes_for(filters)
        zero, truths = pen.constant(0.0, lanes), []
        for o in range(0, filters, lanes):
            there = pen.negation(pen.equal(pen.load(memory[0], o, lanes), zero))
            place = pen.load(memory[1], o, lanes)
            truths.append([pen.both(there, pen.equal(place, pen.constant(p, lanes, DType.I32))) for p in places])
        return [pen.masked(pen.packed(of_place), (1 << filters) - 1) for of_place in zip(*truths, strict=True)]

    def _patch(self, pen: Pen, filters: int, bits: Value, memory: tuple[Pointer, Pointer, Pointer]) -> None:
        """Add the sum over the filters in `bits` to a patch of dx, tile by tile."""
        (g, w, dx), rows, lanes = memory, self.shape.rows(pen.machine), pen.machine.lanes_for(self.shape.run_length)
        for k0, runs, k_tiles in balanced(rows.runs, self.tile.runs):
            for v0, vectors, v_tiles in balanced(rows.padded // lanes, self.tile.vectors):
                for k in range(k0, k0 + runs * k_tiles, runs):
                    for v in range(v0, v0 + vectors * v_tiles, vectors):
                        cells = [(a, b) for a in range(k, k + runs) for b in range(v, v + vectors)]
                        self._tile(pen, filters, bits, cells, (g, w, dx))

    def _tile(
        self, pen: Pen, filters: int, bits: Value, cells: list[tuple[int, int]], memory: tuple[Pointer, Pointer, Pointer]
    ) -> None:
        (g, w, dx), rows, lanes = memory, self.shape.rows(pen.machine), pen.machine.lanes_for(self.shape.run_length)
        sums = {cell: pen.variable(pen.constant(0.0, lanes)) for cell in cells}
        with pen.ones(bits, filters) as o:
            value = pen.broadcast(g, o, lanes)
            row = pen.at(w, o * (rows.runs * rows.padded))
            for (k, v), total in sums.items():
                tap = pen.load(row, k * rows.padded + v * lanes, lanes)
                pen.write(total, pen.fma(value, tap, pen.read(total)))
        for (k, v), total in sums.items():
            place = self.shape.tap(*divmod(k, self.shape.runs[1])) + v * lanes
            pen.store(pen.add(pen.load(dx, place, lanes), pen.read(total)), dx, place)
