"""Fully connected layers.

The math.  x (N, I), w (O, I), float32:
    y[n, o] = b[o] + Σ_i x[n, i] · w[o, i]      dx[n, i] = Σ_o dy[n, o] · w[o, i]      dw[o, i] = Σ_n dy[n, o] · x[n, i]
The sum over i is accumulated in lanes (lane l adds i = l, l + L, …), which are then reduced as a tree; those over o and
n in order.

The schedule.  Lanes run over i in all three, so the weights have a single layout. Forward: M images × K outputs are
accumulated at once, M + K loads for M·K multiply-adds. Weight gradient: there are no partial gradients per shard; an
item owns a slice of w, accumulates the whole batch in registers and, if the optimizer allows, applies the step
immediately, so that the gradient is never written to memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.plane import item
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.optimizers import Optimizer
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Value


MAX_ITEMS: Final = 16
"""Maximum items that the weight gradient is split into: drawing one costs two atomic operations on shared counters."""


PREFETCH_DISTANCE: Final = 8
"""Images to prefetch ahead in the weight gradient: about half of them were just written by another core."""


@dataclass(frozen=True)
class FCShape:
    """Inputs, outputs, and the padded length of a row of weights."""

    inputs: int
    outputs: int
    padded: int

    @property
    def weights(self) -> int:
        """Return the number of elements of the weights."""
        return self.outputs * self.padded

    @property
    def label(self) -> str:
        """Return the sizes as they appear in symbols."""
        return f"i{self.inputs}o{self.outputs}"


def fc_shape(inputs: int, outputs: int, machine: Machine) -> FCShape:
    """Return the sizes with rows padded to whole vectors."""
    lanes = machine.lanes_for(inputs)
    return FCShape(inputs, outputs, -(-inputs // lanes) * lanes)


@dataclass(frozen=True)
class FCTile:
    """The tile: images × outputs (forward), or images × vectors (input gradient)."""

    images: int
    width: int


def images_per_tile(images: int, most: int) -> int:
    """Return the images per tile, at most `most`, that minimize the number of tiles; each leftover image counts as
    one."""
    return min(range(1, most + 1), key=lambda m: (images // m + images % m, -m))


def forward_tile(shape: FCShape, machine: Machine, images: int) -> FCTile:
    """Return the tile of the forward kernel for groups of `images` images."""
    M = images_per_tile(images, 5 if machine.registers >= 32 else 3)
    return FCTile(M, balanced(shape.outputs, (machine.registers - M - 1) // M)[0][1])


def one_image_tile(shape: FCShape, machine: Machine) -> FCTile:
    """Return the tile of the forward kernel for one image: more outputs save hardly any loads, and each is code.

    lenet5 in C for a Cortex-M4: 4.1 kB of code with 10 outputs, 2.9 kB with 6 (GCC 12, -O2).
    """
    return FCTile(1, balanced(shape.outputs, machine.registers // 2)[0][1])


def input_tile(shape: FCShape, machine: Machine, images: int) -> FCTile:
    """Return the tile of the input gradient for groups of `images` images."""
    M = images_per_tile(images, 5 if machine.registers >= 32 else 3)
    vectors = shape.padded // machine.lanes_for(shape.inputs)
    return FCTile(M, balanced(vectors, min(4, max(1, (machine.accumulators - 4) // M)))[0][1])


def image_tiles(pen: Pen, most: int) -> Iterator[tuple[Index, int]]:
    """Write a loop over tiles of `most` images, then one over the remaining images; yields (first image, count)."""
    tiles, _ = divmod(pen.count("images"), most)
    if most > 1:
        with pen.loop("tile", tiles) as tile:
            yield tile * most, most
        with pen.loop("n", pen.count("images"), tiles * most) as n:
            yield n, 1
    else:
        with pen.loop("n", pen.count("images")) as n:
            yield n, 1


@dataclass(frozen=True)
class FCForward(Kernel):
    """y = x · wᵀ + b."""

    shape: FCShape
    tile: FCTile
    bias: bool = True

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        shape = self.shape
        b = {"b": reads(shape.outputs)} if self.bias else {}
        return {"x": reads(shape.inputs), "w": reads(shape.weights), **b, "y": sets(shape.outputs)}

    @property
    def symbol(self) -> str:
        return f"fc{'_b' * self.bias}_fwd_{self.shape.label}__{self.tile.images}x{self.tile.width}"

    def multiply_adds(self, images: int) -> int:
        return images * self.shape.inputs * self.shape.outputs

    def write(self, pen: Pen) -> None:
        for n, images in image_tiles(pen, self.tile.images):
            for o0, outputs, tiles in balanced(self.shape.outputs, self.tile.width):
                with pen.loop("o", tiles) as t:
                    self._tile(pen, n, t * outputs + o0, images, outputs)

    def _tile(self, pen: Pen, n: Index, o: Index, images: int, outputs: int) -> None:
        shape, lanes = self.shape, pen.machine.lanes_for(self.shape.inputs)
        x, w = pen.at(pen.pointer("x"), item(n, shape.inputs)), pen.at(pen.pointer("w"), o * shape.padded)
        zero = pen.constant(0.0, lanes)
        sums = {(m, k): pen.variable(zero) for m in range(images) for k in range(outputs)}
        with pen.loop("i", shape.padded, step=lanes) as i:
            values = [pen.load(x, i + item(m, shape.inputs), lanes) for m in range(images)]
            for k in range(outputs):
                weights = pen.load(w, i + k * shape.padded, lanes)
                for m, value in enumerate(values):
                    pen.write(sums[m, k], pen.fma(weights, value, pen.read(sums[m, k])))
        y = pen.at(pen.pointer("y"), item(n, shape.outputs) + o)
        for (m, k), total in sums.items():
            value = pen.fold(pen.read(total))
            if self.bias:
                value = pen.add(value, pen.load(pen.pointer("b"), o + k))
            pen.store(value, y, item(m, shape.outputs) + k)


@dataclass(frozen=True)
class FCInput(Kernel):
    """dx = dy · w (set), or dx += it (add)."""

    shape: FCShape
    tile: FCTile
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        shape = self.shape
        dx = (adds if self.add else sets)(shape.inputs)
        return {"dy": reads(shape.outputs), "w": reads(shape.weights), "dx": dx}

    @property
    def symbol(self) -> str:
        return f"fc_input{'_add' * self.add}_{self.shape.label}__{self.tile.images}x{self.tile.width}"

    def multiply_adds(self, images: int) -> int:
        return images * self.shape.inputs * self.shape.outputs

    def write(self, pen: Pen) -> None:
        lanes = pen.machine.lanes_for(self.shape.inputs)
        for n, images in image_tiles(pen, self.tile.images):
            for v0, vectors, tiles in balanced(self.shape.padded // lanes, self.tile.width):
                with pen.loop("v", tiles) as t:
                    self._tile(pen, n, (t * vectors + v0) * lanes, images, vectors)

    def _tile(self, pen: Pen, n: Index, i: Index, images: int, vectors: int) -> None:
        shape, lanes = self.shape, pen.machine.lanes_for(self.shape.inputs)
        dx = pen.at(pen.pointer("dx"), item(n, shape.inputs) + i)
        dy, w = pen.at(pen.pointer("dy"), item(n, shape.outputs)), pen.at(pen.pointer("w"), i)
        cells = {(m, v): item(m, shape.inputs) + v * lanes for m in range(images) for v in range(vectors)}
        zero = pen.constant(0.0, lanes)
        sums = {cell: pen.variable(pen.load(dx, at, lanes) if self.add else zero) for cell, at in cells.items()}
        with pen.loop("o", shape.outputs) as o:
            weights = [pen.load(w, o * shape.padded + v * lanes, lanes) for v in range(vectors)]
            for m in range(images):
                g = pen.broadcast(dy, o + item(m, shape.outputs), lanes)
                for v, weight in enumerate(weights):
                    pen.write(sums[m, v], pen.fma(g, weight, pen.read(sums[m, v])))
        for cell, at in cells.items():
            pen.store(pen.read(sums[cell]), dx, at)


@dataclass(frozen=True)
class WeightsTile:
    """The tile: outputs × vectors of `lanes` lanes."""

    outputs: int
    vectors: int
    lanes: int


def weights_tile(shape: FCShape, machine: Machine) -> WeightsTile:
    """Return the tile of the weight gradient."""
    lanes = machine.lanes_for(shape.inputs)
    vectors = balanced(shape.padded // lanes, 2)[0][1]
    return WeightsTile(balanced(shape.outputs, (machine.accumulators - 4) // vectors)[0][1], vectors, lanes)


@dataclass(frozen=True)
class FCWeights(Kernel):
    """dw = Σ over the batch of dy · x, slice by slice; with an optimizer the step is fused and dw is never stored."""

    shape: FCShape
    tile: WeightsTile
    optimizer: Optimizer | None = None

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        shape, w = self.shape, self.shape.weights
        out = self.optimizer.arguments(w) if self.optimizer else {"dw": sets(w)}
        return {"x": reads(shape.inputs), "dy": reads(shape.outputs), **out}

    @property
    def symbol(self) -> str:
        step = f"_{self.optimizer.label}" if self.optimizer else ""
        return f"fc_weights{step}_{self.shape.label}__{self.tile.outputs}x{self.tile.vectors}v{self.tile.lanes}"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return ("images", *(self.optimizer.scalars if self.optimizer else ()))

    @property
    def slices(self) -> int:
        """Return the number of chunks of the inputs: each item owns some columns of w, for all outputs."""
        return sum(items for *_, items in self._pieces)

    @property
    def _pieces(self) -> list[tuple[int, int, int, int]]:
        """Return (first vector, vectors per tile, tiles, items) for each tile size."""
        splits = balanced(self.shape.padded // self.tile.lanes, self.tile.vectors)
        return [(first, vectors, tiles, -(-tiles // self._tiles_per_item)) for first, vectors, tiles in splits]

    @property
    def _tiles_per_item(self) -> int:
        vectors = self.shape.padded // self.tile.lanes
        return max(1, -(-vectors // (self.tile.vectors * MAX_ITEMS)))

    def multiply_adds(self, images: int) -> int:
        return images * self.shape.inputs * self.shape.outputs

    def write(self, pen: Pen) -> None:
        done, several = 0, self._tiles_per_item
        for v0, vectors, tiles, items in self._pieces:
            item = pen.count("item") - done
            with pen.when(item.within(items)):
                first = item * several
                with pen.loop("v", pen.smaller(first + several, tiles), first) as v:
                    for o0, outputs, o_tiles in balanced(self.shape.outputs, self.tile.outputs):
                        with pen.loop("o", o_tiles) as t:
                            self._tile(pen, t * outputs + o0, (v * vectors + v0) * self.tile.lanes, outputs, vectors)
            done += items

    def _tile(self, pen: Pen, o: Index, i: Index, outputs: int, vectors: int) -> None:
        shape, lanes = self.shape, pen.machine.lanes_for(self.shape.inputs)
        x, dy = pen.at(pen.pointer("x"), i), pen.at(pen.pointer("dy"), o)
        zero = pen.constant(0.0, lanes)
        sums = {(k, v): pen.variable(zero) for k in range(outputs) for v in range(vectors)}
        with pen.loop("n", pen.count("images")) as n:
            for v in range(vectors):
                pen.prefetch(x, item(n, shape.inputs) + (item(PREFETCH_DISTANCE, shape.inputs) + v * lanes))
            values = [pen.load(x, item(n, shape.inputs) + v * lanes, lanes) for v in range(vectors)]
            for k in range(outputs):
                g = pen.broadcast(dy, item(n, shape.outputs) + k, lanes)
                for v, value in enumerate(values):
                    pen.write(sums[k, v], pen.fma(g, value, pen.read(sums[k, v])))
        for (k, v), total in sums.items():
            self._finish(pen, pen.read(total), o * shape.padded + i + (k * shape.padded + v * lanes), lanes)

    def _finish(self, pen: Pen, g: Value, place: Index, lanes: int) -> None:
        if self.optimizer is None:
            pen.store(g, pen.pointer("dw"), place)
        else:
            self.optimizer.step(pen, g, place, lanes)
