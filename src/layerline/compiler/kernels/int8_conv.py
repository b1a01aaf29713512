"""Convolutions and fully connected layers on 8-bit values.

The math.  x (C, H, W), w (O, C, R, S), int8, t int32: its head, then b (O), then M (O):
    a[o, p, q] = b[o] + Σ_c Σ_r Σ_s w[o, c, r, s] · x[c, p·sh + r·dh, q·sw + s·dw]
With a pool, the maximum of a over each window. Then y is the value of a (kernels/int8_values.py). x is read with its
border, which holds its zero point; b contains −z · Σ w, so that products of the zero point cancel. The sum is exact:
|b| + 128 · Σ |w| < 2³¹, which int8/scales.py checks. So neither order nor vectors matter to the bits.
A fully connected layer is a convolution whose kernel is the whole image.

The schedule.  Lanes run over the contiguous taps of a run. A tile is pixels × filters; with one lane it is small, for
chips with 13 registers. With a pool, a window is computed row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, reads, sets
from layerline.compiler.kernels.border import write_border
from layerline.compiler.kernels.int8_values import HEAD, Finish, border_value
from layerline.compiler.plane import item
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.layout import Rows
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value, Variable


@dataclass(frozen=True)
class Int8Tile:
    """The tile: adjacent pixels × filters."""

    pixels: int
    filters: int


def int8_tile(machine: Machine) -> Int8Tile:
    """Return the tile: sums, a value per pixel and weights per filter are in registers."""
    if machine.lanes == 1:
        return Int8Tile(2, 2)
    return Int8Tile(4, 4) if machine.registers > 16 else Int8Tile(3, 3)


def _filters(pen: Pen, shape: ConvShape, most: int) -> Iterator[tuple[Index, Index, int]]:
    """Write loops over groups and tiles of filters; yields (channel, filter, count): the first of each."""
    with pen.loop("g", shape.groups) as g:
        for o0, count, tiles in balanced(shape.group_filters, most):
            with pen.loop("o", tiles) as t:
                yield g * shape.group_channels, g * shape.group_filters + t * count + o0, count


def _sums(
    pen: Pen, shape: ConvShape, rows: Rows, memory: tuple[Pointer, Pointer], tile: Int8Tile
) -> dict[tuple[int, int], Value]:
    """Write the sums of products of adjacent pixels, from x at the first patch, and filters, from w at the first row.

    Returns one i32 for each (pixel, filter).
    """
    (x, w), lanes = memory, pen.machine.lanes_for(rows.length)
    zero = pen.constant(0, lanes, DType.I32)
    sums: dict[tuple[int, int], Variable] = {
        (m, k): pen.variable(zero) for m in range(tile.pixels) for k in range(tile.filters)
    }
    with pen.loop("run", rows.runs) as run:
        from_, weights = pen.at(x, shape.run(run)), pen.at(w, run * rows.padded)
        with pen.loop("j", rows.padded, step=lanes) as j:
            taps = [pen.load(weights, j + k * (rows.runs * rows.padded), lanes) for k in range(tile.filters)]
            for m in range(tile.pixels):
                value = pen.load(from_, j + shape.along(0, m), lanes)
                for k, tap in enumerate(taps):
                    pen.write(sums[m, k], pen.multiply_add(value, tap, pen.read(sums[m, k])))
    return {place: pen.fold(pen.read(total)) for place, total in sums.items()}


@dataclass(frozen=True)
class Int8Conv(Kernel):
    """y = the values of x ⋆ w + b, or of its maxima over windows that neither overlap nor are padded."""

    shape: ConvShape
    rows: Rows
    y: Plane
    tile: Int8Tile
    pool: tuple[int, int] = (1, 1)

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        numbers = HEAD + 2 * self.shape.filters
        x, w = reads(self.shape.x, DType.I8), reads(self.rows, DType.I8)
        return {"x8": x, "w8": w, "t": reads(numbers, DType.I32), "y8": sets(self.y, DType.I8)}

    @property
    def symbol(self) -> str:
        pooled = f"_pool{self.pool[0]}_{self.pool[1]}" if self.pool != (1, 1) else ""
        return f"int8_conv{pooled}_{self.shape.label}_{self.y.label}__{self.tile.pixels}x{self.tile.filters}"

    def multiply_adds(self, images: int) -> int:
        return self.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        shape, y, rows = self.shape, self.y, self.rows
        finish = Finish.loaded(pen)
        write_border(pen, "y8", y, border_value(pen))
        with pen.loop("n", pen.count("images")) as n:
            x, to = pen.at(pen.pointer("x8"), shape.x.begin(n)), pen.at(pen.pointer("y8"), y.at(n))
            for c, o, count in _filters(pen, shape, self.tile.filters):
                w = pen.at(pen.pointer("w8"), o * (rows.runs * rows.padded))
                with pen.loop("p", y.height) as p:
                    row, memory = pen.at(to, y.step(p, 0, o)), (pen.at(x, c), w)
                    if self.pool != (1, 1):
                        with pen.loop("q", y.width) as q:
                            self._store(
                                pen, finish, (self._window(pen, memory, p, q, count),), o, pen.at(row, y.step(0, q))
                            )
                        continue
                    for q0, pixels, tiles in balanced(y.width, self.tile.pixels):
                        with pen.loop("q", tiles) as t:
                            q = t * pixels + q0
                            patch = pen.at(memory[0], shape.patch(p, q))
                            sums = _sums(pen, shape, rows, (patch, w), Int8Tile(pixels, count))
                            lists = tuple([sums[m, k] for k in range(count)] for m in range(pixels))
                            self._store(pen, finish, lists, o, pen.at(row, y.step(0, q)))

    def _window(self, pen: Pen, memory: tuple[Pointer, Pointer], p: Index, q: Index, filters: int) -> list[Value]:
        """Write the largest sum of a pool's window, row by row; returns one for each filter."""
        (height, width), shape = self.pool, self.shape
        lowest = pen.constant(-(2**31), 1, DType.I32)
        largest = [pen.variable(lowest) for _ in range(filters)]
        with pen.loop("i", height) as i:
            patch = pen.at(memory[0], shape.patch(p, q, self.pool) + shape.x.step(i, 0, stride=shape.stride))
            for j0, pixels, tiles in balanced(width, self.tile.pixels):
                with pen.loop("j0", tiles) as t:
                    there = pen.at(patch, (t * pixels + j0) * shape.steps[1])
                    sums = _sums(pen, shape, self.rows, (there, memory[1]), Int8Tile(pixels, filters))
                    for (_, k), total in sums.items():
                        so_far = pen.read(largest[k])
                        pen.write(largest[k], pen.select(pen.greater(total, so_far), total, so_far))
        return [pen.read(one) for one in largest]

    def _store(self, pen: Pen, finish: Finish, sums: tuple[list[Value], ...], o: Index, to: Pointer) -> None:
        """Store the values of sums, pixel by pixel, filter by filter, from filter o on."""
        t, filters = pen.at(pen.pointer("t"), o + HEAD), self.shape.filters
        for k in range(len(sums[0])):
            bias, factor = pen.load(t, k), pen.load(t, k + filters)
            for m, of_pixel in enumerate(sums):
                value = finish.value(pen, pen.add(of_pixel[k], bias), factor)
                pen.store(value, to, self.y.step(0, m) + k)


@dataclass(frozen=True)
class Int8Scores(Kernel):
    """z[o] = (b[o] + Σ w[o] · x) · s[o] as float32, rounded once to convert the sum and once for the product: the last
    layer, whose results are not 8-bit values."""

    shape: ConvShape
    rows: Rows
    tile: Int8Tile

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        O = self.shape.filters
        x, w = reads(self.shape.x, DType.I8), reads(self.rows, DType.I8)
        return {"x8": x, "w8": w, "t": reads(O, DType.I32), "s": reads(O), "z": sets(O)}

    @property
    def symbol(self) -> str:
        return f"int8_scores_{self.shape.label}__{self.tile.filters}"

    def multiply_adds(self, images: int) -> int:
        return self.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        shape, rows = self.shape, self.rows
        with pen.loop("n", pen.count("images")) as n:
            x = pen.at(pen.pointer("x8"), shape.x.begin(n) + shape.first)
            z = pen.at(pen.pointer("z"), item(n, shape.filters))
            for c, o, count in _filters(pen, shape, self.tile.filters):
                w = pen.at(pen.pointer("w8"), o * (rows.runs * rows.padded))
                sums = _sums(pen, shape, rows, (pen.at(x, c), w), Int8Tile(1, count))
                for k in range(count):
                    total = pen.add(sums[0, k], pen.load(pen.pointer("t"), o + k))
                    score = pen.mul(pen.convert(total, DType.F32), pen.load(pen.pointer("s"), o + k))
                    pen.store(score, z, o + k)
