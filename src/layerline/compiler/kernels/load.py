"""Loading: converts an image's bytes to floats with a zero border.

The math.  x[h, w, c] = value[c, h, w] · scale[c] + shift[c], float32, two roundings; value is uint8 or float32, in
C, H, W or H, W, C order.

The schedule.  No byte outside the image is read, because it may be the last one of a memory-mapped file: a row is read
in vectors that fit in it, and the last one is moved back to end with the row. Up to four planes are interleaved into
pixels in registers. Images in random order come from main memory, so those of a call are prefetched together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, given, reads, sets

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value

LINE: Final = 64
"""Bytes per cache line."""
AHEAD: Final = 4096
"""Maximum bytes of an image that are prefetched; the CPU itself prefetches the rest of a larger one."""
MAX_INTERLEAVED: Final = 4
"""Maximum channels to interleave: n of them take up to n·(n − 1) shuffles."""


@dataclass(frozen=True)
class Load(Kernel):
    """x = image · scale + shift for the images listed in `order`."""

    x: Plane
    source: DType
    channels_last: bool
    even: bool
    """Whether all channels share one scale and shift."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        first = {"images": given(self.source), "order": reads(1, DType.I64)}
        return {**first, "scale": given(), "shift": given(), "x": sets(self.x)}

    @property
    def symbol(self) -> str:
        order, scaling = "hwc" if self.channels_last else "chw", "even" if self.even else "each"
        return f"load_{self.source.value}_{order}_{scaling}_{self.x.label}"

    def write(self, pen: Pen) -> None:
        C, H, W = self.x.channels, self.x.height, self.x.width
        with pen.loop("ahead", pen.count("images")) as n:
            image, line = self._image(pen, n), LINE // self.source.bytes
            with pen.loop("line", min(C * H * W, AHEAD // self.source.bytes), step=line) as i:
                pen.prefetch(image, i)
        with pen.loop("n", pen.count("images")) as n:
            source = self._image(pen, n)
            x = pen.at(pen.pointer("x"), self.x.at(n))
            with pen.loop("h", H) as h:
                to = pen.at(x, self.x.step(h))
                if self.even and (C == 1 or H * W == 1 or self.channels_last):
                    self._row(pen, pen.at(source, h * (W * C)), to, 1, W * C)
                elif C <= MAX_INTERLEAVED:
                    self._row(pen, pen.at(source, h * (W * C if self.channels_last else W)), to, C, W)
                else:
                    self._values(pen, source, h * W, to)

    def _image(self, pen: Pen, n: Index) -> Pointer:
        """Return the address of an image of the caller's."""
        image = pen.as_index(pen.load(pen.pointer("order"), n))
        return pen.at(pen.pointer("images"), image * self.x.inside.size)

    def _row(self, pen: Pen, source: Pointer, to: Pointer, C: int, W: int) -> None:
        """Write a row in vectors of pixels; the last one is moved back to end with the row."""
        lanes = max(lanes for lanes in (1, 4, 8, 16) if lanes <= min(W, pen.machine.lanes))
        numbers = [
            [pen.broadcast(pen.pointer(name), pen.index(c), lanes) for c in range(C)] for name in ("scale", "shift")
        ]
        if self.channels_last:
            numbers = [pen.woven(channels) for channels in numbers]
        last = W - lanes
        if last:
            with pen.loop("w", last, step=lanes) as w:
                self._pixels(pen, source, to, w, numbers)
        self._pixels(pen, source, to, pen.index(last), numbers)

    def _pixels(self, pen: Pen, source: Pointer, to: Pointer, w: Index, numbers: list[list[Value]]) -> None:
        """Write a vector of pixels from C vectors of values, one per channel or already interleaved."""
        C, lanes = len(numbers[0]), numbers[0][0].lanes
        plane = self.x.height * self.x.width
        places = [w * C + k * lanes if self.channels_last else w + k * plane for k in range(C)]
        values = [
            pen.add(pen.mul(pen.convert(pen.load(source, place, lanes), DType.F32), scale), shift)
            for place, scale, shift in zip(places, *numbers, strict=True)
        ]
        for k, value in enumerate(values if self.channels_last else pen.woven(values)):
            pen.store(value, to, w * C + k * lanes)

    def _values(self, pen: Pen, source: Pointer, first: Index, to: Pointer) -> None:
        """Write a row value by value: for many channels, planar or with different scales."""
        C, H, W = self.x.channels, self.x.height, self.x.width
        with pen.loop("c", C) as c, pen.loop("w", W) as w:
            place = (first + w) * C + c if self.channels_last else first + w + c * (H * W)
            scale, shift = (pen.load(pen.pointer(name), c) for name in ("scale", "shift"))
            value = pen.convert(pen.load(source, place), DType.F32)
            pen.store(pen.add(pen.mul(value, scale), shift), to, self.x.step(0, w, c))
