"""What the kernels of Winograd's convolution share: strips of tiles, and their values in the transformed domain.

The schedule.  The tiles of a few rows, a *strip*, are transformed together, so that their values stay in a core's L2
cache until they are used; a strip may go from one image to the next. Channels are in the lanes. The order of the terms
does not depend on the strip: each product of each tile is a sum over channels, in their order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.winograd_formula import WrittenLinear, both_ways
from layerline.compiler.kernels.winograd_weights import apart
from layerline.compiler.plane import ALIGN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernels.winograd_formula import Matrix, Winograd
    from layerline.compiler.kernels.winograd_weights import TransformedFilters
    from layerline.compiler.layout import BlockLayout
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer

STRIP_BYTES: Final = 384 * 1024
"""Transformed values of a strip: they stay in a core's L2 cache (1 MiB) together with the filters in use."""

FILLED: Final = 3
"""How much larger a strip may be if its tiles fill all blocks: idle sums cost more than what is beyond the L2 cache."""

SUMS: Final = 16
"""Most sums in registers at a time: enough to hide the latency of a multiply-add."""


def at_once(vectors: int, machine: Machine) -> int:
    """Return how many rows of sums, of that many vectors each, stay in registers."""
    return min(SUMS, machine.accumulators) // vectors


@dataclass(frozen=True)
class Tiling:
    """The tiles of images: rows × columns in each; and the rows of tiles in a strip."""

    winograd: Winograd
    rows: int
    columns: int
    strip: int

    @property
    def tiles(self) -> int:
        """Return the tiles of a whole strip."""
        return self.strip * self.columns

    @property
    def label(self) -> str:
        """Return it as it appears in symbols."""
        return f"{self.winograd.label}_{self.rows}x{self.columns}"


def tiling(winograd: Winograd, outputs: tuple[int, int], channels: int, together: int = 1, beside: int = 0) -> Tiling:
    """Return the tiling of images with some outputs; `channels` of all transformed values.

    together: a strip's tiles should fill blocks of that many. beside: the elements of sums for each product that every
    strip reads and writes: a strip may be as large as they are.
    """
    rows, columns = (-(-n // winograd.outputs) for n in outputs)
    limit = max(STRIP_BYTES, winograd.products * DType.F32.bytes * beside)
    row_bytes = winograd.products * DType.F32.bytes * columns * channels
    most = max(limit // row_bytes, -(-together // columns))
    whole = math.lcm(together, columns) // columns
    if whole * row_bytes <= FILLED * limit:
        most = max(most, whole)

    def filled(strip: int) -> float:
        tiles = strip * columns
        return tiles / (-(-tiles // together) * together)

    return Tiling(winograd, rows, columns, max(range(1, most + 1), key=lambda strip: (filled(strip), strip)))


@dataclass(frozen=True)
class Domain:
    """A strip's values in the transformed domain: [product][tile][channel]."""

    products: int
    tiles: int
    channels: int
    """Whole vectors of them."""

    @property
    def row(self) -> int:
        """Return the elements from one tile to the next."""
        return self.channels + (ALIGN if self.channels % (8 * ALIGN) == 0 else 0)

    @property
    def step(self) -> int:
        """Return the elements from one product to the next."""
        return apart(self.tiles * self.row)

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return self.products * self.step


def whole_vectors(channels: int, machine: Machine) -> int:
    """Return the channels, rounded up to whole vectors."""
    lanes = machine.lanes_for(channels)
    return -(-channels // lanes) * lanes


@dataclass(frozen=True, eq=False)
class Strip:
    """Some rows of tiles, numbered through all images."""

    of: Tiling
    first: Index
    count: Index

    @property
    def tiles(self) -> Index:
        """Return the number of tiles."""
        return self.count * self.of.columns

    def each_row(self, pen: Pen) -> Iterator[tuple[Index, Index, Index]]:
        """Write a loop over its rows; yields the image, the row in the image, and the number of its first tile."""
        with pen.loop("row", self.first + self.count, self.first) as row:
            n, i = divmod(row, self.of.rows) if self.of.rows > 1 else (row, pen.index(0))
            yield n, i, (row - self.first) * self.of.columns


def each_strip(pen: Pen, of: Tiling) -> Iterator[Strip]:
    """Write a loop over the strips of all images."""
    total = (pen.count("images") * of.rows).single
    with pen.loop("strip", total, 0, of.strip) as first:
        yield Strip(of, first, pen.smaller(total - first, of.strip).single)


@dataclass(frozen=True)
class Windows:
    """The windows of a plane that tiles are made from: the offset of the first, which is in the border if padded."""

    plane: Plane
    first: int

    @property
    def label(self) -> str:
        """Return it as it appears in symbols."""
        return f"{self.plane.label}a{self.first}"


def write_transform(
    pen: Pen, strip: Strip, source: tuple[Windows, Pointer], matrix: Matrix, to: tuple[Domain, Pointer]
) -> None:
    """Write a strip in the transformed domain: matrix · window · matrixᵀ of each tile and channel."""
    (windows, memory), (domain, v), plane, m = source, to, source[0].plane, strip.of.winograd.outputs
    lanes, width = pen.machine.lanes_for(plane.channels), range(len(matrix[0]))
    for n, i, t in strip.each_row(pen):
        row = pen.at(memory, plane.begin(n) + plane.step(i * m) + windows.first)
        line = pen.at(v, t * domain.row)
        with pen.loop("j", strip.of.columns) as j, pen.loop("c", domain.channels, step=lanes) as c:
            x, cell = pen.at(row, plane.step(0, j * m) + c), pen.at(line, j * domain.row + c)
            window = [[pen.load(x, plane.step(a, b), lanes) for b in width] for a in width]
            found = both_ways(WrittenLinear(pen), matrix, window)
            for number, value in enumerate(value for row_ in found for value in row_):
                pen.store(value, cell, number * domain.step)


def write_products(
    pen: Pen,
    strip: Strip,
    v: tuple[Domain, Pointer],
    u: tuple[TransformedFilters, Pointer],
    to: tuple[Domain, Pointer],
    together: int,
) -> None:
    """Write, for each product, tile and output, the sum over channels of v · u; `together` tiles at once.

    The last tiles of a strip may be none: what is computed of them is not used.
    """
    (values, memory), (layout, filters), (sums, result) = v, u, to
    with pen.loop("product", layout.winograd.products) as number:
        v_, u_, m_ = (
            pen.at(pointer, number * step)
            for pointer, step in ((memory, values.step), (filters, layout.step), (result, sums.step))
        )
        before = 0
        for block in layout.blocks:
            with pen.loop("block", block.count) as k:
                taps = pen.at(u_, k * (layout.channels * block.width) + before * layout.channels)
                with pen.loop("t", strip.tiles, 0, together) as t:
                    x = pen.at(v_, t * values.row)
                    y = pen.at(m_, t * sums.row + k * block.width + before)
                    _block(pen, (x, values.row), (taps, layout.channels), (y, sums.row), (together, block))
            before += block.count * block.width


def _block(
    pen: Pen,
    x: tuple[Pointer, int],
    u: tuple[Pointer, int],
    y: tuple[Pointer, int],
    size: tuple[int, BlockLayout],
) -> None:
    """Write the sums of some tiles and the outputs of a block."""
    (x_at, x_step), (u_at, channels), (y_at, y_step), (tiles, block) = x, u, y, size
    lanes, cells = block.lanes, [(t, v) for t in range(tiles) for v in range(block.vectors)]
    sums = {cell: pen.variable(pen.constant(0.0, lanes)) for cell in cells}
    with pen.loop("c", channels) as c:
        taps = [pen.load(u_at, c * block.width + v * lanes, lanes) for v in range(block.vectors)]
        for t in range(tiles):
            value = pen.broadcast(x_at, c + t * x_step, lanes)
            for v, tap in enumerate(taps):
                pen.write(sums[t, v], pen.fma(tap, value, pen.read(sums[t, v])))
    for t, v in cells:
        pen.store(pen.read(sums[t, v]), y_at, t * y_step + v * lanes)
