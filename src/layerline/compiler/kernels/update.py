"""Weight updates: reduction over shards, and the optimizer step.

Partial gradients are first reduced in the order of the shards. The update rules are in kernels/optimizers.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, reads, sets
from layerline.compiler.plane import item
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.optimizers import Optimizer
    from layerline.compiler.layout import Columns
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class Grid:
    """A tensor as rows of `length` numbers, `padded` elements apart; the padding stays zero."""

    rows: int
    length: int
    padded: int

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return self.rows * self.padded


@dataclass(frozen=True)
class Reduce(Kernel):
    """g = Σ over shards of the partial gradients, in order."""

    grid: Grid

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"partial": reads(self.grid.size), "g": sets(self.grid.size)}

    @property
    def symbol(self) -> str:
        return f"reduce_r{self.grid.rows}l{self.grid.length}p{self.grid.padded}"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return ("shards",)

    @property
    def slices(self) -> int:
        """Return the number of row chunks."""
        return row_chunks(self.grid)

    def write(self, pen: Pen) -> None:
        lanes = pen.machine.lanes_for(self.grid.length)
        for row in each_row(pen, self.grid):
            with pen.loop("j", self.grid.padded, step=lanes) as j:
                place = row * self.grid.padded + j
                pen.store(shard_sum(pen, pen.pointer("partial"), self.grid.size, place, lanes), pen.pointer("g"), place)


def shard_sum(pen: Pen, partial: Pointer, size: int, place: Index, lanes: int) -> Value:
    """Return one vector of a partial gradient, reduced over the shards in order, in float64, rounded once."""
    total = pen.variable(pen.convert(pen.load(partial, place, lanes), DType.F64))
    with pen.loop("shard", pen.count("shards"), pen.index(1)) as shard:
        part = pen.convert(pen.load(partial, item(shard, size) + place, lanes), DType.F64)
        pen.write(total, pen.add(pen.read(total), part))
    return pen.convert(pen.read(total), DType.F32)


@dataclass(frozen=True)
class Step(Kernel):
    """The optimizer step of a tensor. `partial`: g has one partial gradient per shard. `columns`: filters are also
    written as columns."""

    grid: Grid
    optimizer: Optimizer
    partial: bool = False
    columns: Columns | None = None

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        columns = {"w_columns": sets(self.columns)} if self.columns else {}
        return {"g": reads(self.grid.size), **self.optimizer.arguments(self.grid.size), **columns}

    @property
    def symbol(self) -> str:
        what = self.optimizer.label + "_partial" * self.partial
        return f"{what}_r{self.grid.rows}l{self.grid.length}p{self.grid.padded}{_label(self.columns)}"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return (*(("shards",) if self.partial else ()), *self.optimizer.scalars)

    @property
    def slices(self) -> int:
        """Return the number of row chunks."""
        return row_chunks(self.grid)

    def write(self, pen: Pen) -> None:
        grid, lanes = self.grid, pen.machine.lanes_for(self.grid.length)
        whole = grid.length - grid.length % lanes
        for row in each_row(pen, grid):
            start = row * grid.padded
            if whole:
                with pen.loop("j", whole, step=lanes) as j:
                    self._vector(pen, start + j, lanes, lanes)
            if grid.length % lanes:
                self._vector(pen, start + whole, lanes, grid.length % lanes)
            if self.columns:
                write_column(pen, self.columns, row, start)

    def _vector(self, pen: Pen, place: Index, lanes: int, count: int) -> None:
        g_at = pen.pointer("g")
        g = shard_sum(pen, g_at, self.grid.size, place, lanes) if self.partial else pen.load(g_at, place, lanes)
        self.optimizer.step(pen, pen.first_lanes(g, count, pen.constant(0.0, lanes)), place, lanes)


def _label(columns: Columns | None) -> str:
    if columns is None:
        return ""
    grouped = f"g{columns.groups}" * (columns.groups > 1)
    return f"_k{columns.runs}{grouped}__" + "_".join(f"{b.count}x{b.vectors}v{b.lanes}" for b in columns.blocks)


@dataclass(frozen=True)
class ToColumns(Kernel):
    """w_columns = the filters of w as columns."""

    grid: Grid
    columns: Columns

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"w": reads(self.grid.size), "w_columns": sets(self.columns)}

    @property
    def symbol(self) -> str:
        return f"to_columns_r{self.grid.rows}l{self.grid.length}p{self.grid.padded}{_label(self.columns)}"

    @property
    def slices(self) -> int:
        """Return the number of row chunks."""
        return row_chunks(self.grid)

    def write(self, pen: Pen) -> None:
        for row in each_row(pen, self.grid):
            write_column(pen, self.columns, row, row * self.grid.padded)


def write_column(pen: Pen, columns: Columns, row: Index, start: Index) -> None:
    """Copy a row of taps, which starts at `start`, to its column in the forward kernel's layout."""
    o, run = divmod(row, columns.runs)
    group, o = divmod(o, columns.group_filters) if columns.groups > 1 else (pen.index(0), o)
    place, base = pen.index(0), 0
    stride: Index | int = 0
    for block in columns.blocks:
        k, lane = divmod(o + -block.first, block.width)
        here = k * (columns.taps * block.width) + lane + base
        if base:
            later = o > block.first - 1
            before = pen.index(stride) if isinstance(stride, int) else stride
            place, stride = pen.chosen(later, here, place), pen.chosen(later, pen.index(block.width), before)
        else:
            place, stride = here, block.width
        base += block.count * block.width * columns.taps
    length = columns.length
    first = place + run * length * stride + group * columns.group_size
    together = next(number for number in (4, 3, 2, 1) if length % number == 0)
    with pen.loop("tap", length, step=together) as tap:
        for j in range(together):
            value = pen.load(pen.pointer("w"), start + tap + j)
            pen.store(value, pen.pointer("w_columns"), first + (tap + j) * stride)


MAX_CHUNKS: Final = 16
MIN_CHUNK_ELEMENTS: Final = 2048
"""Minimum elements per chunk: drawing one costs two atomic operations on shared counters."""


def row_chunks(grid: Grid) -> int:
    """Return the number of chunks that a tensor's rows are split into."""
    return max(1, min(grid.rows, MAX_CHUNKS, grid.size // MIN_CHUNK_ELEMENTS))


def each_row(pen: Pen, grid: Grid) -> Iterator[Index]:
    """Write a loop over the rows of chunk `item`; yields the row, once per chunk size."""
    done = 0
    for first, size, count in balanced(grid.rows, -(-grid.rows // row_chunks(grid))):
        item = pen.count("item") - done
        with (
            pen.when(item.within(count)),
            pen.loop("row", item * size + (first + size), item * size + first) as row,
        ):
            yield row
        done += count
