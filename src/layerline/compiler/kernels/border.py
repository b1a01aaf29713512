"""The zeros around an image, written anew: for memory that held other values before.

The math.  y = 0 outside of the image: in its border, and in `tail` elements after it; the image stays as it is.

The schedule.  The elements before the first pixel, between two rows, and after the last pixel are contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, adds
from layerline.compiler.kernels.loops import vectors

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Pointer


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
        y, (H, W) = self.y, (self.y.height, self.y.width)
        with pen.loop("n", pen.count("images")) as n:
            image = pen.at(pen.pointer("y"), y.begin(n))
            _clear(pen, image, y.inner())
            between = y.inner(1) - y.inner(0, W)
            if between and H > 1:
                with pen.loop("h", H - 1) as h:
                    _clear(pen, pen.at(image, y.inner(h, W)), between)
            _clear(pen, pen.at(image, y.inner(H - 1, W)), y.size - y.inner(H - 1, W) + self.tail)


def _clear(pen: Pen, memory: Pointer, count: int) -> None:
    """Zero exactly `count` elements."""
    lanes = pen.machine.lanes_for(count)
    for i, some in vectors(pen, count, lanes):
        pen.store(pen.constant(0.0, lanes), memory, i, some)
