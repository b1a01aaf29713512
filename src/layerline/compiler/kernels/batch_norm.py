"""Batch normalization: sums over a batch, statistics derived from them, forward and backward.

The math.  Over the M = batch · H · W values of a channel (Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1):
    mean = Σ x / M      variance = Σ x² / M − mean²      a = w / √(variance + eps)      y = (x − mean) · a + b
    db = Σ dy           D = Σ dy · (x − mean)            dw = D / √(variance + eps)
    dx = a · ((dy − db / M) − (x − mean) · D / (M · (variance + eps)))
    running_mean += momentum · (mean − running_mean);  running_var likewise, toward variance · M / (M − 1)
x, y and their gradients are float32; sums and per-channel values are float64. The square of a float32 is exact in
float64, so one pass over x is enough: the relative error of the variance is 2⁻⁵² · mean² / variance. This replaces
Chan's merging of means and squares, which would need two passes and a division per image. Terms are added image by
image, row by row, in separate sums for even and odd columns, then shard by shard.

The schedule.  Lanes run over channels. Forward and backward each read x once for the sums and once for the result, with
a barrier in between, because the sums are over the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, reads, sets, updates
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.plane import Plane, item

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Value, Variable

CHAINS = 2
"""Independent accumulators, to hide the latency of an addition."""


LINEAR: Final = ("mean", "mean_rest", "a")
"""The statistics that the forward pass reads."""

RUNNING: Final = ("running_mean", "running_var")


def split_double(pen: Pen, value: Value) -> tuple[Value, Value]:
    """Return a float64 as the sum of two float32: the rounded value and the residual.

    The rounding error of a number shared by all values of a channel would not average out in a sum over them.
    """
    high = pen.convert(value, DType.F32)
    return high, pen.convert(pen.sub(value, pen.convert(high, DType.F64)), DType.F32)


def stride(C: int) -> int:
    """Return the elements from one per-channel list to the next in a buffer of several lists."""
    return item(1, C)


@dataclass(frozen=True)
class BatchNormSums(Kernel):
    """sums += (Σ x, Σ x²), per channel; partial per shard."""

    x: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(self.x), "sums": adds(2 * stride(self.x.channels), DType.F64)}

    @property
    def symbol(self) -> str:
        return f"batch_norm_sums_{self.x.label}"

    def write(self, pen: Pen) -> None:
        def terms(n: Index, p: Index, q: Index, c: Index, lanes: int) -> tuple[Value, Value]:
            x = pen.convert(pen.load(pen.pointer("x"), self.x.at(n, p, q, c), lanes), DType.F64)
            return x, pen.mul(x, x)

        accumulate(pen, self.x, terms)


@dataclass(frozen=True)
class BatchNormGradientSums(Kernel):
    """sums += (Σ dy, Σ dy · (x − mean)), per channel; partial per shard."""

    x: Plane
    dy: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        lists = 2 * stride(self.x.channels)
        exact, sums = reads(lists, DType.F64), adds(lists, DType.F64)
        return {"x": reads(self.x), "dy": reads(self.dy), "exact": exact, "sums": sums}

    @property
    def symbol(self) -> str:
        return f"batch_norm_gradient_sums_{self.x.label}_{self.dy.label}"

    def write(self, pen: Pen) -> None:
        def terms(n: Index, p: Index, q: Index, c: Index, lanes: int) -> tuple[Value, Value]:
            x = pen.convert(pen.load(pen.pointer("x"), self.x.at(n, p, q, c), lanes), DType.F64)
            dy = pen.convert(pen.load(pen.pointer("dy"), self.dy.at(n, p, q, c), lanes), DType.F64)
            return dy, pen.mul(dy, pen.sub(x, pen.load(pen.pointer("exact"), c, lanes)))

        accumulate(pen, self.x, terms)


def accumulate(pen: Pen, plane: Plane, terms: Callable[[Index, Index, Index, Index, int], tuple[Value, Value]]) -> None:
    """Write sums[0] += Σ of the first term, sums[1] += Σ of the second, over all pixels of all images."""
    C, lanes, sums = plane.channels, pen.machine.lanes_for(plane.channels), pen.pointer("sums")
    zero = pen.constant(0.0, lanes, DType.F64)
    with pen.loop("n", pen.count("images")) as n:
        for c, count in vectors(pen, C, lanes):
            chains = [[pen.variable(zero) for _ in range(2)] for _ in range(CHAINS)]

            def add(p: Index, q: Index, chain: list[Variable], c: Index = c) -> None:
                for total, term in zip(chain, terms(n, p, q, c, lanes), strict=True):
                    pen.write(total, pen.add(pen.read(total), term))

            whole = plane.width - plane.width % CHAINS
            with pen.loop("p", plane.height) as p:
                if whole:
                    with pen.loop("q", whole, step=CHAINS) as q:
                        for k, chain in enumerate(chains):
                            add(p, q + k, chain)
                if plane.width % CHAINS:
                    add(p, pen.index(whole), chains[0])
            for k in range(2):
                here = c + k * stride(C)
                image = pen.add(pen.read(chains[0][k]), pen.read(chains[1][k]))
                pen.store(pen.add(pen.load(sums, here, lanes), image), sums, here, count)


@dataclass(frozen=True)
class BatchNormStatistics(Kernel):
    """From the shards' sums: exact = (mean, 1/√(variance + eps)), mean, a; updates the running statistics.

    `whole`: the sums are already those of the whole batch, and its number of images follows them: see exchanging.py.
    """

    channels: int
    pixels: int
    momentum: float
    eps: float
    whole: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        C, lists = self.channels, 2 * stride(self.channels)
        linear, running = dict.fromkeys(LINEAR, sets(C)), dict.fromkeys(RUNNING, updates(C))
        first = {"sums": reads(lists + self.whole, DType.F64), "w": reads(C), "exact": sets(lists, DType.F64)}
        return {**first, **linear, **running}

    @property
    def symbol(self) -> str:
        how = "_whole" * self.whole
        return f"batch_norm_statistics{how}_c{self.channels}p{self.pixels}m{self.momentum}e{self.eps}"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return () if self.whole else ("images", "shards")

    @property
    def slices(self) -> int:
        """Return 1: too little work to split."""
        return 1

    def write(self, pen: Pen) -> None:
        C, lanes = self.channels, pen.machine.lanes_for(self.channels)
        one = pen.constant(1.0, lanes, DType.F64)
        M = values(pen, self, lanes)
        for c, count in vectors(pen, C, lanes):
            first, second = (total_of(pen, self, c + k * stride(C), lanes) for k in range(2))
            mean = pen.div(first, M)
            variance = pen.sub(pen.div(second, M), pen.mul(mean, mean))
            zero = pen.constant(0.0, lanes, DType.F64)
            variance = pen.select(pen.greater(zero, variance), zero, variance)
            inverse = pen.div(one, pen.sqrt(pen.add(variance, pen.constant(self.eps, lanes, DType.F64))))
            a = pen.mul(inverse, pen.convert(pen.load(pen.pointer("w"), c, lanes), DType.F64))
            for k, value in enumerate((mean, inverse)):
                pen.store(value, pen.pointer("exact"), c + k * stride(C), count)
            for name, value in zip(LINEAR, (*split_double(pen, mean), pen.convert(a, DType.F32)), strict=True):
                pen.store(value, pen.pointer(name), c, count)
            self._move(pen, "running_mean", mean, c, count)
            self._move(pen, "running_var", pen.div(pen.mul(variance, M), pen.sub(M, one)), c, count)

    def _move(self, pen: Pen, name: str, target: Value, c: Index, count: int) -> None:
        """Write running += momentum · (target − running), rounded once."""
        lanes = pen.machine.lanes_for(self.channels)
        old = pen.convert(pen.load(pen.pointer(name), c, lanes), DType.F64)
        old_part = pen.mul(pen.constant(1 - self.momentum, lanes, DType.F64), old)
        new = pen.add(pen.mul(pen.constant(self.momentum, lanes, DType.F64), target), old_part)
        pen.store(pen.convert(new, DType.F32), pen.pointer(name), c, count)


def values(pen: Pen, kernel: BatchNormStatistics | BatchNormGradients, lanes: int) -> Value:
    """Return M, the number of values per channel in the batch, in all lanes."""
    if kernel.whole:
        images = pen.load(pen.pointer("sums"), 2 * stride(kernel.channels))
        return pen.splat(pen.mul(images, pen.constant(kernel.pixels, 1, DType.F64)), lanes)
    return pen.splat(pen.as_value(pen.count("images") * kernel.pixels, DType.F64), lanes)


def total_of(pen: Pen, kernel: BatchNormStatistics | BatchNormGradients, here: Index, lanes: int) -> Value:
    """Return one vector of the sums over the batch: the shards' are reduced from first to last."""
    C = kernel.channels
    if kernel.whole:
        return pen.load(pen.pointer("sums"), here, lanes)
    total = pen.variable(pen.load(pen.pointer("sums"), here, lanes))
    with pen.loop("shard", pen.count("shards"), pen.index(1)) as shard:
        other = pen.load(pen.pointer("sums"), item(shard, 2 * stride(C)) + here, lanes)
        pen.write(total, pen.add(pen.read(total), other))
    return pen.read(total)


@dataclass(frozen=True)
class BatchNormForward(Kernel):
    """y = (x − mean) · a + b."""

    x: Plane
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        lists = dict.fromkeys((*LINEAR, "b"), reads(self.x.channels))
        return {"x": reads(self.x), **lists, "y": sets(self.y)}

    @property
    def symbol(self) -> str:
        return f"batch_norm_fwd_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        C, lanes = self.x.channels, pen.machine.lanes_for(self.x.channels)
        with pen.loop("n", pen.count("images")) as n:
            for c, count in vectors(pen, C, lanes):
                mean, rest, a, b = (pen.load(pen.pointer(name), c, lanes) for name in (*LINEAR, "b"))
                with pen.loop("p", self.x.height) as p, pen.loop("q", self.x.width) as q:
                    x = pen.load(pen.pointer("x"), self.x.at(n, p, q, c), lanes)
                    y = pen.fma(pen.sub(pen.sub(x, mean), rest), a, b)
                    pen.store(y, pen.pointer("y"), self.y.at(n, p, q, c), count)


@dataclass(frozen=True)
class BatchNormGradients(Kernel):
    """From the shards' sums: dw, db, and slope = (db / M, D / (M · (variance + eps))).

    `whole`: as for the statistics.
    """

    channels: int
    pixels: int
    whole: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        C, lists = self.channels, 2 * stride(self.channels)
        sums, exact = (reads(size, DType.F64) for size in (lists + self.whole, lists))
        return {"sums": sums, "exact": exact, "dw": sets(C), "db": sets(C), "slope": sets(4 * stride(C))}

    @property
    def symbol(self) -> str:
        return f"batch_norm_gradients{'_whole' * self.whole}_c{self.channels}p{self.pixels}"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return () if self.whole else ("images", "shards")

    @property
    def slices(self) -> int:
        """Return 1: too little work to split."""
        return 1

    def write(self, pen: Pen) -> None:
        C, lanes = self.channels, pen.machine.lanes_for(self.channels)
        M = values(pen, self, lanes)
        for c, count in vectors(pen, C, lanes):
            db, D = (total_of(pen, self, c + k * stride(C), lanes) for k in range(2))
            inverse = pen.load(pen.pointer("exact"), c + stride(C), lanes)
            dw = pen.mul(D, inverse)
            for name, value in (("dw", dw), ("db", db)):
                pen.store(pen.convert(value, DType.F32), pen.pointer(name), c, count)
            slope = (pen.div(db, M), pen.div(pen.mul(dw, inverse), M))
            for k, value in enumerate((*split_double(pen, slope[0]), *split_double(pen, slope[1]))):
                pen.store(value, pen.pointer("slope"), c + k * stride(C), count)


@dataclass(frozen=True)
class BatchNormBackward(Kernel):
    """dx = (set) or dx += (add) a · ((dy − slope₀) − (x − mean) · slope₁)."""

    x: Plane
    dy: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        C, dx = self.x.channels, (adds if self.add else sets)(self.x)
        lists = {**dict.fromkeys(LINEAR, reads(C)), "slope": reads(4 * stride(C))}
        return {"x": reads(self.x), "dy": reads(self.dy), **lists, "dx": dx}

    @property
    def symbol(self) -> str:
        return f"batch_norm_bwd{'_add' * self.add}_{self.x.label}_{self.dy.label}"

    def write(self, pen: Pen) -> None:
        C, lanes = self.x.channels, pen.machine.lanes_for(self.x.channels)
        with pen.loop("n", pen.count("images")) as n:
            for c, count in vectors(pen, C, lanes):
                mean, rest, a = (pen.load(pen.pointer(name), c, lanes) for name in LINEAR)
                offset, offset_rest, slope, slope_rest = (
                    pen.load(pen.pointer("slope"), c + k * stride(C), lanes) for k in range(4)
                )
                slope, slope_rest, offset_rest = (pen.negative(v) for v in (slope, slope_rest, offset_rest))
                with pen.loop("p", self.x.height) as p, pen.loop("q", self.x.width) as q:
                    here = self.x.at(n, p, q, c)
                    x = pen.sub(pen.sub(pen.load(pen.pointer("x"), here, lanes), mean), rest)
                    dy = pen.sub(pen.load(pen.pointer("dy"), self.dy.at(n, p, q, c), lanes), offset)
                    line = pen.fma(x, slope, pen.fma(x, slope_rest, offset_rest))
                    dx = pen.mul(a, pen.add(dy, line))
                    if self.add:
                        dx = pen.add(pen.load(pen.pointer("dx"), here, lanes), dx)
                    pen.store(dx, pen.pointer("dx"), here, count)
