"""The first and the last kernels of a Program on 8-bit values.

The math.  images, uint8, in C, H, W or H, W, C order.
    load     x[c, h, w] = image[c, h, w] − 128; if the channels are scaled differently, x = table[c, image[c, h, w]]
    flatten  y[(c · H + h) · W + w] = x[c, h, w]: the order in which others count the values after a Flat
    values   z[(c · H + h) · W + w] = (x[c, h, w] − zero) · scale, float32, two roundings; numbers: zero, scale
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, given, reads, sets
from layerline.compiler.kernels.border import write_border
from layerline.compiler.kernels.int8_pointwise import TABLE
from layerline.compiler.kernels.int8_values import LOWEST, border_value
from layerline.compiler.plane import Plane, item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class Int8Load(Kernel):
    """x = the values of the images listed in `order`; t is the zero point, for the border."""

    x: Plane
    channels_last: bool
    table: bool = False
    """Whether the values are read from a table for each channel."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        first = {"images": given(DType.U8), "order": reads(1, DType.I64), "t": reads(1, DType.I32)}
        table = {"table": reads(TABLE * self.x.channels, DType.I8)} if self.table else {}
        return {**first, **table, "x8": sets(self.x, DType.I8)}

    @property
    def symbol(self) -> str:
        how = ("hwc" if self.channels_last else "chw") + "_table" * self.table
        return f"int8_load_{how}_{self.x.label}"

    def write(self, pen: Pen) -> None:
        x, (C, H, W) = self.x, (self.x.channels, self.x.height, self.x.width)
        write_border(pen, "x8", x, border_value(pen))
        with pen.loop("n", pen.count("images")) as n:
            number = pen.as_index(pen.load(pen.pointer("order"), n))
            image, to = pen.at(pen.pointer("images"), number * (C * H * W)), pen.at(pen.pointer("x8"), x.at(n))
            with pen.loop("h", H) as h:
                row = pen.at(to, x.step(h))
                if not self.table and (self.channels_last or C == 1):
                    self._row(pen, pen.at(image, h * (W * C)), row)
                else:
                    self._values(pen, image, h, row)

    def _row(self, pen: Pen, image: Pointer, row: Pointer) -> None:
        """Write a row in vectors; the last one is moved back to end with the row, as nothing after it may be read."""
        count = self.x.width * self.x.channels
        lanes = max(lanes for lanes in (1, 4, 8, 16) if lanes <= min(count, pen.machine.lanes))
        if count > lanes:
            with pen.loop("i", count - lanes, step=lanes) as i:
                pen.store(_signed(pen, pen.load(image, i, lanes)), row, i)
        pen.store(_signed(pen, pen.load(image, count - lanes, lanes)), row, count - lanes)

    def _values(self, pen: Pen, image: Pointer, h: Index, row: Pointer) -> None:
        """Write row h value by value."""
        C, H, W = self.x.channels, self.x.height, self.x.width
        with pen.loop("w", W) as w, pen.loop("c", C) as c:
            place = (h * W + w) * C + c if self.channels_last else (c * H + h) * W + w
            pen.store(self._value(pen, image, place, c), row, w * C + c)

    def _value(self, pen: Pen, image: Pointer, place: Index, c: Index) -> Value:
        value = pen.load(image, place)
        if not self.table:
            return _signed(pen, value)
        return pen.load(pen.pointer("table"), c * TABLE + pen.as_index(pen.convert(value, DType.I32)))


@dataclass(frozen=True)
class Int8Flatten(Kernel):
    """y = the values of x as a list, in C, H, W order."""

    x: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        size = self.x.inside.size
        return {"x8": reads(self.x, DType.I8), "y8": sets(Plane(size, 1, 1), DType.I8)}

    @property
    def symbol(self) -> str:
        return f"int8_flatten_{self.x.label}"

    def write(self, pen: Pen) -> None:
        with pen.loop("n", pen.count("images")) as n:
            to = pen.at(pen.pointer("y8"), item(n, self.x.inside.size))
            for value, place in _in_order(pen, self.x, n):
                pen.store(value, to, place)


@dataclass(frozen=True)
class Int8Values(Kernel):
    """z = the numbers that the values of x stand for, in C, H, W order."""

    x: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x8": reads(self.x, DType.I8), "s": reads(2), "z": sets(self.x.inside.size)}

    @property
    def symbol(self) -> str:
        return f"int8_values_{self.x.label}"

    def write(self, pen: Pen) -> None:
        zero, scale = (pen.load(pen.pointer("s"), k) for k in range(2))
        with pen.loop("n", pen.count("images")) as n:
            to = pen.at(pen.pointer("z"), item(n, self.x.inside.size))
            for value, place in _in_order(pen, self.x, n):
                pen.store(pen.mul(pen.sub(pen.convert(value, DType.F32), zero), scale), to, place)


def _in_order(pen: Pen, x: Plane, n: Index) -> Iterator[tuple[Value, Index]]:
    """Write a loop over the values of image n in C, H, W order; yields a value and its number."""
    source = pen.at(pen.pointer("x8"), x.at(n))
    with pen.loop("c", x.channels) as c, pen.loop("h", x.height) as h, pen.loop("w", x.width) as w:
        yield pen.load(source, x.step(h, w, c)), (c * x.height + h) * x.width + w


def _signed(pen: Pen, value: Value) -> Value:
    """Return bytes − 128 as i8."""
    wide = pen.convert(value, DType.I32)
    return pen.convert(pen.add(wide, pen.like(wide, LOWEST)), DType.I8)
