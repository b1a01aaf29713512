"""Convolution, backward, after a max pool: both gradients, computed only from outputs with a nonzero gradient.

The math.  dw and dx as in kernels/conv_gradients.py. dy is the gradient of the pooled values: it belongs to the output
at `at`, the position of the window's maximum. Where it is zero, nothing is added; NaN is not zero.
    dw[o] += Σ_n Σ_p Σ_q dy[o, p, q] · (the patch of x at the position), in the order n, p, q
    dx     = Σ_p Σ_q Σ_block Σ_position (Σ_o dy[o, p, q] · w[o])
A sum over o, the filters of a block whose maximum is at a position, is added to the patch of dx at that position, in
the order p, q, block of 64 filters, position (row by row). Positions may repeat.

The schedule.  After a 2×2 pool at most one output in four has a gradient, and after a ReLU about half of those. Vectors
of gradients are compared with zero, vectors of positions with each position, and the results become the bits of an
integer. A loop over its ones visits the filters, or the windows, that count, with no branch for the others. Lanes run
over the taps of a run, as in ConvInput. ConvPooledInput keeps the sum of a position in registers, runs × vectors of a
patch, and updates dx once per position. ConvPooledFilters keeps runs × vectors of a filter in registers for up to 64
windows, whose patches stay in the L1 cache for all filters (decisions/0011).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.conv_gradients import ConvFilters, filters_tile, owned_filters
from layerline.compiler.kernels.loops import clear
from layerline.compiler.plane import Places, Plane, item
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import Convolution, ConvShape
    from layerline.compiler.kernels.conv_gradients import ConvInput
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value, Variable

BITS: Final = 64
"""Maximum filters, or windows, per integer."""
FILTERS_FROM: Final = 6
"""Minimum vectors per patch for ConvPooledFilters. A multiply-add takes four cycles, so fewer of them wait for each
other. After a ReLU it takes 1.5 times ConvFilters' time with 3, as long with 5, 0.4 to 0.8 times with 10 and 18."""
WINDOWS_FROM: Final = 8
"""Minimum windows for ConvPooledFilters, which reads and writes a filter's gradient once per image: with 4 windows and
512 filters of 512 channels it takes twice ConvFilters' time."""
INPUT_FROM: Final = 3
"""Minimum vectors per patch for ConvPooledInput. With 3×3 and 5×5 kernels, a 2×2 pool and a ReLU it is 1.4 to 6 times
as fast as Unpool and ConvInput; with 1×1 kernels and 16 channels, half as fast (Zen 5, 8 and 16 lanes, 2026-11-29)."""


def pooled_filters(plain: ConvFilters, conv: Convolution, machine: Machine) -> ConvFilters | ConvPooledFilters:
    """Return the kernel for the filter gradient of a pooled convolution, given the one without a pool."""
    windows = conv.units[0] * conv.units[1]
    if patch_vectors(conv.shape, machine) >= FILTERS_FROM and windows >= WINDOWS_FROM:
        tile, filters = patch_tile(conv.shape, machine), compared(conv.shape, machine)
        return ConvPooledFilters(conv.shape, conv.y, conv.pool, tile, filters, plain.owned)
    return replace(plain, dy=conv.y, tile=filters_tile(conv.shape, machine, places=True), places=True, window=conv.pool)


def pooled_input(plain: ConvInput, conv: Convolution, machine: Machine) -> ConvPooledInput | None:
    """Return the kernel for the input gradient of a pooled convolution, or None if the one without a pool is faster."""
    if patch_vectors(conv.shape, machine) >= INPUT_FROM:
        return ConvPooledInput(conv.shape, conv.y, conv.pool, patch_tile(conv.shape, machine), plain.add)
    return None


def patch_vectors(shape: ConvShape, machine: Machine) -> int:
    """Return the number of vectors in a patch, or in a filter."""
    rows = shape.rows(machine)
    return rows.runs * (rows.padded // machine.lanes_for(rows.length))


@dataclass(frozen=True)
class PatchTile:
    """The tile of both kernels: runs × vectors of a patch, or of a filter, in registers."""

    runs: int
    vectors: int


def patch_tile(shape: ConvShape, machine: Machine) -> PatchTile:
    """Return the tile of both kernels."""
    rows, most = shape.rows(machine), machine.accumulators
    vectors = balanced(rows.padded // machine.lanes_for(rows.length), most)[0][1]
    return PatchTile(balanced(rows.runs, most // vectors)[0][1], vectors)


def compared(shape: ConvShape, machine: Machine) -> int:
    """Return how many filters' gradients ConvPooledFilters compares at once: one lane of BITS bits each."""
    return min(machine.lanes_for(shape.group_filters), max(1, machine.lanes // 2))


@dataclass(frozen=True)
class ConvPooledFilters(Kernel):
    """dw += Σ over images and windows of dy · the patch of x at the position of the maximum."""

    shape: ConvShape
    dy: Plane
    """The layout of dy: one pixel per window."""
    window: tuple[int, int]
    tile: PatchTile
    filters: int
    """Filters whose gradients are compared at once, each in its own lane."""
    owned: bool = False
    """If true, an item owns some filters and sums them over the whole batch; else dw is a shard's partial gradient."""

    @property
    def slices(self) -> int | None:
        """Return the number of filter chunks, if items own them."""
        return self.shape.groups * sum(count for _, _, count in self._pieces) if self.owned else None

    @property
    def _pieces(self) -> list[tuple[int, int, int]]:
        return balanced(self.shape.group_filters, self.filters)

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        dw = (sets if self.owned else adds)(self.shape.filters * self.shape.taps)
        return {"x": reads(self.shape.x), **_gradient(self), "dw": dw}

    @property
    def symbol(self) -> str:
        return f"{_symbol(self, 'conv_pooled_filters' + '_owned' * self.owned)}f{self.filters}"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return ("images",) if self.owned else ()

    def multiply_adds(self, images: int) -> int:
        return images * self.dy.height * self.dy.width * self.shape.filters * self.shape.taps

    def write(self, pen: Pen) -> None:
        if not self.owned:
            with pen.loop("n", pen.count("images")) as n, pen.loop("g", self.shape.groups) as g:
                for block in self._blocks(pen):
                    for o0, filters, pieces in self._pieces:
                        with pen.loop("o", pieces) as o:
                            self._filters(pen, n, (g, o * filters + o0, filters), block)
            return
        for g, o, filters in owned_filters(pen, self.shape, self._pieces):
            with pen.loop("n", pen.count("images")) as n:
                for block in self._blocks(pen):
                    self._filters(pen, n, (g, o, filters), block)

    def _blocks(self, pen: Pen) -> Iterator[_Block]:
        """Write a loop over blocks of at most BITS windows; yields each."""
        for p0, height, p_blocks in balanced(self.dy.height, max(1, BITS // self.dy.width)):
            for q0, width, q_blocks in balanced(self.dy.width, BITS):
                with pen.loop("p", p_blocks) as p, pen.loop("q", q_blocks) as q:
                    yield _Block(p * height + p0, q * width + q0, height, width)

    def _filters(self, pen: Pen, n: Index, piece: tuple[Index, Index, int], block: _Block) -> None:
        """Add a block's windows to a chunk of filters: its group, its first filter in the group, its size."""
        (group, first, filters), shape, (p, q) = piece, self.shape, (block.p, block.q)
        o, size = group * shape.group_filters + first, shape.rows(pen.machine).size // shape.filters
        corner = shape.patch(p, q, self.window) + group * shape.group_channels
        x = pen.at(pen.pointer("x"), shape.x.begin(n) + corner)
        dy = pen.at(pen.pointer("dy"), self.dy.at(n, p, q, o))
        at = pen.at(pen.pointer("at"), item(n, self.dy.inside.size) + self.dy.rank(p, q, o))
        dw, ones = pen.at(pen.pointer("dw"), o * size), self._ones(pen, dy, filters, block)
        with pen.loop("f", filters) as f:
            memory = (x, pen.at(dy, f), pen.at(at, f), pen.at(dw, f * size))
            for cells in _tiles(pen, shape, self.tile):
                self._tile(pen, pen.lane(ones, f), block, cells, memory)

    def _ones(self, pen: Pen, dy: Pointer, filters: int, block: _Block) -> Value:
        """Return one lane per filter: the bits of the windows with a nonzero gradient."""
        lanes = pen.machine.lanes_for(filters)
        zero, bit = pen.constant(0.0, lanes), pen.variable(pen.constant(1, lanes, DType.I64))
        found = pen.variable(pen.constant(0, lanes, DType.I64))
        with pen.loop("a", block.height) as a, pen.loop("b", block.width) as b:
            none, so_far = pen.equal(pen.load(dy, self.dy.step(a, b), lanes), zero), pen.read(found)
            pen.write(found, pen.select(none, so_far, pen.either(so_far, pen.read(bit))))
            pen.write(bit, pen.add(pen.read(bit), pen.read(bit)))
        return pen.read(found)

    def _tile(self, pen: Pen, bits: Value, block: _Block, cells: list[_Cell], memory: tuple[Pointer, ...]) -> None:
        """Add the windows in `bits` to a tile of one filter."""
        (x, dy, at, dw), (ph, pw), (sh, sw) = memory, self.window, self.shape.stride
        sums = [pen.variable(pen.load(dw, cell.filter, cell.lanes)) for cell in cells]
        with pen.ones(bits, block.height * block.width) as number:
            a, b = divmod(number, block.width) if block.height > 1 else (pen.index(0), number)
            place = pen.as_index(pen.load(at, self.dy.rank(a, b)))
            patch = pen.at(x, self.shape.x.step(a, b, stride=(ph * sh, pw * sw)) + place)
            _add(pen, pen.load(dy, self.dy.step(a, b)), [pen.load(patch, c.image, c.lanes) for c in cells], sums)
        for cell, total in zip(cells, sums, strict=True):
            pen.store(pen.read(total), dw, cell.filter)


@dataclass(frozen=True, eq=False)
class _Block:
    """Windows that share an integer: the first, and the number of rows and columns."""

    p: Index
    q: Index
    height: int
    width: int


@dataclass(frozen=True)
class ConvPooledInput(Kernel):
    """dx = (set) or dx += (add) the sum over windows and filters of dy · w, at the position of the maximum."""

    shape: ConvShape
    dy: Plane
    """The layout of dy: one pixel per window."""
    window: tuple[int, int]
    tile: PatchTile
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        w, dx = reads(self.shape.filters * self.shape.taps), (adds if self.add else sets)(self.shape.x)
        return {**_gradient(self), "w": w, "dx": dx}

    @property
    def symbol(self) -> str:
        return _symbol(self, "conv_pooled_input_add" if self.add else "conv_pooled_input")

    def multiply_adds(self, images: int) -> int:
        return images * self.dy.height * self.dy.width * self.shape.filters * self.shape.taps

    def write(self, pen: Pen) -> None:
        shape, dy = self.shape, self.dy
        with pen.loop("n", pen.count("images")) as n:
            begin = shape.x.begin(n)
            if not self.add:
                clear(pen, pen.at(pen.pointer("dx"), begin), shape.x.size)
            with pen.loop("p", dy.height) as p, pen.loop("q", dy.width) as q, pen.loop("g", shape.groups) as g:
                dx = pen.at(pen.pointer("dx"), begin + shape.patch(p, q, self.window) + g * shape.group_channels)
                for first, filters in self._blocks(pen):
                    o = g * shape.group_filters + first
                    at = pen.at(pen.pointer("at"), item(n, dy.inside.size) + dy.rank(p, q, o))
                    w = pen.at(pen.pointer("w"), o * (shape.rows(pen.machine).size // shape.filters))
                    self._window(pen, filters, (pen.at(pen.pointer("dy"), dy.at(n, p, q, o)), at, w, dx))

    def _blocks(self, pen: Pen) -> Iterator[tuple[Index, int]]:
        """Write a loop over a group's blocks of BITS filters, then the remainder; yields (first filter, size)."""
        whole, rest = divmod(self.shape.group_filters, BITS)
        if whole:
            with pen.loop("block", whole) as block:
                yield block * BITS, BITS
        if rest:
            yield pen.index(whole * BITS), rest

    def _window(self, pen: Pen, filters: int, memory: tuple[Pointer, Pointer, Pointer, Pointer]) -> None:
        """Add the gradients of one window and some filters, position by position."""
        dy, at, w, dx = memory
        places = self.shape.places(self.window)
        for place, bits in zip(places, self._ones(pen, filters, places, (dy, at)), strict=True):
            with pen.when(pen.below(pen.like(bits, 0), bits)):
                for cells in _tiles(pen, self.shape, self.tile):
                    self._tile(pen, bits, filters, cells, (dy, w, pen.at(dx, place)))

    def _ones(self, pen: Pen, filters: int, places: list[int], memory: tuple[Pointer, Pointer]) -> list[Value]:
        """Return, for each position, the bits of the filters with a nonzero gradient there."""
        lanes, (dy, at) = pen.machine.lanes_for(filters), memory
        found: list[list[Value]] = [[] for _ in places]
        for o in range(0, filters, lanes):
            some = pen.negation(pen.equal(pen.load(dy, o, lanes), pen.constant(0.0, lanes)))
            there = pen.load(at, o, lanes)
            for place, of_place in zip(places, found, strict=True):
                of_place.append(pen.both(some, pen.equal(there, pen.constant(place, lanes, DType.I32))))
        return [pen.masked(pen.packed(of_place), (1 << filters) - 1) for of_place in found]

    def _tile(
        self, pen: Pen, bits: Value, filters: int, cells: list[_Cell], memory: tuple[Pointer, Pointer, Pointer]
    ) -> None:
        """Add the sum over the filters in `bits` to a tile of one patch of dx."""
        (dy, w, dx), size = memory, self.shape.rows(pen.machine).size // self.shape.filters
        sums = [pen.variable(pen.constant(0.0, cell.lanes)) for cell in cells]
        with pen.ones(bits, filters) as o:
            taps = pen.at(w, o * size)
            _add(pen, pen.load(dy, o), [pen.load(taps, cell.filter, cell.lanes) for cell in cells], sums)
        for cell, total in zip(cells, sums, strict=True):
            pen.store(pen.add(pen.load(dx, cell.image, cell.lanes), pen.read(total)), dx, cell.image)


@dataclass(frozen=True, eq=False)
class _Cell:
    """A vector of a patch: its offset in an image, and in a filter."""

    image: Index
    filter: Index
    lanes: int


def _tiles(pen: Pen, shape: ConvShape, tile: PatchTile) -> Iterator[list[_Cell]]:
    """Write a loop over the tiles of a patch; yields the vectors of each."""
    rows, lanes = shape.rows(pen.machine), pen.machine.lanes_for(shape.run_length)
    for v0, vectors, v_tiles in balanced(rows.padded // lanes, tile.vectors):
        for k0, runs, k_tiles in balanced(rows.runs, tile.runs):
            with pen.loop("v", v_tiles) as v, pen.loop("k", k_tiles) as k:
                first, j = k * runs + k0, (v * vectors + v0) * lanes
                yield [
                    _Cell(shape.run(first + r) + j + i * lanes, (first + r) * rows.padded + j + i * lanes, lanes)
                    for r in range(runs)
                    for i in range(vectors)
                ]


def _add(pen: Pen, dy: Value, vectors: list[Value], sums: list[Variable]) -> None:
    """Add dy · each vector to its sum."""
    for vector, total in zip(vectors, sums, strict=True):
        pen.write(total, pen.fma(pen.splat(dy, vector.lanes), vector, pen.read(total)))


def _gradient(kernel: ConvPooledFilters | ConvPooledInput) -> dict[str, KernelArgument]:
    """Return the arguments that both kernels read: the gradients of the windows, and their positions."""
    at = Places(kernel.dy.inside.size, kernel.shape.steps, kernel.window)
    return {"dy": reads(kernel.dy), "at": reads(at, DType.I32)}


def _symbol(kernel: ConvPooledFilters | ConvPooledInput, what: str) -> str:
    (a, b), tile = kernel.window, kernel.tile
    return f"{what}_{a}_{b}_{kernel.shape.label}_{kernel.dy.label}__{tile.runs}x{tile.vectors}"
