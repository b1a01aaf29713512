"""Convolution, backward: the gradients of the filters and of the input.

The math.  With dy (O, P, Q) the gradient of the convolution's output, before ReLU and pool:
    dw[o, c, r, s] = Σ_n Σ_p Σ_q dy[o, p, q] · x[c, p·sh + r·dh, q·sw + s·dw]
    dx[c, h, w]    = Σ_o Σ_r Σ_s dy[o, p, q] · w[o, c, r, s]  over the p, q with p·sh + r·dh = h, q·sw + s·dw = w
With a max pool after the convolution, dy is zero except at one position per window. The filter gradient is then
computed over these positions only: a sum over the pooled outputs of dy · (the patch at that position), P·Q / (ph·pw)
terms instead of P·Q. Positions may repeat. (kernels/conv_pooled.py skips zeros, too, and has the input gradient.) Terms
are added image by image in the order p, q. The terms of dx are added row by row, h = p·sh + r·dh, in the order r, s,
(vector of j), q, each a sum over o; with few weights, in the order s, (vector of j), q, each a sum over r and o.

The schedule.  Lanes run over j, the taps of a run (kernels/conv.py), which are contiguous in x, dx and w, so nothing is
transposed. ConvFilters keeps F filters × K runs × V vectors of dw in registers throughout an image. With positions,
each filter reads its own patch: one load per multiply-add, so F ≥ 2 filters hide the latency of the accumulation.
Without, the K·V vectors of a patch are shared by F filters. ConvInput accumulates T pixels × V vectors over all
filters, and over the kernel rows if all weights fit in a core's L1 cache, and only then writes to dx: patches of
adjacent pixels overlap, and reloading a vector whose store is in flight costs a dozen cycles. (lenet5, two threads:
11.2 µs/image with a write per kernel row, 8.8 with one for all; Xeon at 2.6 GHz, 2026-11-28.)
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import clear
from layerline.compiler.plane import Places, Plane, item
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.layout import Rows
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Variable


@dataclass(frozen=True)
class FiltersTile:
    """The tile: filters × runs × vectors of dw accumulated at once."""

    filters: int
    runs: int
    vectors: int


def filters_tile(shape: ConvShape, machine: Machine, *, places: bool) -> FiltersTile:
    """Return the tile of the filter gradient: with 16 registers and no positions, 4 filters × 3 vectors."""
    rows, most = shape.rows(machine), machine.accumulators - 2
    wide, patch = (most, most) if places else (6, 8)
    if machine.registers <= 16 and not places:
        most, wide, patch = machine.accumulators, 3, 3
    vectors = balanced(rows.padded // machine.lanes_for(rows.length), wide)[0][1]
    runs = balanced(rows.runs, max(1, patch // vectors))[0][1]
    filters = min(4 if places else most, most // (runs * vectors))
    return FiltersTile(balanced(shape.group_filters, max(1, filters))[0][1], runs, vectors)


def owned_filters(pen: Pen, shape: ConvShape, pieces: list[tuple[int, int, int]]) -> Iterator[tuple[Index, Index, int]]:
    """Write code for the filters that `item` owns, after clearing their gradient; yields their group, the first of them
    in the group, and their number. pieces: a group's filters, as `balanced` splits them."""
    rows, done = shape.rows(pen.machine), 0
    size, lanes = rows.runs * rows.padded, pen.machine.lanes_for(rows.length)
    for o0, filters, count in pieces:
        number = pen.count("item") - done
        with pen.when(number.within(count * shape.groups)):
            g, piece = divmod(number, count)
            o = piece * filters + o0
            first = (o + g * shape.group_filters) * size
            clear(pen, pen.at(pen.pointer("dw"), first), filters * size, lanes)
            yield g, o, filters
        done += count * shape.groups


@dataclass(frozen=True)
class ConvFilters(Kernel):
    """dw += Σ over images and pixels of dy · patch of x; with `places`, over pooled outputs and their positions in
    x."""

    shape: ConvShape
    dy: Plane
    """The layout of dy: P × Q pixels, or with `places` the pooled ones."""
    tile: FiltersTile
    places: bool = False
    window: tuple[int, int] = (1, 1)
    """With places: the pool's window; positions are relative to the patch of its first output."""
    owned: bool = False
    """If true, an item owns some filters and sums them over the whole batch; else dw is a shard's partial gradient."""

    @property
    def slices(self) -> int | None:
        """Return the number of filter chunks, if items own them."""
        return self.shape.groups * sum(count for _, _, count in self._pieces) if self.owned else None

    @property
    def _pieces(self) -> list[tuple[int, int, int]]:
        return balanced(self.shape.group_filters, self.tile.filters)

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        shape, outputs = self.shape, self.dy.height * self.dy.width * self.shape.filters
        at = {"at": reads(Places(outputs, shape.steps, self.window), DType.I32)} if self.places else {}
        dw = (sets if self.owned else adds)(shape.filters * shape.taps)
        return {"x": reads(shape.x), "dy": reads(self.dy), **at, "dw": dw}

    @property
    def symbol(self) -> str:
        what = ("conv_at_filters" if self.places else "conv_filters") + "_owned" * self.owned
        if self.places:
            what += f"_{self.window[0]}_{self.window[1]}"
        return f"{what}_{self.shape.label}_{self.dy.label}__{self.tile.filters}x{self.tile.runs}x{self.tile.vectors}"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return ("images",) if self.owned else ()

    def multiply_adds(self, images: int) -> int:
        return images * self.dy.height * self.dy.width * self.shape.filters * self.shape.taps

    def write(self, pen: Pen) -> None:
        if not self.owned:
            with pen.loop("n", pen.count("images")) as n, pen.loop("g", self.shape.groups) as g:
                for o0, filters, tiles in self._pieces:
                    with pen.loop("o", tiles) as o:
                        self._image(pen, n, g, o * filters + o0, filters)
            return
        for g, o, filters in owned_filters(pen, self.shape, self._pieces):
            with pen.loop("n", pen.count("images")) as n:
                self._image(pen, n, g, o, filters)

    def _image(self, pen: Pen, n: Index, g: Index, o: Index, filters: int) -> None:
        """Accumulate one image into some filters of a group, starting at filter o of the group, tile by tile."""
        rows, lanes = self.shape.rows(pen.machine), pen.machine.lanes_for(self.shape.run_length)
        outputs = self.dy.height * self.dy.width * self.shape.filters
        x = pen.at(pen.pointer("x"), self.shape.x.begin(n) + g * self.shape.group_channels)
        dy = pen.at(pen.pointer("dy"), self.dy.at(n))
        at = pen.at(pen.pointer("at"), item(n, outputs)) if self.places else None
        o = o + g * self.shape.group_filters
        for v0, vectors, v_tiles in balanced(rows.padded // lanes, self.tile.vectors):
            for k0, runs, k_tiles in balanced(rows.runs, self.tile.runs):
                with pen.loop("v", v_tiles) as v, pen.loop("k", k_tiles) as k:
                    region = _GradientRegion(o, k * runs + k0, (v * vectors + v0) * lanes, filters, runs, vectors)
                    self._tile(pen, region, rows, lanes, (x, dy, at))

    def _tile(
        self, pen: Pen, region: _GradientRegion, rows: Rows, lanes: int, memory: tuple[Pointer, Pointer, Pointer | None]
    ) -> None:
        x, dy, at = memory
        shape = self.shape
        dw = pen.at(pen.pointer("dw"), region.o * (rows.runs * rows.padded) + region.k * rows.padded + region.j)
        cells = [(f, k, v) for f in range(region.filters) for k in range(region.runs) for v in range(region.vectors)]
        where = {(f, k, v): (f * rows.runs + k) * rows.padded + v * lanes for f, k, v in cells}
        sums = {cell: pen.variable(pen.load(dw, where[cell], lanes)) for cell in cells}
        # the runs of a tile are adjacent: one kernel row apart, or (dilated) one tap apart, with a kernel row per tile
        starts = [shape.run(region.k + k) + region.j for k in range(region.runs)]
        patches = [pen.at(x, start) for start in starts]
        with pen.loop("p", self.dy.height) as p, pen.loop("q", self.dy.width) as q:
            g_at = self.dy.step(p, q, region.o)
            if at is None:
                self._dense(pen, region, sums, patches, (dy, g_at), p, q)
            else:
                here = self.dy.rank(p, q, region.o)
                corner = shape.patch(p, q, self.window)
                self._sparse(pen, region, sums, [pen.at(patch, corner) for patch in patches], (dy, g_at), (at, here))
        for cell in cells:
            pen.store(pen.read(sums[cell]), dw, where[cell])

    def _dense(
        self,
        pen: Pen,
        region: _GradientRegion,
        sums: dict[tuple[int, int, int], Variable],
        patches: list[Pointer],
        dy: tuple[Pointer, Index],
        p: Index,
        q: Index,
    ) -> None:
        lanes = pen.machine.lanes_for(self.shape.run_length)
        patch = self.shape.patch(p, q)
        x = {
            (k, v): pen.load(patches[k], patch + v * lanes, lanes)
            for k in range(region.runs)
            for v in range(region.vectors)
        }
        for f in range(region.filters):
            g = pen.broadcast(dy[0], dy[1] + f, lanes)
            for k, v in x:
                pen.write(sums[f, k, v], pen.fma(g, x[k, v], pen.read(sums[f, k, v])))

    def _sparse(
        self,
        pen: Pen,
        region: _GradientRegion,
        sums: dict[tuple[int, int, int], Variable],
        patches: list[Pointer],
        dy: tuple[Pointer, Index],
        at: tuple[Pointer, Index],
    ) -> None:
        lanes = pen.machine.lanes_for(self.shape.run_length)
        for f in range(region.filters):
            g = pen.broadcast(dy[0], dy[1] + f, lanes)
            place = pen.as_index(pen.load(at[0], at[1] + f))
            for k in range(region.runs):
                for v in range(region.vectors):
                    x = pen.load(patches[k], place + v * lanes, lanes)
                    pen.write(sums[f, k, v], pen.fma(g, x, pen.read(sums[f, k, v])))


@dataclass(frozen=True, eq=False)
class _GradientRegion:
    """The position of a tile of dw (first filter, run and tap) and its size."""

    o: Index
    k: Index
    j: Index
    filters: int
    runs: int
    vectors: int


@dataclass(frozen=True)
class InputTile:
    """The tile: pixels × vectors of a run accumulated over the filters at once."""

    pixels: int
    vectors: int


def input_tile(shape: ConvShape, machine: Machine) -> InputTile:
    """Return the tile of the input gradient."""
    vectors = balanced(
        shape.rows(machine).padded // machine.lanes_for(shape.run_length), 4 if machine.registers >= 32 else 2
    )
    pixels = (machine.accumulators - 2) // vectors[0][1]
    return InputTile(balanced(shape.out[1], max(1, pixels))[0][1], vectors[0][1])


@dataclass(frozen=True)
class ConvInput(Kernel):
    """dx = (set) or dx += (add) the sum over filters and pixels of dy · w, scattered to the position of each tap."""

    shape: ConvShape
    dy: Plane
    tile: InputTile
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        w, dx = reads(self.shape.filters * self.shape.taps), (adds if self.add else sets)(self.shape.x)
        return {"dy": reads(self.dy), "w": w, "dx": dx}

    @property
    def symbol(self) -> str:
        what = "conv_input_add" if self.add else "conv_input"
        return f"{what}_{self.shape.label}_{self.dy.label}__{self.tile.pixels}x{self.tile.vectors}"

    def multiply_adds(self, images: int) -> int:
        return self.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        shape, rows = self.shape, self.shape.rows(pen.machine)
        (sh, _), (dh, _), R = shape.stride, shape.dilation, shape.runs[0]
        with pen.loop("n", pen.count("images")) as n:
            if not self.add:
                clear(pen, pen.at(pen.pointer("dx"), shape.x.begin(n)), shape.x.size)
            with pen.loop("group", shape.groups) as group:
                dx = pen.at(pen.pointer("dx"), shape.x.begin(n) + group * shape.group_channels)
                filters = group * shape.group_filters
                dy = pen.at(pen.pointer("dy"), self.dy.at(n, c=filters))
                weights = pen.at(pen.pointer("w"), filters * (rows.runs * rows.padded))
                with pen.loop("h", (shape.out[0] - 1) * sh + (R - 1) * dh + 1) as h:
                    if shape.few_weights:
                        self._row(pen, h, None, (dy, weights, dx))
                    else:
                        with pen.loop("r", R) as r, self._reached(pen, h, r) as p:
                            self._row(pen, h, (r, p), (dy, weights, dx))

    @contextmanager
    def _reached(self, pen: Pen, h: Index, r: Index) -> Iterator[Index]:
        """Write code for the output row, if any, whose kernel row r is at row h of the input."""
        (sh, _), (dh, _), P = self.shape.stride, self.shape.dilation, self.shape.out[0]
        down = h - r * dh
        there = down.within((P - 1) * sh + 1)
        p, rest = divmod(down, sh) if sh > 1 else (down, None)
        with pen.when(there if rest is None else pen.both(there, rest.is_(0))):
            yield p

    def _row(
        self, pen: Pen, h: Index, pair: tuple[Index, Index] | None, memory: tuple[Pointer, Pointer, Pointer]
    ) -> None:
        """Accumulate into row h of dx, relative to the first patch, the terms of one (r, p), or of all."""
        shape, rows = self.shape, self.shape.rows(pen.machine)
        lanes = pen.machine.lanes_for(shape.run_length)
        g, w, dx = memory
        with pen.loop("s", shape.runs[1]) as s:
            for v0, vectors, v_tiles in balanced(rows.padded // lanes, self.tile.vectors):
                with pen.loop("v", v_tiles) as v:
                    for q0, pixels, q_tiles in balanced(shape.out[1], self.tile.pixels):
                        with pen.loop("q", q_tiles) as t:
                            q, j = t * pixels + q0, (v * vectors + v0) * lanes
                            place = shape.x.step(h) + shape.tap(0, s) + shape.along(0, q) + j + shape.first
                            taps = pen.at(w, s * rows.padded + j)
                            here = (pen.at(g, self.dy.step(0, q)), taps, pen.at(dx, place))
                            self._tile(pen, h, pair, here, (pixels, vectors))

    def _tile(
        self,
        pen: Pen,
        h: Index,
        pair: tuple[Index, Index] | None,
        memory: tuple[Pointer, Pointer, Pointer],
        size: tuple[int, int],
    ) -> None:
        (g, w, dx), (pixels, vectors) = memory, size
        lanes = pen.machine.lanes_for(self.shape.run_length)
        zero = pen.constant(0.0, lanes)
        sums = {(t, v): pen.variable(zero) for t in range(pixels) for v in range(vectors)}
        if pair is not None:
            self._add(pen, pair, (g, w), sums)
        else:
            with pen.loop("r", self.shape.runs[0]) as r, self._reached(pen, h, r) as p:
                self._add(pen, (r, p), (g, w), sums)
        for v in range(vectors):
            for t in range(pixels):
                place = self.shape.along(0, t) + v * lanes
                pen.store(pen.add(pen.load(dx, place, lanes), pen.read(sums[t, v])), dx, place)

    def _add(
        self,
        pen: Pen,
        pair: tuple[Index, Index],
        memory: tuple[Pointer, Pointer],
        sums: dict[tuple[int, int], Variable],
    ) -> None:
        """Accumulate the terms of kernel row r and output row p, filter by filter."""
        (r, p), (g, w) = pair, memory
        rows, lanes = self.shape.rows(pen.machine), pen.machine.lanes_for(self.shape.run_length)
        g = pen.at(g, self.dy.step(p))
        w = pen.at(w, r * (self.shape.runs[1] * rows.padded))
        with pen.loop("o", self.shape.group_filters) as o:
            taps = {v: pen.load(w, o * (rows.runs * rows.padded) + v * lanes, lanes) for v in {v for _, v in sums}}
            for t in {t for t, _ in sums}:
                value = pen.broadcast(g, o + self.dy.step(0, t), lanes)
                for v, tap in taps.items():
                    pen.write(sums[t, v], pen.fma(value, tap, pen.read(sums[t, v])))
