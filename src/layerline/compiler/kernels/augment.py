"""Loading with augmentation: converts an image's bytes to floats with a zero border, shifted, warped, cut out and lit.

The math.  That of `data.augment.steps`, whose `apply` is the reference: source positions from the tables `moves` and
`numbers` (one row per image of the batch), cutout, v·gain + offset, v·scale + shift; float32, each product and sum
rounded separately. All random numbers are drawn beforehand; this kernel is deterministic.

The schedule.  Shifts by whole pixels copy the inside part of a row in vectors; the last vector is moved back to end
where that part ends. A flipped row of one channel does the same with reversed lanes. Images with planar channels,
per-channel scales or flipped color rows are copied value by value, as are the few columns from outside and everything
that is warped: four source positions per pixel, whose address arithmetic the channels share. Bounds are checked per
position only if one of the four is outside. No byte outside the image is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, given, reads, sets
from layerline.compiler.kernels.loops import vectors
from layerline.data.augment.steps import MOVES, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value
    from layerline.data.augment.steps import Steps

PERIODS: Final = 2**20
"""Periods added to a position before mirroring, to make it nonnegative: more than any shift at zoom 0.1 needs."""


@dataclass(frozen=True)
class Augment(Kernel):
    """x = the images listed in `order`, augmented, · scale + shift."""

    x: Plane
    source: DType
    channels_last: bool
    even: bool
    """Whether all channels share one scale and shift."""
    steps: Steps

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {
            "images": given(self.source),
            "order": reads(1, DType.I64),
            "moves": reads(len(MOVES), DType.I32),
            "numbers": reads(len(NUMBERS)),
            "scale": given(),
            "shift": given(),
            "x": sets(self.x),
        }

    @property
    def symbol(self) -> str:
        order, scaling = "hwc" if self.channels_last else "chw", "even" if self.even else "each"
        return f"augment_{self.steps.label}_{self.source.value}_{order}_{scaling}_{self.x.label}"

    def write(self, pen: Pen) -> None:
        with pen.loop("n", pen.count("images")) as n:
            image = _Image(self, pen, n)
            if self.steps.warp:
                image.warp()
            else:
                image.move()
            if self.steps.cutout:
                image.cut()


class _Image:
    """Writes the code for one image; its row of the tables is in registers."""

    def __init__(self, kernel: Augment, pen: Pen, n: Index) -> None:
        self.pen, self.kernel = pen, kernel
        self.C, self.H, self.W = kernel.x.channels, kernel.x.height, kernel.x.width
        number = pen.as_index(pen.load(pen.pointer("order"), n))
        self.source = pen.at(pen.pointer("images"), number * (self.C * self.H * self.W))
        self.x = pen.at(pen.pointer("x"), kernel.x.at(n))
        moves, numbers = pen.pointer("moves"), pen.pointer("numbers")
        self.moves = {name: pen.as_index(pen.load(moves, n * len(MOVES) + k)) for k, name in enumerate(MOVES)}
        self.numbers = {name: pen.load(numbers, n * len(NUMBERS) + k) for k, name in enumerate(NUMBERS)}
        self.even = (pen.load(pen.pointer("scale")), pen.load(pen.pointer("shift")))
        self.flipped = self.moves["flip"] >= 1
        pixels_lie_as_they_shall = self.C == 1 or self.H * self.W == 1 or kernel.channels_last
        self.as_it_lies = kernel.even and pixels_lie_as_they_shall

    # -- values ---------------------------------------------------------------------------

    def finished(self, v: Value, c: Index, lanes: int = 1) -> Value:
        """Return a stored value (float32) of channel c with lighting and scaling applied."""
        pen = self.pen
        if self.kernel.steps.light:
            gain, offset = (pen.splat(self.numbers[name], lanes) for name in ("gain", "offset"))
            v = pen.add(pen.mul(v, gain), offset)
        if self.kernel.even:
            scale, shift = (pen.splat(number, lanes) for number in self.even)
        else:
            scale, shift = (pen.broadcast(pen.pointer(name), c, lanes) for name in ("scale", "shift"))
        return pen.add(pen.mul(v, scale), shift)

    def black(self, c: Index, lanes: int = 1) -> Value:
        """Return a stored 0 with lighting and scaling applied."""
        return self.finished(self.pen.constant(0.0, lanes), c, lanes)

    def stored(self, pixel: Index, c: Index) -> Value:
        """Return the stored value of a pixel inside the image, as float32."""
        place = pixel * self.C + c if self.kernel.channels_last else c * (self.H * self.W) + pixel
        return self.pen.convert(self.pen.load(self.source, place), DType.F32)

    def mirrored(self, place: Index, size: int) -> Index:
        """Return the position reflected into the image."""
        pen, period = self.pen, 2 * size - 2
        if size == 1:
            return pen.index(0)
        _, place = divmod(place + period * PERIODS, period)
        return pen.smaller(place, period - place)

    # -- whole pixels ---------------------------------------------------------------------------

    def move(self) -> None:
        """Write the image shifted by whole pixels and flipped."""
        pen = self.pen
        with pen.loop("h", self.H) as h:
            to = pen.at(self.x, self.kernel.x.step(h))
            row = h - self.moves["down"]
            if self.kernel.steps.mirrored:
                self.row(self.mirrored(row, self.H), to)
            else:
                inside = row.within(self.H)
                with pen.when(inside):
                    self.row(row, to)
                with pen.when(pen.negation(inside)):
                    self.black_row(to)

    def row(self, row: Index, to: Pointer) -> None:
        """Write a row: columns `first` to `last` come from inside the image, the others from outside."""
        pen, right = self.pen, self.moves["right"]
        first, last = pen.clipped(right, self.W, self.W)
        for start, stop in ((pen.index(0), first), (last, pen.index(self.W))):
            with pen.loop("w", stop, start) as w:
                self.edge(row, w, to)
        if not self.as_it_lies:
            with pen.loop("w", last, first) as w:
                self.pixel(row, w - right, w, to)
            return
        values, start = (last - first) * self.C, first - right
        begin = pen.at(to, self.kernel.x.step(0, first))
        with pen.when(pen.negation(self.flipped)):
            self.straight(pen.at(self.source, (row * self.W + start) * self.C), begin, values)
        with pen.when(self.flipped):
            if self.C == 1:
                end = row * self.W + (self.W - 1) - start
                self.reversed(pen.at(self.source, end), begin, values)
            else:
                with pen.loop("w", last, first) as w:
                    self.pixel(row, w - right, w, to)

    def edge(self, row: Index, w: Index, to: Pointer) -> None:
        """Write a pixel that comes from a column outside the image."""
        pen = self.pen
        if self.kernel.steps.mirrored:
            self.pixel(row, self.mirrored(w - self.moves["right"], self.W), w, to)
        else:
            with pen.loop("c", self.C) as c:
                pen.store(self.black(c), to, self.kernel.x.step(0, w, c))

    def pixel(self, row: Index, column: Index, w: Index, to: Pointer) -> None:
        """Write a pixel from a position inside the image, given before the flip."""
        pen = self.pen
        column = pen.chosen(self.flipped, self.W - 1 - column, column)
        with pen.loop("c", self.C) as c:
            pen.store(self.finished(self.stored(row * self.W + column, c), c), to, self.kernel.x.step(0, w, c))

    def straight(self, source: Pointer, to: Pointer, n: Index) -> None:
        """Write n ≥ 1 consecutive values."""
        pen = self.pen

        def some(i: Index, lanes: int) -> None:
            v = pen.convert(pen.load(source, i, lanes), DType.F32)
            pen.store(self.finished(v, pen.index(0), lanes), to, i)

        self.in_vectors(n, some)

    def reversed(self, end: Pointer, to: Pointer, n: Index) -> None:
        """Write n consecutive values in reverse, starting with the one at `end`."""
        pen = self.pen

        def some(i: Index, lanes: int) -> None:
            v = pen.load(pen.at(end, 1 - lanes - i), 0, lanes)
            pen.store(self.finished(pen.convert(pen.reversed_lanes(v), DType.F32), pen.index(0), lanes), to, i)

        self.in_vectors(n, some)

    def in_vectors(self, n: Index, some: Callable[[Index, int], None]) -> None:
        """Write `some` for the vectors of n values, the last one moved back; value by value if n is below a vector."""
        pen = self.pen
        lanes = max(lanes for lanes in (1, 4, 8, 16) if lanes <= min(self.W * self.C, pen.machine.lanes))
        if lanes == 1:
            with pen.loop("i", n) as i:
                some(i, 1)
            return
        with pen.loop("i", n - lanes, step=lanes) as i:
            some(i, lanes)
        wide = n >= lanes
        with pen.when(wide):
            some(n - lanes, lanes)
        with pen.when(pen.negation(wide)), pen.loop("i", n) as i:
            some(i, 1)

    # -- outside and cutout ---------------------------------------------------------------------------

    def black_row(self, to: Pointer) -> None:
        """Write a row that comes from outside the image."""
        pen = self.pen
        if self.kernel.even:
            n = self.W * self.C
            lanes = pen.machine.lanes_for(n)
            for i, count in vectors(pen, n, lanes):
                pen.store(self.black(pen.index(0), lanes), to, i, count)
            return
        with pen.loop("w", self.W) as w, pen.loop("c", self.C) as c:
            pen.store(self.black(c), to, self.kernel.x.step(0, w, c))

    def cut(self) -> None:
        """Overwrite the cutout rectangle."""
        pen = self.pen
        with pen.loop("h", self.moves["bottom"], self.moves["top"]) as h:
            to = pen.at(self.x, self.kernel.x.step(h))
            with pen.loop("w", self.moves["end"], self.moves["left"]) as w, pen.loop("c", self.C) as c:
                pen.store(self.black(c), to, self.kernel.x.step(0, w, c))

    # -- bilinear interpolation ---------------------------------------------------------------------------

    def warp(self) -> None:
        """Write the image under the affine map."""
        pen = self.pen
        a, b, c, d, e, f = (self.numbers[name] for name in "abcdef")
        with pen.loop("h", self.H) as row:
            to, h = pen.at(self.x, self.kernel.x.step(row)), pen.as_value(row, DType.F32)
            with pen.loop("w", self.W) as column:
                w = pen.as_value(column, DType.F32)
                y = pen.add(pen.add(pen.mul(a, h), pen.mul(b, w)), c)
                x = pen.add(pen.add(pen.mul(d, h), pen.mul(e, w)), f)
                self.between(y, x, pen.at(to, self.kernel.x.step(0, column)))

    def between(self, y: Value, x: Value, to: Pointer) -> None:
        """Write the pixel interpolated at (y, x) from four neighbors, without bounds checks if all are inside."""
        pen = self.pen
        row, s = self.floor(y)
        column, t = self.floor(x)
        inside = pen.both(row.within(self.H - 1), column.within(self.W - 1))
        with pen.when(inside):
            first = row * self.W + column
            self.blend(lambda below, behind, c: self.stored(first + (below * self.W + behind), c), s, t, to)
        with pen.when(pen.negation(inside)):
            rows, columns = self.neighbors(row, self.H), self.neighbors(column, self.W)
            self.blend(lambda below, behind, c: self.there(rows[below], columns[behind], c), s, t, to)

    def blend(self, corner: Callable[[int, int, Index], Value], s: Value, t: Value, to: Pointer) -> None:
        """Write the interpolation at s below and t to the right of the first of four corners."""
        pen, one = self.pen, self.pen.constant(1.0)
        with pen.loop("c", self.C) as c:
            upper, lower = (
                pen.add(pen.mul(corner(below, 0, c), pen.sub(one, t)), pen.mul(corner(below, 1, c), t))
                for below in (0, 1)
            )
            v = pen.add(pen.mul(upper, pen.sub(one, s)), pen.mul(lower, s))
            pen.store(self.finished(v, c), to, c)

    def floor(self, place: Value) -> tuple[Index, Value]:
        """Return the pixel at or before a position on an axis, and the distance from it to the position."""
        pen = self.pen
        whole = pen.whole_below(place)
        return pen.as_index(whole), pen.sub(place, pen.convert(whole, DType.F32))

    def neighbors(self, first: Index, size: int) -> list[tuple[Index, Value | None]]:
        """Return a pixel on an axis and the next, clamped or mirrored inside, each with whether it was inside (None
        if mirrored)."""
        pen = self.pen
        found: list[tuple[Index, Value | None]] = []
        for k in (first, first + 1):
            if self.kernel.steps.mirrored:
                found.append((self.mirrored(k, size), None))
            else:
                inside = k.within(size)
                found.append((pen.chosen(inside, k, pen.index(0)), inside))
        return found

    def there(self, row: tuple[Index, Value | None], column: tuple[Index, Value | None], c: Index) -> Value:
        """Return the stored value in a row and column, or 0 if one of them was outside."""
        pen = self.pen
        v = self.stored(row[0] * self.W + column[0], c)
        if row[1] is None or column[1] is None:
            return v
        return pen.select(pen.both(row[1], column[1]), v, pen.constant(0.0))
