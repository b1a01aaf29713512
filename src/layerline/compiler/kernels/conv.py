"""Convolution, forward: y = x ⋆ w + b, where wished with ReLU and max pooling in the same kernel.

The maths.  Padded input x (C, H, W), filters w (O, C, R, S), float32:
    y[o, p, q] = b[o] + Σ_r Σ_s Σ_c w[o, c, r, s] · x[c, p·sh + r·dh, q·sw + s·dw]
(Dumoulin & Visin 2016, arXiv:1603.07285, relation 6). A sum starts with the bias and takes its terms in the order r, s,
c. Pooled: the largest of a window, the first in row-major order on ties; a NaN wins. ReLU: 0 where 0 > y. Behind a pool
the kernel also writes *where* the largest came from: how far its patch begins behind that of the window's first output.
The gradient of the filters is then a sum over these places alone (kernels/conv_gradients.py).

The schedule.  Pixels lie as H, W, C, so that the taps (s, c) of a filter row lie side by side: a *run* of J = S·C
values (of C where the kernel is dilated, of a group's channels where there are groups). A vector holds neighbouring
filters; a tile is V such vectors × T pixels, T·V ≤ 28 of 32 registers (12 of 16): per tap V loads of weights, T
broadcasts out of x, T·V multiply-adds. Two load ports and two 8-lane multiply-adds a cycle (Zen 4) are both near full
with V = 1, T = 28: 29 loads for 28 multiply-adds. A pooled tile holds whole windows, so that the maximum is taken
between registers, lane by lane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, reads, sets
from layerline.compiler.kernels.largest import first_largest
from layerline.compiler.layout import Block, Columns, Rows
from layerline.compiler.plane import Places, Plane, item
from layerline.compiler.tile import balanced, filter_blocks

if TYPE_CHECKING:
    from layerline.compiler.kernel import Argument
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Variable


FEW_BYTES: Final = 24 * 1024


@dataclass(frozen=True)
class ConvShape:
    """The sizes of a convolution: input plane, filters, kernel, stride, dilation, padding at the top and the left."""

    x: Plane
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    out: tuple[int, int]
    """(P, Q)"""
    groups: int = 1

    @property
    def group_channels(self) -> int:
        """Return the channels of x that a filter sees."""
        return self.x.channels // self.groups

    @property
    def group_filters(self) -> int:
        """Return the filters that see the same channels."""
        return self.filters // self.groups

    @property
    def run_offsets(self) -> tuple[int, int]:
        """Return the elements of x between kernel rows, and between runs in a row."""
        return self.x.steps(self.dilation)

    @property
    def runs(self) -> tuple[int, int]:
        """Return (kernel rows, runs in a row)."""
        R, S = self.kernel
        return (R, 1) if S == 1 or (self.dilation[1] == 1 and self.groups == 1) else (R, S)

    @property
    def run_length(self) -> int:
        """Return J: the taps of a run."""
        return self.kernel[1] * self.group_channels // self.runs[1]

    @property
    def weights(self) -> tuple[int, int, int, int]:
        """Return PyTorch's shape of the filters."""
        return self.filters, self.group_channels, *self.kernel

    @property
    def taps(self) -> int:
        """Return the taps of a filter."""
        return self.runs[0] * self.runs[1] * self.run_length

    @property
    def few_weights(self) -> bool:
        """Whether the filters of a group fit into a core's first cache (half of 48 kB), from the sizes alone."""
        return 4 * self.group_filters * self.group_channels * self.kernel[0] * self.kernel[1] <= FEW_BYTES

    @property
    def first(self) -> int:
        """Return where the patch of output (0, 0) begins in x."""
        return self.x.inner(-self.padding[0], -self.padding[1])

    def patch(self, p: Index, q: Index, pool: tuple[int, int] = (1, 1)) -> Index:
        """Return where the patch of an output begins in x; of a pool window, that of its first output."""
        (sh, sw), (ph, pw) = self.stride, pool
        return self.x.step(p, q, stride=(ph * sh, pw * sw)) + self.first

    @property
    def steps(self) -> tuple[int, int]:
        """Return the elements of x from an output row to the next, and from a column to the next."""
        return self.x.steps(self.stride)

    @property
    def label(self) -> str:
        """Return the sizes as symbols have them."""
        (R, S), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        P, Q = self.out
        dilated = f"d{dh}_{dw}" if (dh, dw) != (1, 1) else ""
        grouped = f"g{self.groups}" if self.groups > 1 else ""
        return f"{self.x.label}_o{self.filters}p{P}q{Q}_k{R}_{S}s{sh}_{sw}{dilated}{grouped}a{self.first}"

    def rows(self, machine: Machine) -> Rows:
        """Return the layout of the filters with taps side by side."""
        J, K = self.run_length, self.runs[0] * self.runs[1]
        lanes = machine.lanes_for(J)
        return Rows(self.weights, K, J, -(-J // lanes) * lanes)


@dataclass(frozen=True)
class ConvTile:
    """How: vectors of filters, and output units (pixels, or pool windows) a tile, in rows × columns."""

    blocks: tuple[Block, ...]
    rows: int
    columns: int


def conv_tile(shape: ConvShape, machine: Machine, pool: tuple[int, int] = (1, 1)) -> ConvTile | None:
    """Return the tile for a convolution, or None where not even one pool window fits in the registers."""
    window = pool[0] * pool[1]
    P, Q = shape.out[0] // pool[0], shape.out[1] // pool[1]
    vectors = 4 if machine.registers >= 32 else 2
    while vectors > 1 and window * vectors * 2 > machine.accumulators:
        vectors //= 2
    blocks = filter_blocks(shape.group_filters, machine, vectors)
    units = machine.accumulators // (window * max(block.vectors for block in blocks))
    if not units:
        return None
    columns = balanced(Q, units)[0][1]
    return ConvTile(blocks, balanced(P, max(1, units // columns))[0][1], columns)


@dataclass(frozen=True)
class ConvForward(Kernel):
    """y = x ⋆ w + b; then the largest of each pool window and its place in x (`at`), then ReLU; where asked."""

    shape: ConvShape
    y: Plane
    tile: ConvTile
    bias: bool = True
    relu: bool = False
    pool: tuple[int, int] = (1, 1)
    places: bool = False

    @property
    def arguments(self) -> dict[str, Argument]:
        shape, (ph, pw) = self.shape, self.pool
        found = {"x": reads(shape.x), "w": reads(self.columns)}
        if self.bias:
            found["b"] = reads(shape.filters)
        found["y"] = sets(self.y)
        if self.places:
            outputs = (shape.out[0] // ph) * (shape.out[1] // pw) * shape.filters
            found["at"] = sets(Places(outputs, shape.steps, self.pool), DType.I32)
        return found

    @property
    def symbol(self) -> str:
        pooled = f"_pool{self.pool[0]}_{self.pool[1]}" if self.pool != (1, 1) else ""
        what = "conv" + "_b" * self.bias + pooled + "_relu" * self.relu + "_at" * self.places
        blocks = "".join(f"_{b.count}x{b.vectors}v{b.lanes}" for b in self.tile.blocks)
        return f"{what}_fwd_{self.shape.label}_{self.y.label}__{self.tile.rows}x{self.tile.columns}{blocks}"

    @property
    def columns(self) -> Columns:
        """Return the layout of w."""
        return Columns(
            self.shape.weights, math.prod(self.shape.runs), self.shape.run_length, self.tile.blocks, self.shape.groups
        )

    def write(self, pen: Pen) -> None:
        shape = self.shape
        P, Q = shape.out[0] // self.pool[0], shape.out[1] // self.pool[1]
        group_weights = self.columns.group_size
        with pen.loop("n", pen.count("images")) as n, pen.loop("g", shape.groups) as g:
            x = pen.at(pen.pointer("x"), shape.x.begin(n) + g * shape.group_channels)
            y = pen.at(pen.pointer("y"), self.y.at(n))
            at = pen.at(pen.pointer("at"), item(n, P * Q * shape.filters)) if self.places else None
            self._group(pen, g * shape.group_filters, (x, pen.at(pen.pointer("w"), g * group_weights), y, at))

    def _group(self, pen: Pen, o: Index, memory: tuple[Pointer, Pointer, Pointer, Pointer | None]) -> None:
        """Write all outputs of a group's filters, the first of which is o."""
        P, Q = self.shape.out[0] // self.pool[0], self.shape.out[1] // self.pool[1]
        taps, weights = self.shape.taps, 0
        x, w, y, at = memory
        for block in self.tile.blocks:
            with pen.loop("block", block.count) as k:
                w_block = pen.at(w, k * (taps * block.width) + weights)
                first = o + (k * block.width + block.first)
                for p0, height, p_tiles in balanced(P, self.tile.rows):
                    for q0, width, q_tiles in balanced(Q, self.tile.columns):
                        with pen.loop("p", p_tiles) as i, pen.loop("q", q_tiles) as j:
                            spot = _Spot(i * height + p0, j * width + q0, first, height, width, block)
                            self._tile(pen, spot, (x, w_block, y, at))
            weights += block.count * block.width * taps

    def _tile(self, pen: Pen, spot: _Spot, memory: tuple[Pointer, Pointer, Pointer, Pointer | None]) -> None:
        shape, block, (ph, pw) = self.shape, spot.block, self.pool
        x, w, _, _ = memory
        down, right = shape.steps
        x = pen.at(x, shape.patch(spot.p, spot.q, self.pool))
        bias = [
            pen.load(pen.pointer("b"), spot.o + v * block.lanes, block.lanes)
            if self.bias
            else pen.constant(0.0, block.lanes)
            for v in range(block.vectors)
        ]
        pixels = [(a, b) for a in range(spot.height * ph) for b in range(spot.width * pw)]
        sums = {(a, b, v): pen.variable(bias[v]) for a, b in pixels for v in range(block.vectors)}
        R, runs = shape.runs
        run_down, run_right = shape.run_offsets
        with pen.loop("r", R) as r, pen.loop("s", runs) as s:
            x_run = pen.at(x, r * run_down + s * run_right)
            w_run = pen.at(w, (r * runs + s) * (shape.run_length * block.width))
            with pen.loop("j", shape.run_length) as j:
                taps = [pen.load(w_run, j * block.width + v * block.lanes, block.lanes) for v in range(block.vectors)]
                for a, b in pixels:
                    value = pen.broadcast(x_run, j + (a * down + b * right), block.lanes)
                    for v, tap in enumerate(taps):
                        pen.write(sums[a, b, v], pen.fma(tap, value, pen.read(sums[a, b, v])))
        for a in range(spot.height):
            for b in range(spot.width):
                for v in range(block.vectors):
                    self._finish(pen, spot, (a, b, v), sums, memory)

    @property
    def _spills(self) -> bool:
        """Whether lanes without a filter may be stored: what they spill over is written after them, or is never read.

        So it is where the outputs are written in the order in which they lie: one block, one row and one width of
        tiles. The lanes hold zeros, for their weights and biases are zeros.
        """
        in_order = self.tile.rows == 1 and len(balanced(self.shape.out[1] // self.pool[1], self.tile.columns)) == 1
        in_order = in_order and self.shape.groups == 1
        return in_order and len(self.tile.blocks) == 1 and self.tile.blocks[0].count == self.tile.blocks[0].vectors == 1

    def _finish(
        self,
        pen: Pen,
        spot: _Spot,
        unit: tuple[int, int, int],
        sums: dict[tuple[int, int, int], Variable],
        memory: tuple[Pointer, Pointer, Pointer, Pointer | None],
    ) -> None:
        """Pool, clip and store one vector of one unit."""
        (a, b, v), (ph, pw), block = unit, self.pool, spot.block
        down, right = self.shape.steps
        window = [
            (pen.read(sums[a * ph + i, b * pw + j, v]), i * down + j * right) for i in range(ph) for j in range(pw)
        ]
        largest, place = first_largest(pen, window)
        if self.relu:
            largest = pen.relu(largest)
        lanes = block.lanes
        count = min(lanes, self.shape.group_filters - block.first - v * lanes)
        row, column, o = spot.p + a, spot.q + b, spot.o + v * block.lanes
        _, _, y, at = memory
        pen.store(largest, y, self.y.step(row, column, o), lanes if self._spills and self.y.bare else count)
        if at is not None:
            pen.store(place, at, self.y.rank(row, column, o), lanes if self._spills else count)


@dataclass(frozen=True, eq=False)
class _Spot:
    """Where a tile is: its first output unit, its first filter, its size."""

    p: Index
    q: Index
    o: Index
    height: int
    width: int
    block: Block
