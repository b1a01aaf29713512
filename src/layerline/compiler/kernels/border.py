"""The border around an image, written by the kernels whose memory held other values before.

The math.  y = one value outside of the image: in its border, and in `tail` elements after it; the image stays.

The schedule.  The elements before the first pixel, between two rows, and after the last pixel are contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, adds
from layerline.compiler.kernels.loops import vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Pointer, Value


@dataclass(frozen=True)
class ClearBorder(Kernel):
    """y = 0 in the border, and in the `tail` elements after it that a reader takes into its sums."""

    y: Plane
    tail: int = 0

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"y": adds(self.y)}

    @property
    def symbol(self) -> str:
        return f"clear_border_{self.y.label}" + f"t{self.tail}" * (self.tail > 0)

    def write(self, pen: Pen) -> None:
        write_border(pen, "y", self.y, lambda lanes: pen.constant(0.0, lanes), self.tail)


def write_border(pen: Pen, name: str, plane: Plane, value: Callable[[int], Value], tail: int = 0) -> None:
    """Write one value all around every image of an argument, and into exactly `tail` elements after it.

    value: lanes → a vector of it.
    """
    if plane.bare and not tail:
        return
    H, W = plane.height, plane.width
    between, end = plane.inner(1) - plane.inner(0, W), plane.inner(H - 1, W)
    with pen.loop("n", pen.count("images")) as n:
        to = pen.at(pen.pointer(name), plane.begin(n))
        _fill(pen, to, plane.inner(), value)
        if between and H > 1:
            with pen.loop("h", H - 1) as h:
                _fill(pen, pen.at(to, plane.inner(h, W)), between, value)
        _fill(pen, pen.at(to, end), plane.size - end + tail, value)


def _fill(pen: Pen, to: Pointer, count: int, value: Callable[[int], Value]) -> None:
    lanes = pen.machine.lanes_for(count)
    for i, some in vectors(pen, count, lanes):
        pen.store(value(lanes), to, i, some)
