"""Convolution, forward, with adjacent columns in the lanes: for few filters, which would leave lanes empty.

The math.  See kernels/conv_formula.py; the order of terms is the same, so results are bit-identical to kernels/conv.py.

The schedule.  A row of x is loaded as V vectors of columns, once per tap, and each weight is one broadcast: a tile is F
filters × A output rows × V vectors, with F·A·V accumulators and A·V values in registers, and A·V + F loads for F·A·V
multiply-adds. 6 filters on 28 columns fill 28 of 32 lanes instead of 6 of 8: 8,400 multiply-adds per image instead of
19,600, and 24 of them per 10 loads. Afterward the vectors of the filters are interleaved into pixels, log₂ F steps of
one shuffle per vector. x is planar, C, H, W: a gray image already is, others are split first (kernels/split.py).
Six-layer on MNIST went from 5.8 to 3.9 µs/image with one thread (Xeon at 2.6 GHz, 2026-11-28).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, sets
from layerline.compiler.kernels.split import as_planes
from layerline.compiler.plane import Places, item
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import Convolution
    from layerline.compiler.layout import BlockLayout, Columns
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class AcrossTile:
    """The tile: filters × output units (rows of pixels or of pool windows) × vectors of `lanes` columns."""

    filters: int
    rows: int
    vectors: int
    lanes: int


def across_tile(conv: Convolution, blocks: tuple[BlockLayout, ...], machine: Machine) -> AcrossTile | None:
    """Return the tile, or None if filters in the lanes, in these blocks, need fewer vectors or lanes."""
    shape, (ph, pw), (P, Q) = conv.shape, conv.pool, conv.units
    if shape.groups > 1 or shape.stride[1] != 1 or len(blocks) > 1 or blocks[0].count > 1:
        return None
    lanes = machine.lanes_for(Q * pw)
    whole = -(-Q * pw // lanes)
    taps = shape.kernel[0] * shape.kernel[1] * shape.x.channels
    here, there = P * ph * whole * taps * shape.filters, shape.out[0] * shape.out[1] * taps * blocks[0].vectors
    woven = (
        P
        * -(-whole // pw)
        * _interleaved_width(shape.filters)
        * _interleaved_width(shape.filters).bit_length()
        * (1 + conv.places)
    )
    if lanes == 1 or here + woven + 2 * P * Q >= there or here * lanes > there * blocks[0].lanes:
        return None
    tiles = [
        AcrossTile(filters, rows, vectors, lanes)
        for filters in {balanced(shape.filters, most)[0][1] for most in range(1, shape.filters + 1)}
        for rows in ((1,) if ph > 1 else (1, 2, 3, 4))
        for vectors in range(1, whole + 1)
        if (vectors == whole or lanes % pw == 0) and rows <= P
    ]
    fitting = [t for t in tiles if (t.filters + 1) * t.rows * ph * t.vectors + 1 < machine.registers]
    return max(fitting, key=lambda t: _intensity(t, ph), default=None)


def _intensity(tile: AcrossTile, pool_rows: int) -> tuple[float, int]:
    """Return the multiply-adds per load, and the number of accumulators, which hide their latency."""
    vectors = tile.rows * pool_rows * tile.vectors
    return tile.filters * vectors / (vectors + tile.filters), tile.filters * vectors


def _interleaved_width(filters: int) -> int:
    """Return the power of two to which filters are padded for interleaving."""
    return 1 << (filters - 1).bit_length()


@dataclass(frozen=True)
class ConvAcross(Kernel):
    """Computes `conv` with columns in the lanes; x is C planes, each with the border."""

    conv: Convolution
    columns: Columns
    """The layout of w: the filters of one block."""
    tile: AcrossTile
    places: int | None = None
    """If set, `at` is written filter by filter, in rows of that many elements."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        x, conv = self.conv.shape.x, self.conv
        arguments = conv.arguments(x if x.channels == 1 else as_planes(x), self.columns)
        if self.places:
            count = conv.shape.filters * conv.units[0] * self.places
            arguments["at"] = sets(Places(count, conv.shape.steps, conv.pool, self.places), DType.I32)
        return arguments

    @property
    def symbol(self) -> str:
        tile = self.tile
        places = f"p{self.places}" if self.places else ""
        return f"{self.conv.label}__across_{tile.filters}x{tile.rows}x{tile.vectors}v{tile.lanes}{places}"

    def multiply_adds(self, images: int) -> int:
        return self.conv.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        conv, shape = self.conv, self.conv.shape
        planes, corner = as_planes(shape.x), (shape.x.top - shape.padding[0], shape.x.left - shape.padding[1])
        with pen.loop("n", pen.count("images")) as n:
            x = pen.at(pen.pointer("x"), planes.begin(n) + planes.inner(*corner))
            y, at = conv.written(pen, n)
            if self.places:
                at = pen.at(pen.pointer("at"), item(n, self.arguments["at"].elements))
            for o0, filters, o_tiles in balanced(shape.filters, self.tile.filters):
                for o in range(o0, o0 + filters * o_tiles, filters):
                    for p0, rows, p_tiles in balanced(conv.units[0], self.tile.rows):
                        with pen.loop("p", p_tiles) as i:
                            for columns in self._columns(pen):
                                self._tile(pen, _AcrossRegion(i * rows + p0, rows, o, filters, columns), (x, y, at))

    def _columns(self, pen: Pen) -> Iterator[_Columns]:
        """Write the loops over the pieces of an output row, and yield each piece."""
        pw, lanes, Q = self.conv.pool[1], self.tile.lanes, self.conv.units[1]
        for v0, vectors, tiles in balanced(-(-Q * pw // lanes), self.tile.vectors):
            first, width = v0 * lanes, vectors * lanes
            whole = min(tiles, (Q * pw - first) // width)
            if whole:
                with pen.loop("q", whole) as j:
                    yield _Columns(j * width + first, j * (width // pw) + first // pw, vectors, width // pw)
            for start in range(first + whole * width, first + tiles * width, width):
                yield _Columns(pen.index(start), pen.index(start // pw), vectors, Q - start // pw)

    def _tile(self, pen: Pen, region: _AcrossRegion, memory: tuple[Pointer, Pointer, Pointer | None]) -> None:
        """Write one tile: accumulate over the taps, then the epilogue: pool, activation, interleave and store."""
        ph, (x, *outputs) = self.conv.pool[0], memory
        sums = self._sums(pen, region, x)
        for row in range(region.rows):
            units = [self._pooled(pen, [sums[k, row * ph + a] for a in range(ph)]) for k in range(region.filters)]
            self._store(pen, region, row, units, outputs)

    def _sums(self, pen: Pen, region: _AcrossRegion, x: Pointer) -> dict[tuple[int, int], list[Value]]:
        """Return the sums for each filter and row of the tile, as vectors."""
        shape, lanes, V = self.conv.shape, self.tile.lanes, region.columns.vectors
        (R, S), C, width = shape.kernel, shape.x.channels, self.columns.blocks[0].width
        planes, rows, zero = as_planes(shape.x), region.rows * self.conv.pool[0], pen.constant(0.0, lanes)
        down, plane = (shape.stride[0], 1), (planes.height // C, 1)
        filters = range(region.first, region.first + region.filters)
        cells = [(a, v) for a in range(rows) for v in range(V)]
        bias = [pen.broadcast(pen.pointer("b"), o, lanes) if self.conv.bias else zero for o in filters]
        sums = {(k, a, v): pen.variable(bias[k]) for k in range(region.filters) for a, v in cells}
        x = pen.at(x, planes.step(region.row, region.columns.first, stride=(self.conv.pool[0] * down[0], 1)))
        with pen.loop("r", R) as r, pen.loop("s", S) as s, pen.loop("c", C) as c:
            taps = pen.at(x, planes.step(r, s, stride=shape.dilation) + planes.step(c, stride=plane))
            w = pen.at(pen.pointer("w"), (r * S + s) * (C * width) + c * width)
            values = [pen.load(taps, pen.index(planes.step(a, v * lanes, stride=down)), lanes) for a, v in cells]
            for k, o in enumerate(filters):
                weight = pen.broadcast(w, o, lanes)
                for (a, v), value in zip(cells, values, strict=True):
                    pen.write(sums[k, a, v], pen.fma(weight, value, pen.read(sums[k, a, v])))
        return {(k, a): [pen.read(sums[k, a, v]) for v in range(V)] for k in range(region.filters) for a in range(rows)}

    def _pooled(self, pen: Pen, rows: list[list[Value]]) -> list[tuple[Value, Value]]:
        """Return the units of a row of windows, as vectors, and the position of each in its window."""
        pw, lanes = self.conv.pool[1], self.tile.lanes
        found = []
        for first in range(0, len(rows[0]) * lanes // pw, lanes):
            window = [pen.picked(row, first * pw + b, pw, lanes) for row in rows for b in range(pw)]
            found.append(self.conv.finished(pen, window))
        return found

    def _store(
        self,
        pen: Pen,
        region: _AcrossRegion,
        row: int,
        units: list[list[tuple[Value, Value]]],
        outputs: list[Pointer | None],
    ) -> None:
        """Interleave the vectors of the filters into pixels, and store the valid units."""
        conv, lanes, F = self.conv, self.tile.lanes, _interleaved_width(region.filters)
        columns, planes = region.columns, (conv.y, conv.y.inside)
        for number in range(len(units[0])):
            for which, (to, plane) in enumerate(zip(outputs, planes, strict=True)):
                if to is None:
                    continue
                if which and self.places:
                    self._store_places(pen, region, row, number, [vectors[number][which] for vectors in units], to)
                    continue
                values = [vectors[number][which] for vectors in units]
                pixels = pen.woven([*values, *[pen.constant(0, lanes, to.dtype)] * (F - region.filters)])
                start = pen.at(to, plane.step(region.row + row, columns.unit, region.first))
                for unit in range(number * lanes, min((number + 1) * lanes, columns.units)):
                    pixel = pen.picked(pixels, (unit - number * lanes) * F, 1, F)
                    pen.store(pixel, start, plane.step(0, unit), F if self._may_overwrite else region.filters)

    def _store_places(
        self, pen: Pen, region: _AcrossRegion, row: int, number: int, values: list[Value], to: Pointer
    ) -> None:
        """Store a vector of positions per filter."""
        assert self.places  # noqa: S101 - checked by the caller
        lanes, columns = self.tile.lanes, region.columns
        for k, value in enumerate(values):
            line = (region.row + row) + (region.first + k) * self.conv.units[0]
            place = line * self.places + columns.unit + number * lanes
            pen.store(value, to, place, min(lanes, columns.units - number * lanes))

    @property
    def _may_overwrite(self) -> bool:
        """Whether lanes without a filter, which hold zeros, may be stored, because what they overwrite is written later
        or never read."""
        return self.conv.y.bare and self.tile.rows == 1 and self.tile.filters == self.conv.shape.filters


@dataclass(frozen=True, eq=False)
class _Columns:
    """A piece of an output row: its first column and unit, its vectors, and its valid units."""

    first: Index
    unit: Index
    vectors: int
    units: int


@dataclass(frozen=True, eq=False)
class _AcrossRegion:
    """The position of a tile (first row of units, first filter, columns) and its size."""

    row: Index
    rows: int
    first: int
    filters: int
    columns: _Columns
