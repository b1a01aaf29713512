"""As many multiply-adds per second as a core can do: what the speed of other kernels is a fraction of.

The math.  s ← s·a + b, for many independent s, which approach b / (1 − a).

The schedule.  The sums stay in registers, one per accumulator: with two ports and a latency of 4 cycles, eight
independent multiply-adds keep a core busy; 12 of 16 registers, or 28 of 32, are more than enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, reads, sets, updates

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen

UNROLLED: Final = 4
"""Multiply-adds per sum and round."""


@dataclass(frozen=True)
class Peak(Kernel):
    """Does `multiply_adds(images)` multiply-adds, where `images` is only a number; writes the clock at both ends."""

    lanes: int
    sums: int

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        vectors = {name: reads(self.lanes) for name in ("a", "b")}
        return {**vectors, "s": updates(self.sums * self.lanes), "ticks": sets(2, DType.I64)}

    @property
    def symbol(self) -> str:
        return f"peak_{self.sums}x{self.lanes}"

    def multiply_adds(self, images: int) -> int:
        return images * UNROLLED * self.sums * self.lanes

    def write(self, pen: Pen) -> None:
        ticks, lanes = pen.pointer("ticks"), self.lanes
        a, b = (pen.load(pen.pointer(name), 0, lanes) for name in ("a", "b"))
        sums = [pen.variable(pen.load(pen.pointer("s"), k * lanes, lanes)) for k in range(self.sums)]
        pen.store(pen.ticks(), ticks, 0)
        with pen.loop("n", pen.count("images")):
            for _ in range(UNROLLED):
                for s in sums:
                    pen.write(s, pen.fma(pen.read(s), a, b))
        pen.store(pen.ticks(), ticks, 1)
        for k, s in enumerate(sums):
            pen.store(pen.read(s), pen.pointer("s"), k * lanes)
