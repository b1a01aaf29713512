"""Network → Program, as plainly as possible: every layer its own kernels, every gradient a buffer, every update a
kernel.

`passes` makes it fast. How a layer is lowered stands in its kernel file: LOWER maps a layer's kind to that function.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.folding import folds
from layerline.compiler.kernels import (
    activations_lower,
    average_lower,
    batch_norm_lower,
    conv_lower,
    depthwise_lower,
    dropout_lower,
    fc_lower,
    pool_lower,
    relu_lower,
    sum_lower,
)
from layerline.compiler.kernels.augment import Augment
from layerline.compiler.kernels.load import Load
from layerline.compiler.kernels.loss import LossTotal, Probabilities, Reorder, SoftmaxLoss
from layerline.compiler.kernels.step_lower import HYPER, clipping, kept_beside, step
from layerline.compiler.kernels.update import Reduce, Step
from layerline.compiler.plane import Plane, room
from layerline.compiler.program import Buffer, Kind, Op, Per, Program, Tensor
from layerline.data.augment import steps as augmented

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.kernel import Kernel
    from layerline.compiler.kernels.muon import Filters
    from layerline.compiler.kernels.update import Grid
    from layerline.compiler.layout import Columns, Layout
    from layerline.compiler.machine import Machine
    from layerline.compiler.task import Task
    from layerline.network import Network, Node


@dataclass(eq=False)
class Value:
    """What a layer reads or writes, in memory; Flat gives the same Value under another shape."""

    buffer: Buffer
    plane: Plane
    image: tuple[int, int, int]
    """(C, H, W) in which order an FC layer's inputs are counted."""
    trained_above: bool
    """Whether a weight stands before it, so that its gradient is needed."""
    gradient: Buffer | None = None


@dataclass(eq=False)
class Builder:
    """Collects ops while layers are lowered; a layer's way back is kept until all have gone forward."""

    network: Network
    machine: Machine
    task: Task
    values: dict[int, Value] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    sums: list[Op] = field(default_factory=list)
    steps: list[Op] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    way_back: list[Callable[[], None]] = field(default_factory=list)
    kinds: dict[str, Kind] = field(default_factory=dict)
    """What each trained parameter is, by its name."""
    grids: dict[Buffer, Grid] = field(default_factory=dict)
    """How each parameter's gradient lies."""
    folds: dict[int, int] = field(default_factory=dict)
    """In the forward-only Program: a BatchNorm's node → the node whose weights take it in."""

    @property
    def order(self) -> Buffer:
        """Return which images the batch has."""
        return ORDER

    @property
    def training(self) -> bool:
        """Whether there is a way back."""
        return self.task.training

    @property
    def shards(self) -> int:
        """Return the shards of a full batch."""
        return -(-self.task.batch_size // shard_size(self.task.batch_size))

    def op(self, kernel: Kernel, *buffers: Buffer) -> None:
        """Add an op."""
        self.ops.append(Op(kernel, buffers))

    def value(self, number: int) -> Value:
        """Return what a node reads."""
        return self.values[number]

    def output(
        self, node: Node, plane: Plane, *, trained: bool = False, image: tuple[int, int, int] | None = None
    ) -> Value:
        """Make the value that a node writes; its plane gets the border that its readers want."""
        top, left, bottom, right = self.border(node.index + 1)
        plane = Plane(plane.channels, plane.height, plane.width, top, left, bottom, right)
        buffer = Buffer(f"y{node.index}", room(plane.size), Per.IMAGE, plane=plane)
        trained = trained or any(self.values[i].trained_above for i in node.inputs)
        value = Value(buffer, plane, image or (plane.channels, plane.height, plane.width), trained)
        self.values[node.index + 1] = value
        return value

    @functools.cached_property
    def _reading(self) -> dict[int, list[Node]]:
        """The nodes that read each value, by its number."""
        reading: dict[int, list[Node]] = {}
        for node in self.network.nodes:
            for number in dict.fromkeys(node.inputs):
                reading.setdefault(number, []).append(node)
        return reading

    def border(self, value: int) -> tuple[int, int, int, int]:
        """Return the zeros around a value that its readers want: (top, left, bottom, right)."""
        sides = [(0, 0, 0, 0)]
        for node in self._reading.get(value, ()):
            if node.layer.kind in BORDER:
                sides.append(BORDER[node.layer.kind](node))
            elif self.passes(node):
                sides.append(self.border(node.index + 1))
        top, left, bottom, right = (max(side) for side in zip(*sides, strict=True))
        return top, left, bottom, right

    def passes(self, node: Node) -> bool:
        """Whether a layer does nothing in the forward-only Program, so that its output is its input."""
        return not self.training and (node.layer.kind == "dropout" or node.index in self.folds)

    def takes_in(self, node: Node) -> bool:
        """Whether a layer's weights take in the BatchNorm behind it, which gives it a bias."""
        return not self.training and node.index in self.folds.values()

    def readers(self, value: Value) -> int:
        """Return how many layers read a value, under whatever number."""
        inputs = [i for node in self.network.nodes for i in node.inputs if self.values.get(node.index + 1) is not value]
        return sum(self.values[i] is value for i in inputs if i in self.values)

    def scratch(self, name: str, size: int, dtype: DType = DType.F32) -> Buffer:
        """Make a buffer for each image."""
        return Buffer(name, room(size), Per.IMAGE, dtype)

    def gradient(self, value: Value) -> tuple[Buffer, bool]:
        """Return where the gradient by a value is written, and whether it is added to what is there (a second
        reader)."""
        if value.gradient is None:
            value.gradient = Buffer("d" + value.buffer.name, value.buffer.size, Per.IMAGE, plane=value.plane)
            return value.gradient, False
        return value.gradient, True

    def tensor(
        self,
        name: str,
        buffer: str,
        layouts: tuple[tuple[str, Layout], ...],
        grid: Grid | None = None,
        kind: Kind = Kind.PLAIN,
    ) -> tuple[Buffer, ...]:
        """Make a parameter and its homes; returns their buffers. Without a grid it is not trained."""
        homes = tuple((Buffer(buffer + suffix, room(layout.size), Per.ONCE), layout) for suffix, layout in layouts)
        slots: tuple[tuple[str, Buffer], ...] = ()
        gradient = None
        if self.training and grid is not None:
            gradient = Buffer("d" + buffer, room(grid.size), Per.ONCE)
            names = kept_beside(self.task, kind)
            slots = tuple((slot, Buffer(f"{slot}_{buffer}", room(grid.size), Per.ONCE)) for slot in names)
            self.kinds[name], self.grids[gradient] = kind, grid
        self.tensors[name] = Tensor(name, homes, slots, gradient)
        return tuple(home for home, _ in homes)

    def step(self, name: str, grid: Grid, columns: Columns | None = None, filters: Filters | None = None) -> None:
        """Add the optimiser's step on a parameter, from its whole gradient. filters: how those of a Conv lie."""
        tensor, kind = self.tensors[name], self.kinds[name]
        step(self, tensor, kind, Step(grid, self.task.stepped_by(kind), columns=columns), filters)

    def partial(self, name: str, grid: Grid) -> Buffer:
        """Make a gradient that is summed shard by shard, and the op that adds the shards up."""
        tensor = self.tensors[name]
        assert tensor.gradient is not None  # noqa: S101 - only called when training
        partial = Buffer(tensor.gradient.name + "s", room(grid.size), Per.SHARD)
        self.sums.append(Op(Reduce(grid), (partial, tensor.gradient)))
        return partial

    def whole_gradient(self, name: str) -> Buffer:
        """Return where a parameter's whole gradient goes."""
        tensor = self.tensors[name]
        assert tensor.gradient is not None  # noqa: S101 - only called when training
        return tensor.gradient


# What the caller brings. `position` buffers have an element, or a row, for each image of the batch, in its order.
LABELS = Buffer("labels", 0, Per.GIVEN, DType.I32)
ORDER = Buffer("order", 1, Per.POSITION, DType.I64)
CLASS_WEIGHTS = Buffer("class_weights", 0, Per.GIVEN)
"""One a class, then their sum."""
SCALE, SHIFT = Buffer("scale", 0, Per.GIVEN), Buffer("shift", 0, Per.GIVEN)
MOVES = Buffer("moves", len(augmented.MOVES), Per.POSITION, DType.I32)
NUMBERS = Buffer("numbers", len(augmented.NUMBERS), Per.POSITION)

LOWER = {
    "conv": conv_lower.lower,
    "relu": relu_lower.lower,
    "pool": pool_lower.lower,
    "flat": fc_lower.lower_flat,
    "fc": fc_lower.lower,
    "softmax": fc_lower.lower_nothing,
    "batch_norm": batch_norm_lower.lower,
    "add": sum_lower.lower,
    "depthwise": depthwise_lower.lower,
    "avg_pool": average_lower.lower,
    "global_pool": average_lower.lower_global,
    "dropout": dropout_lower.lower,
    **dict.fromkeys(activations_lower.FUNCTIONS, activations_lower.lower),
}
BORDER = {"conv": conv_lower.border, "depthwise": conv_lower.border}
"""What a layer of a kind wants around its input; the others want nothing."""


def images(task: Task) -> Buffer:
    """Return the caller's images."""
    return Buffer("images", 0, Per.GIVEN, task.source)


def build(network: Network, machine: Machine, task: Task) -> Program:
    """Return the plain Program."""
    b = Builder(network, machine, task, folds={} if task.training else folds(network))
    C, H, W = network.input_shape
    plane = Plane(C, H, W, *b.border(0))
    x = Value(Buffer("x", room(plane.size), Per.IMAGE, plane=plane), plane, (C, H, W), trained_above=False)
    b.values[0] = x
    lies = (plane, task.source, task.channels_last and C > 1, task.even_scaling)
    if task.augmented is None:
        b.op(Load(*lies), images(task), ORDER, SCALE, SHIFT, x.buffer)
    else:
        b.op(Augment(*lies, task.augmented), images(task), ORDER, MOVES, NUMBERS, SCALE, SHIFT, x.buffer)
    for node in network.nodes:
        LOWER[node.layer.kind](b, node)
    _finish(b, b.values[len(network.nodes)])
    for back in reversed(b.way_back):
        back()
    ops = (*b.ops, *b.sums, *clipping(b), *b.steps)
    shard = shard_size(task.batch_size) if task.training else PREDICTION_GROUP
    return Program(ops, tuple(b.tensors.values()), task.training, task.batch_size, shard, group=1)


def _finish(b: Builder, logits: Value) -> None:
    """Add softmax and loss; classes count in the order C, H, W, whatever the order in memory."""
    K = b.network.classes
    z, (C, H, W) = logits.buffer, logits.image
    reorder = C > 1 and H * W > 1
    if reorder:
        z = b.scratch("z", K)
        b.op(Reorder(C, H * W), logits.buffer, z)
    if not b.training:
        probabilities, losses = Buffer("probabilities", K, Per.POSITION), Buffer("losses", 1, Per.POSITION, DType.F64)
        b.op(Probabilities(K), z, LABELS, ORDER, probabilities, losses)
        return
    dz = b.gradient(logits)[0]
    loss, total = Buffer("loss", room(1), Per.SHARD, DType.F64), Buffer("total", room(2), Per.ONCE, DType.F64)
    tallies = Buffer("tallies", 3 * K, Per.THREAD, DType.I64)
    dz_ordered = b.scratch("dz", K) if reorder else dz
    extra = () if b.task.objective.plain else (HYPER, CLASS_WEIGHTS)
    b.op(SoftmaxLoss(K, b.task.objective), z, LABELS, ORDER, *extra, dz_ordered, loss, tallies)
    if reorder:
        b.op(Reorder(H * W, C), dz_ordered, dz)
    b.sums.append(Op(LossTotal(), (loss, total)))


MOST_SHARDS: Final = 16


def shard_size(batch_size: int) -> int:
    """Return the images of a shard, from the batch size alone, so that the bits do not depend on the threads.

    At most 16 shards. Of the sizes that give 8 to 16 it takes the one that leaves two threads idle the least, then four
    and eight: 50 images are 10 shards of 5, and not 8 of 7, which two threads would share 28 to 22.

    Among the sizes that make the same number of shards, what the busier of two threads takes only rises with the size
    (it has one full shard more) or only falls (it has the last one, which is what the others leave). So the best is the
    smallest or the largest of them, and no batch is too large to be looked at.
    """
    fewest, most = -(-batch_size // MOST_SHARDS), -(-batch_size // 8)
    smallest = [-(-batch_size // shards) for shards in range(1, MOST_SHARDS + 1)]
    ends = {size for least in smallest for size in (least - 1, least) if fewest <= size <= most}
    return min(sorted(ends), key=lambda size: (_longest(batch_size, size, 2), _idle(batch_size, size)))


def _idle(batch_size: int, size: int) -> int:
    """Return the image places that four and eight threads leave unused."""
    return sum(_longest(batch_size, size, threads) * threads for threads in (4, 8))


def _longest(batch_size: int, size: int, threads: int) -> int:
    """Return the images that the busiest of some threads takes, each drawing the next shard when it is done."""
    loads = [0] * threads
    for first in range(0, batch_size, size):
        loads[loads.index(min(loads))] += min(size, batch_size - first)
    return max(loads)


PREDICTION_GROUP: Final = 10
"""Images that the forward-only Program takes through the network together, at most."""
