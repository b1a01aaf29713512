"""A kernel that counts the ticks of the CPU's clock that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen

TICKS = "ticks"
"""The name of the argument with the sum, one 64-bit integer per thread."""


@dataclass(frozen=True)
class Timed(Kernel):
    """Does what `kernel` does, and adds the ticks of each call to a sum. Reading the clock takes about 20 cycles."""

    kernel: Kernel

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {**self.kernel.arguments, TICKS: adds(1, DType.I64)}

    @property
    def symbol(self) -> str:
        return f"timed_{self.kernel.symbol}"

    @property
    def slices(self) -> int | None:
        """Return those of the kernel."""
        return self.kernel.slices

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return self.kernel.extra_scalars

    def multiply_adds(self, images: int) -> int:
        return self.kernel.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        start = pen.ticks()
        self.kernel.write(pen)
        ticks = pen.pointer(TICKS)
        pen.store(pen.add(pen.load(ticks), pen.sub(pen.ticks(), start)), ticks)
