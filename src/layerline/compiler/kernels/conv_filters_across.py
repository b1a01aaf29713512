"""The filter gradient of a pooled convolution of gray images, with adjacent windows in the lanes.

The math.  dw of kernels/conv_gradients.py, over the positions of a pool.

The schedule.  ConvFilters loads a patch for every window and filter, in rows of taps: 5 of 8 lanes for a 5×5 kernel on
a gray image, and two rows in five lie in two cache lines. Here a lane is a window. For a position (a, b) in its window,
tap (r, s) is the pixel a·sh + r·dh rows and b·sw + s·dw columns from the window's own, so all addresses are known: each
row loads its columns, b selects between them lane by lane, and each a has its own gradients, zero where the maximum is
in another row. Of a 2×2 pool that is a selection and two multiply-adds per tap and vector of windows. There is a vector
of sums per tap, whose lanes are added up once per call.

Before that, once per image, the columns are brought into vectors of windows, one per offset in a row, and the gradients
and positions, whose filters are adjacent in memory, into vectors per filter; positions come so from conv_across. The
columns stay in a core's L1 cache. A gradient of zero adds 0 · x, which is NaN if x is infinite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, owns, reads
from layerline.compiler.kernels.conv_pooled import patch_vectors
from layerline.compiler.kernels.loops import clear
from layerline.compiler.plane import Places, item
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.kernels.conv_gradients import ConvFilters
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value, Variable

COLUMNS_BYTES: Final = 24 * 1024
"""The columns at most, which every filter reads: half of an L1 cache of 48 kB."""
WORK_BYTES: Final = 192 * 1024
"""The workspace at most: it stays in the L2 cache."""
PICKED: Final = 8
"""Filters up to which a row of gradients is sorted by filter with n − 1 shuffles for each of n; more are transposed."""
GAIN: Final = 0.8
"""Maximum ratio of vector operations to those of ConvFilters, since each takes a little longer."""
SORTING: Final = 16
"""Vector operations per vector of windows besides multiply-adds: sorting, selecting, and loading them."""
MASKED: Final = 32
"""Registers from which on masks have registers of their own: AVX-512."""
CROSSING: Final = 1.4
"""Loads per vector of a patch, since some lie in two cache lines."""


def filters_across(plain: ConvFilters, machine: Machine) -> ConvFiltersAcross | None:
    """Return the kernel that replaces a ConvFilters, or None if that one takes fewer vector operations."""
    shape, (ph, pw), (P, Q) = plain.shape, plain.window, (plain.dy.height, plain.dy.width)
    lanes, (R, S) = machine.lanes_for(Q), shape.kernel
    free = machine.registers - 5 - ph - (pw - 1) * (machine.registers < MASKED)
    if not plain.places or plain.owned or shape.x.channels > 1 or lanes == 1 or free < S:
        return None
    at_once = balanced(R, free // S)[0][1]
    there = P * Q * (CROSSING * patch_vectors(shape, machine) + 2)
    here = P * -(-Q // lanes) * (ph * R * S + SORTING * -(-R // at_once)) + 2 * R * S
    kernel = ConvFiltersAcross(shape, plain.dy, plain.window, at_once, lanes)
    return kernel if here < GAIN * there and kernel.stays_in_caches else None


@dataclass(frozen=True)
class ConvFiltersAcross(Kernel):
    """dw += Σ over images and windows of dy · the patch of x at the position of the maximum; x has one channel."""

    shape: ConvShape
    dy: Plane
    """The layout of dy: one pixel per window."""
    window: tuple[int, int]
    rows: int
    """Kernel rows accumulated at once."""
    lanes: int
    planar: bool = False
    """Whether positions come filter by filter, in rows of whole vectors."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        shape, at = self.shape, Places(self.dy.inside.size, self.shape.steps, self.window)
        if self.planar:
            at = Places(shape.filters * self.dy.height * self.across, shape.steps, self.window, self.across)
        windows = {"x": reads(shape.x), "dy": reads(self.dy), "at": reads(at, DType.I32)}
        return {**windows, "dw": adds(shape.filters * shape.taps), "work": owns(self.workspace)}

    @property
    def symbol(self) -> str:
        (a, b), places = self.window, "p" * self.planar
        return f"conv_filters_across_{a}_{b}_{self.shape.label}_{self.dy.label}__{self.rows}v{self.lanes}{places}"

    def multiply_adds(self, images: int) -> int:
        return images * self.dy.height * self.dy.width * self.shape.filters * self.shape.taps

    # -- the workspace: sums of taps, gradients and positions by filter, columns ----------------------------------

    @property
    def workspace(self) -> int:
        """Return its number of elements."""
        return self._columns_at + self._height * len(self._offsets) * self.across

    @property
    def stays_in_caches(self) -> bool:
        """Whether the workspace is small enough."""
        return 4 * (self.workspace - self._columns_at) <= COLUMNS_BYTES and 4 * self.workspace <= WORK_BYTES

    @property
    def _sums(self) -> int:
        """Return the elements of the sums: a vector per tap and filter."""
        return self.shape.filters * self.shape.taps * self.lanes

    @property
    def _columns_at(self) -> int:
        """Return where the columns begin: after the sums, and the gradients and positions of each filter."""
        return self._sums + (2 - self.planar) * self.shape.filters * self.dy.height * self.across

    @property
    def across(self) -> int:
        """Return the elements of a row of windows, in whole vectors."""
        return -(-self.dy.width // self.lanes) * self.lanes

    @property
    def _offsets(self) -> list[int]:
        """Return the distances of all columns that a window's taps need from the window's own column."""
        (_, S), sw, dw = self.shape.kernel, self.shape.stride[1], self.shape.dilation[1]
        return sorted({b * sw + s * dw for b in range(self.window[1]) for s in range(S)})

    @property
    def _height(self) -> int:
        """Return the rows of x that the windows need, from that of the first patch."""
        (R, _), sh, dh = self.shape.kernel, self.shape.stride[0], self.shape.dilation[0]
        return (self.dy.height * self.window[0] - 1) * sh + (R - 1) * dh + 1

    # -- the code ------------------------------------------------------------------------------------------

    def write(self, pen: Pen) -> None:
        (R, S), work, dw = self.shape.kernel, pen.pointer("work"), pen.pointer("dw")
        clear(pen, work, self.workspace, self.lanes)
        with pen.loop("n", pen.count("images")) as n:
            self._write_columns(pen, n)
            self._write_gradients(pen, n)
            with pen.loop("o", self.shape.filters) as o:
                for first, rows, tiles in balanced(R, self.rows):
                    for row in range(first, first + rows * tiles, rows):
                        self._tile(pen, n, o, range(row, row + rows))
        with pen.loop("o", self.shape.filters) as o, pen.loop("r", R) as r, pen.loop("s", S) as s:
            total, place = pen.fold(pen.load(work, self._sum(o, r, s), self.lanes)), self._tap(pen, o, r, s)
            pen.store(pen.add(pen.load(dw, place), total), dw, place)

    def _sum(self, o: Index, r: Index | int, s: Index | int) -> Index:
        """Return where a tap's vector of sums is in the workspace."""
        R, S = self.shape.kernel
        return (o * (R * S) + r * S + s) * self.lanes

    def _tap(self, pen: Pen, o: Index, r: Index, s: Index) -> Index:
        """Return where a tap is in dw, whose rows are runs of taps: kernel rows, or with dilation single taps."""
        rows = self.shape.rows(pen.machine)
        run, first = (r * self.shape.kernel[1] + s, s * 0) if self.shape.run_length == 1 else (r, s)
        return (o * rows.runs + run) * rows.padded + first

    def _write_columns(self, pen: Pen, n: Index) -> None:
        """Write, for each row of x and each offset, the vectors of windows; lanes without a window stay 0."""
        x, offsets, lanes, step = self.shape.x, self._offsets, self.lanes, self.window[1] * self.shape.stride[1]
        with pen.loop("t", self._height) as t:
            row = pen.at(pen.pointer("x"), x.begin(n) + x.step(t) + self.shape.first)
            to = pen.at(pen.pointer("work"), t * (len(offsets) * self.across) + self._columns_at)
            for first in range(0, self.dy.width, lanes):
                windows = min(lanes, self.dy.width - first)
                needed = -(-((windows - 1) * step + offsets[-1] + 1) // lanes)
                loaded = [pen.load(row, first * step + k * lanes, lanes) for k in range(needed)]
                for number, offset in enumerate(offsets):
                    pen.store(pen.picked(loaded, offset, step, lanes), to, number * self.across + first, windows)

    def _write_gradients(self, pen: Pen, n: Index) -> None:
        """Write, for each filter and row of windows, the gradients and the positions; lanes without a window stay 0."""
        dy, lanes = self.dy, self.lanes
        with pen.loop("p", dy.height) as p:
            for which, begin in enumerate((dy.at(n, p), item(n, dy.inside.size) + dy.rank(p, pen.index(0)))):
                if which and self.planar:
                    continue
                row = pen.at(pen.pointer(("dy", "at")[which]), begin)
                for first in range(0, dy.width, lanes):
                    windows = min(lanes, dy.width - first)
                    for o, vectors in self._by_filter(pen, row, first, windows):
                        for k, vector in enumerate(vectors):
                            line = pen.bits(vector, DType.F32) if which else vector
                            pen.store(line, pen.pointer("work"), self._gradient(o + k, p, which) + first, windows)

    def _gradient(self, o: Index, p: Index, which: int) -> Index:
        """Return where a filter's gradients of a row of windows are in the workspace, or (1) its positions."""
        per_filter = self.dy.height * self.across
        return o * per_filter + p * self.across + (self._sums + which * self.shape.filters * per_filter)

    def _by_filter(self, pen: Pen, row: Pointer, first: int, windows: int) -> Iterator[tuple[Index, list[Value]]]:
        """Yield the vectors of some windows, filter by filter, with the number of the first filter."""
        lanes, O = self.lanes, self.shape.filters
        if O <= PICKED:
            loaded = [pen.load(row, first * O + k * lanes, lanes) for k in range(-(-windows * O // lanes))]
            yield pen.index(0), [pen.picked(loaded, o, O, lanes) for o in range(O)]
            return
        none, (whole, rest) = pen.constant(0, lanes, row.dtype), divmod(O, lanes)
        for o, filters, blocks in ((0, lanes, whole), (whole * lanes, rest, bool(rest))):
            if blocks:
                with pen.loop("block", blocks) as block:
                    place = block * lanes + o
                    windows_of = [pen.load(row, place + (first + q) * O, lanes) for q in range(windows)]
                    yield place, pen.woven([*windows_of, *[none] * (lanes - windows)])[:filters]

    def _tile(self, pen: Pen, n: Index, o: Index, taps: range) -> None:
        """Accumulate some kernel rows of a filter over the windows of an image."""
        (S, lanes), work = (self.shape.kernel[1], self.lanes), pen.pointer("work")
        places = {(r, s): self._sum(o, r, s) for r in taps for s in range(S)}
        sums = {tap: pen.variable(pen.load(work, place, lanes)) for tap, place in places.items()}
        down, row = self.window[0] * self.shape.stride[0], len(self._offsets) * self.across
        with pen.loop("p", self.dy.height) as p, pen.loop("v", self.across, step=lanes) as v:
            gradient, at = pen.load(work, self._gradient(o, p, 0) + v, lanes), self._positions(pen, n, o, p, v)
            columns = pen.at(work, p * (down * row) + v + self._columns_at)
            self._windows(pen, sums, self._by_row(pen, gradient, at), at, columns)
        for tap, total in sums.items():
            pen.store(pen.read(total), work, places[tap])

    def _positions(self, pen: Pen, n: Index, o: Index, p: Index, v: Index) -> Value:
        """Return the positions of a vector of windows."""
        if self.planar:
            of_image = item(n, self.arguments["at"].elements)
            return pen.load(pen.pointer("at"), of_image + (o * self.dy.height + p) * self.across + v, self.lanes)
        return pen.bits(pen.load(pen.pointer("work"), self._gradient(o, p, 1) + v, self.lanes), DType.I32)

    def _by_row(self, pen: Pen, gradient: Value, at: Value) -> list[Value]:
        """Return, for each row of a window, the gradients of the windows with their maximum in it, and 0 elsewhere."""
        zero, found = pen.constant(0.0, self.lanes), []
        for a in range(1, self.window[0]):
            above = pen.below(
                at, pen.constant(self.shape.places(self.window)[a * self.window[1]], self.lanes, DType.I32)
            )
            found.append(pen.select(above, gradient, zero))
            gradient = pen.select(above, zero, gradient)
        return [*found, gradient]

    def _windows(
        self, pen: Pen, sums: dict[tuple[int, int], Variable], gradients: list[Value], at: Value, columns: Pointer
    ) -> None:
        """Add the terms of a vector of windows."""
        (ph, pw), (sh, sw), (dh, dw) = self.window, self.shape.stride, self.shape.dilation
        places, offsets, lanes = self.shape.places(self.window), self._offsets, self.lanes
        there = [pen.constant(place, lanes, DType.I32) for place in places]
        in_column = [_any(pen, [pen.equal(at, there[a * pw + b]) for a in range(ph)]) for b in range(1, pw)]
        terms: dict[int, list[tuple[int, int]]] = {}
        for r in dict.fromkeys(r for r, _ in sums):
            for a in range(ph):
                terms.setdefault(a * sh + r * dh, []).append((a, r))
        for t, pairs in sorted(terms.items()):
            row = [
                pen.load(columns, (t * len(offsets) + number) * self.across, lanes) for number in range(len(offsets))
            ]
            for s in range(self.shape.kernel[1]):
                x = row[offsets.index(s * dw)]
                for b, chosen in enumerate(in_column, 1):
                    x = pen.select(chosen, row[offsets.index(b * sw + s * dw)], x)
                for a, r in pairs:
                    pen.write(sums[r, s], pen.fma(gradients[a], x, pen.read(sums[r, s])))


def _any(pen: Pen, conditions: list[Value]) -> Value:
    """Return whether one of several conditions holds."""
    found = conditions[0]
    for condition in conditions[1:]:
        found = pen.either(found, condition)
    return found
