"""Convolution, forward, with adjacent filters in the lanes.

The math.  See kernels/conv_formula.py.

The schedule.  Pixels are in H, W, C order, so the taps (s, c) of a kernel row are contiguous: a *run* of J = S·C values
(C with a dilated kernel, a group's channels with groups). A vector holds adjacent filters; a tile is V such vectors × T
pixels, T·V ≤ 28 of 32 registers (12 of 16): per tap V loads of weights, T broadcasts from x, T·V multiply-adds. Two
load ports and two 8-lane multiply-adds per cycle (Zen 4) are both nearly saturated with V = 1, T = 28: 29 loads for 28
multiply-adds. A pooled tile holds whole windows, so that the maximum is taken between registers, lane by lane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel
from layerline.compiler.layout import BlockLayout, Columns
from layerline.compiler.tile import balanced, filter_blocks

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import Convolution, ConvShape
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Variable


@dataclass(frozen=True)
class ConvTile:
    """The tile: vectors of filters, and output units (pixels or pool windows) per tile, as rows × columns."""

    blocks: tuple[BlockLayout, ...]
    rows: int
    columns: int


def conv_tile(shape: ConvShape, machine: Machine, pool: tuple[int, int] = (1, 1)) -> ConvTile | None:
    """Return the tile for a convolution, or None if not even one pool window fits in the registers."""
    window = pool[0] * pool[1]
    P, Q = shape.out[0] // pool[0], shape.out[1] // pool[1]
    vectors = 2 if window * 4 <= machine.accumulators else 1
    blocks = filter_blocks(shape.group_filters, machine, vectors)
    units = machine.accumulators // (window * max(block.vectors for block in blocks))
    if not units:
        return None
    columns = balanced(Q, units)[0][1]
    return ConvTile(blocks, balanced(P, max(1, units // columns))[0][1], columns)


@dataclass(frozen=True)
class ConvForward(Kernel):
    """Computes `conv` with filters in the lanes."""

    conv: Convolution
    tile: ConvTile

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return self.conv.arguments(self.conv.shape.x, self.columns)

    @property
    def symbol(self) -> str:
        blocks = "".join(f"_{b.count}x{b.vectors}v{b.lanes}" for b in self.tile.blocks)
        return f"{self.conv.label}__{self.tile.rows}x{self.tile.columns}{blocks}"

    @property
    def columns(self) -> Columns:
        """Return the layout of w."""
        shape = self.conv.shape
        return Columns(shape.weights, math.prod(shape.runs), shape.run_length, self.tile.blocks, shape.groups)

    def multiply_adds(self, images: int) -> int:
        return self.conv.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        conv, shape, group_weights = self.conv, self.conv.shape, self.columns.group_size
        with pen.loop("n", pen.count("images")) as n, pen.loop("g", shape.groups) as g:
            x = pen.at(pen.pointer("x"), shape.x.begin(n) + g * shape.group_channels)
            y, at = conv.written(pen, n)
            self._group(pen, g * shape.group_filters, (x, pen.at(pen.pointer("w"), g * group_weights), y, at))

    def _group(self, pen: Pen, o: Index, memory: tuple[Pointer, Pointer, Pointer, Pointer | None]) -> None:
        """Write all outputs of a group's filters, starting with filter o."""
        (P, Q), taps, weights = self.conv.units, self.conv.shape.taps, 0
        x, w, y, at = memory
        for block in self.tile.blocks:
            with pen.loop("block", block.count) as k:
                w_block = pen.at(w, k * (taps * block.width) + weights)
                first = o + (k * block.width + block.first)
                for p0, height, p_tiles in balanced(P, self.tile.rows):
                    for q0, width, q_tiles in balanced(Q, self.tile.columns):
                        with pen.loop("p", p_tiles) as i, pen.loop("q", q_tiles) as j:
                            region = _TileRegion(i * height + p0, j * width + q0, first, height, width, block)
                            self._tile(pen, region, (x, w_block, y, at))
            weights += block.count * block.width * taps

    def _tile(self, pen: Pen, region: _TileRegion, memory: tuple[Pointer, Pointer, Pointer, Pointer | None]) -> None:
        shape, block, (ph, pw) = self.conv.shape, region.block, self.conv.pool
        x, w, _, _ = memory
        x = pen.at(x, shape.patch(region.p, region.q, self.conv.pool))
        bias = [
            pen.load(pen.pointer("b"), region.o + v * block.lanes, block.lanes)
            if self.conv.bias
            else pen.constant(0.0, block.lanes)
            for v in range(block.vectors)
        ]
        pixels = [(a, b) for a in range(region.height * ph) for b in range(region.width * pw)]
        sums = {(a, b, v): pen.variable(bias[v]) for a, b in pixels for v in range(block.vectors)}
        R, runs = shape.runs
        with pen.loop("r", R) as r, pen.loop("s", runs) as s:
            x_run = pen.at(x, shape.tap(r, s))
            w_run = pen.at(w, (r * runs + s) * (shape.run_length * block.width))
            with pen.loop("j", shape.run_length) as j:
                taps = [pen.load(w_run, j * block.width + v * block.lanes, block.lanes) for v in range(block.vectors)]
                for a, b in pixels:
                    value = pen.broadcast(x_run, j + shape.along(a, b), block.lanes)
                    for v, tap in enumerate(taps):
                        pen.write(sums[a, b, v], pen.fma(tap, value, pen.read(sums[a, b, v])))
        for a in range(region.height):
            for b in range(region.width):
                for v in range(block.vectors):
                    self._finish(pen, region, (a, b, v), sums, memory)

    @property
    def _may_overwrite(self) -> bool:
        """Whether lanes without a filter may be stored, because what they overwrite is written later or never read.

        This holds if outputs are written in memory order: one block, one tile row and one tile width. The lanes hold
        zeros, because their weights and biases are zero.
        """
        in_order = self.tile.rows == 1 and len(balanced(self.conv.units[1], self.tile.columns)) == 1
        in_order = in_order and self.conv.shape.groups == 1
        return in_order and len(self.tile.blocks) == 1 and self.tile.blocks[0].count == self.tile.blocks[0].vectors == 1

    def _finish(
        self,
        pen: Pen,
        region: _TileRegion,
        unit: tuple[int, int, int],
        sums: dict[tuple[int, int, int], Variable],
        memory: tuple[Pointer, Pointer, Pointer, Pointer | None],
    ) -> None:
        """The epilogue: pool, apply the activation and store one vector of one unit."""
        (a, b, v), (ph, pw), lanes = unit, self.conv.pool, region.block.lanes
        window = [pen.read(sums[a * ph + i, b * pw + j, v]) for i in range(ph) for j in range(pw)]
        largest, place = self.conv.finished(pen, window)
        count = min(lanes, self.conv.shape.group_filters - region.block.first - v * lanes)
        row, column, o = region.p + a, region.q + b, region.o + v * lanes
        (_, _, y, at), plane = memory, self.conv.y
        pen.store(largest, y, plane.step(row, column, o), lanes if self._may_overwrite and plane.bare else count)
        if at is not None:
            pen.store(place, at, plane.rank(row, column, o), lanes if self._may_overwrite else count)


@dataclass(frozen=True, eq=False)
class _TileRegion:
    """The position of a tile (first output unit, first filter) and its size."""

    p: Index
    q: Index
    o: Index
    height: int
    width: int
    block: BlockLayout
