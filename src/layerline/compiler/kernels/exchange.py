"""Sums over several processes: what each has summed over its part of a batch becomes the sum over the whole batch.

    ShardSums    here[i] = Σ over the shards of partial[i];  here[size] = images of this process's part
    Exchange     everywhere = Σ over the processes of here, by the engine: machine code calls it and waits

A kernel that reads `everywhere` divides by its last element, the images of the whole batch, where it divided by the
images of its own part. See exchanging.py for where these ops are put.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, given, reads, sets
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.plane import item

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen


@dataclass(frozen=True)
class ShardSums(Kernel):
    """here = (Σ over the shards of partial, in order, the number of images); float64."""

    size: int

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"partial": reads(self.size, DType.F64), "here": sets(self.size + 1, DType.F64)}

    @property
    def symbol(self) -> str:
        return f"shard_sums_{self.size}"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return ("images", "shards")

    @property
    def slices(self) -> int:
        """Return 1: too little work to split."""
        return 1

    def write(self, pen: Pen) -> None:
        lanes, partial = pen.machine.lanes_for(self.size), pen.pointer("partial")
        for i, count in vectors(pen, self.size, lanes):
            total = pen.variable(pen.constant(0.0, lanes, DType.F64))
            with pen.loop("shard", pen.count("shards")) as shard:
                part = pen.load(partial, item(shard, self.size) + i, lanes)
                pen.write(total, pen.add(pen.read(total), part))
            pen.store(pen.read(total), pen.pointer("here"), i, count)
        pen.store(pen.as_value(pen.count("images"), DType.F64), pen.pointer("here"), self.size)


@dataclass(frozen=True)
class Exchange(Kernel):
    """everywhere[k] = Σ over the processes of here[k]: one call of the engine for all its buffers, by its number.

    Processes must call in the same order, so a Program has one for whatever may be exchanged at the same time.
    """

    number: int
    parts: tuple[tuple[int, DType], ...]
    """The elements of each buffer, and their type."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        here = {f"here{k}": reads(*part) for k, part in enumerate(self.parts)}
        everywhere = {f"everywhere{k}": sets(*part) for k, part in enumerate(self.parts)}
        return {"exchange": given(DType.U8), **here, **everywhere}

    @property
    def symbol(self) -> str:
        return f"exchange_{self.number}_{len(self.parts)}x{sum(size for size, _ in self.parts)}"

    @property
    def slices(self) -> int:
        """Return 1: one thread calls, and the others wait."""
        return 1

    def write(self, pen: Pen) -> None:
        pen.call_address(pen.pointer("exchange"), self.number)
