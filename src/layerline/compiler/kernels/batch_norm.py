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
a barrier in between, because the sums are over the whole batch. These passes are bound by memory, not by arithmetic:
norm_pass.py fuses what follows a normalization into them. An activation's slope is then computed from x again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, reads, sets, updates
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.plane import Plane, item

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.activations import Activation
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
        def of_channels(c: Index, lanes: int) -> Terms:
            def terms(n: Index, p: Index, q: Index) -> tuple[Value, Value]:
                x = pen.convert(pen.load(pen.pointer("x"), self.x.at(n, p, q, c), lanes), DType.F64)
                pen.prefetch(pen.pointer("x"), self.x.at(n, p + 1, q, c))
                return x, pen.mul(x, x)

            return terms

        accumulate(pen, self.x, of_channels)


@dataclass(frozen=True)
class ChannelLine:
    """The normalization of one vector of channels: y = (x − mean) · a + b."""

    mean: Value
    rest: Value
    a: Value

    @classmethod
    def loaded(cls, pen: Pen, c: Index, lanes: int) -> ChannelLine:
        """Return the statistics of the channels from c."""
        return cls(*(pen.load(pen.pointer(name), c, lanes) for name in LINEAR))

    def centered(self, pen: Pen, x: Value) -> Value:
        """Return x − mean."""
        return pen.sub(pen.sub(x, self.mean), self.rest)

    def y(self, pen: Pen, centered: Value, b: Value) -> Value:
        """Return y from x − mean."""
        return pen.fma(centered, self.a, b)


def passed(pen: Pen, activation: Activation, dy: Value, y: Value) -> Value:
    """Return the gradient dy of f(y), passed back to y."""
    return activation.gradient(pen, dy, activation.forward(pen, y) if activation.from_result else y)


@dataclass(frozen=True)
class BatchNormGradientSums(Kernel):
    """sums += (Σ dy, Σ dy · (x − mean)), per channel; partial per shard.

    `activation`: dy is the gradient after it, and is passed back through it first.
    """

    x: Plane
    dy: Plane
    activation: Activation | None = None

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        lists = 2 * stride(self.x.channels)
        exact, sums = reads(lists, DType.F64), adds(lists, DType.F64)
        line = dict.fromkeys((*LINEAR, "b"), reads(self.x.channels)) if self.activation else {}
        return {"x": reads(self.x), "dy": reads(self.dy), "exact": exact, **line, "sums": sums}

    @property
    def symbol(self) -> str:
        return f"batch_norm{label(self.activation)}_gradient_sums_{self.x.label}_{self.dy.label}"

    def write(self, pen: Pen) -> None:
        def of_channels(c: Index, lanes: int) -> Terms:
            mean = pen.load(pen.pointer("exact"), c, lanes)
            line = ChannelLine.loaded(pen, c, lanes) if self.activation else None
            b = pen.load(pen.pointer("b"), c, lanes) if self.activation else None

            def terms(n: Index, p: Index, q: Index) -> tuple[Value, Value]:
                x = pen.load(pen.pointer("x"), self.x.at(n, p, q, c), lanes)
                dy = pen.load(pen.pointer("dy"), self.dy.at(n, p, q, c), lanes)
                pen.prefetch(pen.pointer("x"), self.x.at(n, p + 1, q, c))
                pen.prefetch(pen.pointer("dy"), self.dy.at(n, p + 1, q, c))
                if self.activation and line and b:
                    dy = passed(pen, self.activation, dy, line.y(pen, line.centered(pen, x), b))
                exact = pen.convert(dy, DType.F64)
                return exact, pen.mul(exact, pen.sub(pen.convert(x, DType.F64), mean))

            return terms

        accumulate(pen, self.x, of_channels)


Terms = Callable[["Index", "Index", "Index"], tuple["Value", "Value"]]
"""A function that writes the two terms of a pixel, given its image, row and column."""


def label(activation: Activation | None) -> str:
    """Return a fused activation as it appears in symbols."""
    return f"_{activation.label}" if activation else ""


def accumulate(pen: Pen, plane: Plane, of_channels: Callable[[Index, int], Terms]) -> None:
    """Write sums[0] += Σ of the first term, sums[1] += Σ of the second, over all pixels of all images."""
    C, lanes, sums = plane.channels, pen.machine.lanes_for(plane.channels), pen.pointer("sums")
    zero = pen.constant(0.0, lanes, DType.F64)
    with pen.loop("n", pen.count("images")) as n:
        for c, count in vectors(pen, C, lanes):
            chains = [[pen.variable(zero) for _ in range(2)] for _ in range(CHAINS)]
            terms = of_channels(c, lanes)

            def add(p: Index, q: Index, chain: list[Variable], terms: Terms = terms) -> None:
                for total, term in zip(chain, terms(n, p, q), strict=True):
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
    """y = f((x − mean) · a + b + other), with an activation f or none, and with the other branch of a sum or none."""

    x: Plane
    y: Plane
    activation: Activation | None = None
    other: Plane | None = None

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        lists = dict.fromkeys((*LINEAR, "b"), reads(self.x.channels))
        other = {"other": reads(self.other)} if self.other else {}
        return {"x": reads(self.x), **lists, **other, "y": sets(self.y)}

    @property
    def symbol(self) -> str:
        planes = "_".join(plane.label for plane in (self.x, self.other, self.y) if plane)
        return f"batch_norm{'_sum' * bool(self.other)}{label(self.activation)}_fwd_{planes}"

    def write(self, pen: Pen) -> None:
        C, lanes = self.x.channels, pen.machine.lanes_for(self.x.channels)
        with pen.loop("n", pen.count("images")) as n, pen.loop("p", self.x.height) as p:
            for c, count in vectors(pen, C, lanes):
                line, b = ChannelLine.loaded(pen, c, lanes), pen.load(pen.pointer("b"), c, lanes)
                with pen.loop("q", self.x.width) as q:
                    x = pen.load(pen.pointer("x"), self.x.at(n, p, q, c), lanes)
                    pen.prefetch(pen.pointer("x"), self.x.at(n, p + 1, q, c))
                    y = line.y(pen, line.centered(pen, x), b)
                    if self.other:
                        y = pen.add(y, pen.load(pen.pointer("other"), self.other.at(n, p, q, c), lanes))
                    if self.activation:
                        y = self.activation.forward(pen, y)
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
    """dx = (set) or dx += (add) a · ((dy − slope₀) − (x − mean) · slope₁).

    `activation`: dy is the gradient after it, and is passed back through it first.
    """

    x: Plane
    dy: Plane
    add: bool = False
    activation: Activation | None = None

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        C, dx = self.x.channels, (adds if self.add else sets)(self.x)
        names = (*LINEAR, "b") if self.activation else LINEAR
        lists = {**dict.fromkeys(names, reads(C)), "slope": reads(4 * stride(C))}
        return {"x": reads(self.x), "dy": reads(self.dy), **lists, "dx": dx}

    @property
    def symbol(self) -> str:
        return f"batch_norm{label(self.activation)}_bwd{'_add' * self.add}_{self.x.label}_{self.dy.label}"

    def write(self, pen: Pen) -> None:
        C, lanes = self.x.channels, pen.machine.lanes_for(self.x.channels)
        with pen.loop("n", pen.count("images")) as n, pen.loop("p", self.x.height) as p:
            for c, count in vectors(pen, C, lanes):
                line = ChannelLine.loaded(pen, c, lanes)
                b = pen.load(pen.pointer("b"), c, lanes) if self.activation else None
                offset, offset_rest, slope, slope_rest = (
                    pen.load(pen.pointer("slope"), c + k * stride(C), lanes) for k in range(4)
                )
                slope, slope_rest, offset_rest = (pen.negative(v) for v in (slope, slope_rest, offset_rest))
                with pen.loop("q", self.x.width) as q:
                    here = self.x.at(n, p, q, c)
                    x = line.centered(pen, pen.load(pen.pointer("x"), here, lanes))
                    dy = pen.load(pen.pointer("dy"), self.dy.at(n, p, q, c), lanes)
                    pen.prefetch(pen.pointer("x"), self.x.at(n, p + 1, q, c))
                    pen.prefetch(pen.pointer("dy"), self.dy.at(n, p + 1, q, c))
                    if self.activation and b:
                        dy = passed(pen, self.activation, dy, line.y(pen, x, b))
                    rising = pen.fma(x, slope, pen.fma(x, slope_rest, offset_rest))
                    dx = pen.mul(line.a, pen.add(pen.sub(dy, offset), rising))
                    if self.add:
                        dx = pen.add(pen.load(pen.pointer("dx"), here, lanes), dx)
                    pen.store(dx, pen.pointer("dx"), here, count)
