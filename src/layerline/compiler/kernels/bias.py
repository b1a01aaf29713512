"""The gradient of a bias.

The math.  db[c] = Σ_n Σ_p Σ_q dy[c, p, q], per shard: within an image in float64, over images in float32, in order.

The schedule.  Lanes run over channels; four accumulators hide the latency of an addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, reads
from layerline.compiler.kernels.loops import vectors

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Variable

CHAINS: Final = 4
"""Independent accumulators of a bias gradient."""


@dataclass(frozen=True)
class BiasSum(Kernel):
    """db += Σ over images and pixels of dy, per channel; partial per shard.

    An image is summed in float64 because its terms may cancel; before a BatchNorm they cancel to zero. Each row is
    summed in four accumulators, for the columns q mod 4 = 0, 1, 2, 3, to hide the latency of an addition; these are
    added as (0 + 1) + (2 + 3), then the rows, then, in float32, the images.
    """

    dy: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"dy": reads(self.dy), "db": adds(self.dy.channels)}

    @property
    def symbol(self) -> str:
        return f"bias_sum_{self.dy.label}"

    def write(self, pen: Pen) -> None:
        plane, db = self.dy, pen.pointer("db")
        lanes = pen.machine.lanes_for(plane.channels)
        with pen.loop("n", pen.count("images")) as n:
            dy = pen.at(pen.pointer("dy"), plane.at(n))
            for o, count in vectors(pen, plane.channels, lanes):
                image = pen.variable(pen.constant(0.0, lanes, DType.F64))
                with pen.loop("p", plane.height) as p:
                    sums = [pen.variable(pen.constant(0.0, lanes, DType.F64)) for _ in range(CHAINS)]
                    row, whole = plane.step(p, 0, o), plane.width - plane.width % CHAINS
                    if whole:
                        with pen.loop("q", whole, step=CHAINS) as q:
                            self._add(pen, dy, row + plane.step(0, q), sums, lanes)
                    self._add(pen, dy, row + plane.step(0, whole), sums[: plane.width % CHAINS], lanes)
                    total = pen.add(*(pen.add(pen.read(a), pen.read(b)) for a, b in (sums[:2], sums[2:])))
                    pen.write(image, pen.add(pen.read(image), total))
                pen.store(pen.add(pen.load(db, o, lanes), pen.convert(pen.read(image), DType.F32)), db, o, count)

    def _add(self, pen: Pen, dy: Pointer, first: Index, sums: list[Variable], lanes: int) -> None:
        """Add consecutive pixels, each to its own accumulator."""
        for k, total in enumerate(sums):
            value = pen.convert(pen.load(dy, first + self.dy.step(0, k), lanes), DType.F64)
            pen.write(total, pen.add(pen.read(total), value))
