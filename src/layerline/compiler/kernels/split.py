"""Pixels to planes: from interleaved to planar channels.

The math.  planes[c, h, w] = x[h, w, c], including the border.

The schedule.  C vectors of pixels become C vectors of channels: each gathers its lanes from the C loaded vectors, or
from fewer at the end of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, reads, sets
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.plane import Plane

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen


def as_planes(x: Plane) -> Plane:
    """Return the layout of the planes: one gray image, plane below plane, each with the border."""
    return Plane(1, (x.top + x.height + x.bottom) * x.channels, x.left + x.width + x.right)


@dataclass(frozen=True)
class SplitPlanes(Kernel):
    """planes = x, deinterleaved."""

    x: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(self.x), "planes": sets(as_planes(self.x))}

    @property
    def symbol(self) -> str:
        return f"split_{self.x.label}"

    def write(self, pen: Pen) -> None:
        C = self.x.channels
        pixels = self.x.size // C
        lanes = pen.machine.lanes_for(pixels)
        with pen.loop("n", pen.count("images")) as n:
            x, planes = (pen.at(pen.pointer(name), self.x.begin(n)) for name in self.pointers)
            for i, count in vectors(pen, pixels, lanes):
                needed = -(-count * C // lanes)  # no vector beyond the image: only the padding may be overread
                loaded = [pen.load(x, i * C + k * lanes, lanes) for k in range(needed)]
                loaded += loaded[-1:] * (C - needed)
                for c in range(C):
                    pen.store(pen.picked(loaded, c, C, lanes), planes, i + c * pixels, count)
