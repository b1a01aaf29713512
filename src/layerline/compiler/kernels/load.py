"""Loading: an image's bytes become floats inside a border of zeros.

The maths.  x[h, w, c] = value[c, h, w] · scale[c] + shift[c], float32, two roundings; value is uint8 or float32 and
lies as C, H, W or as H, W, C.

The schedule.  No byte outside the image is touched, for it may be the last one of a memory-mapped file: a row is read
in vectors that fit into it, the last one drawn back so that it ends with the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from layerline.compiler.program import Kernel, Plane, room

if TYPE_CHECKING:
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer


@dataclass(frozen=True)
class Load(Kernel):
    """x = image · scale + shift for the images that `order` names."""

    x: Plane
    source: str
    """u8 or f32"""
    channels_last: bool
    even: bool
    """Whether all channels are scaled alike."""

    writes: ClassVar[frozenset[str]] = frozenset({"x"})

    @property
    def pointers(self) -> dict[str, str]:  # type: ignore[override]
        """Return argument → element type."""
        return {"images": self.source, "order": "i64", "scale": "f32", "shift": "f32", "x": "f32"}

    @property
    def symbol(self) -> str:
        """Return the kernel's name."""
        order, scaling = "hwc" if self.channels_last else "chw", "even" if self.even else "each"
        return f"load_{self.source}_{order}_{scaling}_{self.x.label}"

    def write(self, pen: Pen) -> None:
        """Write the function's body."""
        C, H, W = self.x.channels, self.x.height, self.x.width
        as_it_lies = self.even and (C == 1 or H * W == 1 or self.channels_last)
        with pen.loop("n", pen.count("images")) as n:
            image = pen.as_index(pen.load(pen.pointer("order"), n))
            source = pen.at(pen.pointer("images"), image * (C * H * W))
            x = pen.at(pen.pointer("x"), n * room(self.x.size) + self.x.origin)
            with pen.loop("h", H) as h:
                to = pen.at(x, h * self.x.pitch)
                if as_it_lies:
                    self._row(pen, pen.at(source, h * (W * C)), to, W * C)
                else:
                    self._pixels(pen, source, h * W, to)

    def _row(self, pen: Pen, source: Pointer, to: Pointer, n: int) -> None:
        """Write a row whose values lie in memory as they shall lie, all scaled alike."""
        lanes = max(lanes for lanes in (1, 4, 8, 16) if lanes <= min(n, pen.machine.lanes))
        last = n - lanes
        if last:
            with pen.loop("w", last, step=lanes) as w:
                self._scaled(pen, source, to, w, pen.index(0), lanes)
        self._scaled(pen, source, to, pen.index(last), pen.index(0), lanes)

    def _pixels(self, pen: Pen, source: Pointer, first: Index, to: Pointer) -> None:
        """Write a row value by value: C planes become pixels of C values, or channels have scales of their own."""
        C, H, W = self.x.channels, self.x.height, self.x.width
        with pen.loop("c", C) as c, pen.loop("w", W) as w:
            place = (first + w) * C + c if self.channels_last else first + w + c * (H * W)
            value = self._value(pen, source, place, c, 1)
            pen.store(value, to, w * C + c)

    def _scaled(self, pen: Pen, source: Pointer, to: Pointer, w: Index, c: Index, lanes: int) -> None:
        pen.store(self._value(pen, source, w, c, lanes), to, w)

    def _value(self, pen: Pen, source: Pointer, place: Index, c: Index, lanes: int) -> object:
        value = pen.convert(pen.load(source, place, lanes), "f32")
        scale, shift = (pen.broadcast(pen.pointer(name), c, lanes) for name in ("scale", "shift"))
        return pen.add(pen.mul(value, scale), shift)
