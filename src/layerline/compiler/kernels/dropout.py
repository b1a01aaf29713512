"""Dropout: y = x · m, where m is 0 with probability p, else 1 / (1 − p); dx = dy · m. Dropout2d: one m per channel.

The math.  Element e of an image (in the order H, W, C) uses word (e // 16) mod 4 of Philox4x32-10 (Salmon et al.
2011, §3.3) for the counter ((e // 64) · 16 + e mod 16, image, epoch, purpose · 2²⁴ + layer) and the seed as key, and is
kept if the word is at least p · 2³²: one call of the generator produces four vectors of consecutive elements, at any
vector width. `randomness.dropout_keep` is the NumPy equivalent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, given, reads, sets
from layerline.compiler.kernels.loops import elementwise, vectors
from layerline.compiler.kernels.philox import philox
from layerline.compiler.plane import Plane, item
from layerline.numbers.randomness import Purpose

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value

CHUNK: Final = 64
"""Elements generated from 16 counters."""
COUNTERS: Final = 16


@dataclass(frozen=True)
class DropoutMask(Kernel):
    """m = 0 or 1 / (1 − p) for each element of an image."""

    size: int
    p: float
    layer: int

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"order": reads(1, DType.I64), "rng_key": given(DType.I32), "m": sets(mask_size(self.size))}

    @property
    def symbol(self) -> str:
        return f"dropout_mask_{self.size}p{self.p}l{self.layer}"

    def write(self, pen: Pen) -> None:
        lanes, dice = pen.machine.lanes, pen.pointer("rng_key")
        key = (pen.load(dice, 0), pen.load(dice, 1))
        purpose = pen.constant(int(Purpose.DROPOUT) << 24 | self.layer, lanes, DType.I32)
        epoch = pen.broadcast(dice, 2, lanes)
        least = pen.constant(min(round(self.p * 2**32), 2**32 - 1), lanes, DType.I32)
        zero, kept = pen.constant(0.0, lanes), pen.constant(1 / (1 - self.p), lanes)
        with pen.loop("n", pen.count("images")) as n:
            image = pen.splat(pen.convert(pen.load(pen.pointer("order"), n), DType.I32), lanes)
            m = pen.at(pen.pointer("m"), item(n, mask_size(self.size)))
            with pen.loop("chunk", -(-self.size // CHUNK)) as chunk:
                for first in range(0, COUNTERS, lanes):
                    block = pen.splat(pen.as_value(chunk * COUNTERS, DType.I32), lanes)
                    block = pen.add(block, pen.lane_numbers(lanes, first))
                    for word, value in enumerate(philox(pen, (block, image, epoch, purpose), key)):
                        chosen = pen.select(pen.below(value, least), zero, kept)
                        pen.store(chosen, m, chunk * CHUNK + (word * COUNTERS + first))


def mask_size(size: int) -> int:
    """Return the mask size for a number of elements, rounded up to whole chunks."""
    return -(-size // CHUNK) * CHUNK


@dataclass(frozen=True)
class Masked(Kernel):
    """y = (set) or y += (add) x · m."""

    x: Plane
    y: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        x = self.x
        m, y = reads(mask_size(x.channels * x.height * x.width)), (adds if self.add else sets)(self.y)
        return {"x": reads(x), "m": m, "y": y}

    @property
    def symbol(self) -> str:
        return f"masked{'_add' * self.add}_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        bare = self.x.inside

        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            y = pen.mul(pen.load(memory[0], places[0], lanes), pen.load(memory[1], places[1], lanes))
            return pen.add(pen.load(memory[2], places[2], lanes), y) if self.add else y

        planes = ((self.x, "x"), (bare, "m"), (self.y, "y"))
        elementwise(pen, planes, step, {"m": mask_size(bare.size)})


@dataclass(frozen=True)
class MaskedChannels(Kernel):
    """y = (set) or y += (add) x · m, with an m for each channel."""

    x: Plane
    y: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        m, y = reads(mask_size(self.x.channels)), (adds if self.add else sets)(self.y)
        return {"x": reads(self.x), "m": m, "y": y}

    @property
    def symbol(self) -> str:
        return f"masked_channels{'_add' * self.add}_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        x, y, lanes = self.x, self.y, pen.machine.lanes_for(self.x.channels)
        with pen.loop("n", pen.count("images")) as n:
            source, to = pen.at(pen.pointer("x"), x.at(n)), pen.at(pen.pointer("y"), y.at(n))
            m = pen.at(pen.pointer("m"), item(n, mask_size(x.channels)))
            for c, count in vectors(pen, x.channels, lanes):
                kept = pen.load(m, c, lanes)
                with pen.loop("h", x.height) as h, pen.loop("w", x.width) as w:
                    value, there = pen.mul(pen.load(source, x.step(h, w, c), lanes), kept), y.step(h, w, c)
                    pen.store(pen.add(pen.load(to, there, lanes), value) if self.add else value, to, there, count)
