"""Network → Program, as plainly as possible: every layer its own kernels, every gradient a buffer, every update a
kernel.

`passes` makes it fast. How a layer is lowered stands in its kernel file: LOWER maps a layer's kind to that function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from layerline.compiler.kernels import conv_lower, fc_lower, pool_lower, relu_lower
from layerline.compiler.kernels.load import Load
from layerline.compiler.kernels.loss import LossTotal, Probabilities, Reorder, SoftmaxLoss
from layerline.compiler.kernels.update import Reduce, Step
from layerline.compiler.program import Buffer, Op, Plane, Program, Tensor, room

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.kernels.update import Grid
    from layerline.compiler.layout import Columns, Layout
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Kernel
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
    tensors: list[Tensor] = field(default_factory=list)
    way_back: list[Callable[[], None]] = field(default_factory=list)

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
        top, left, bottom, right = _border(self.network, node.index + 1)
        plane = Plane(plane.channels, plane.height, plane.width, top, left, bottom, right)
        buffer = Buffer(f"y{node.index}", room(plane.size), "image", plane=plane)
        trained = trained or any(self.values[i].trained_above for i in node.inputs)
        value = Value(buffer, plane, image or (plane.channels, plane.height, plane.width), trained)
        self.values[node.index + 1] = value
        return value

    def scratch(self, name: str, size: int, dtype: str = "f32") -> Buffer:
        """Make a buffer for each image."""
        return Buffer(name, room(size), "image", dtype)

    def gradient(self, value: Value) -> tuple[Buffer, bool]:
        """Return where the gradient by a value is written, and whether it is added to what is there (a second
        reader)."""
        if value.gradient is None:
            value.gradient = Buffer("d" + value.buffer.name, value.buffer.size, "image", plane=value.plane)
            return value.gradient, False
        return value.gradient, True

    def tensor(self, name: str, buffer: str, layouts: tuple[tuple[str, Layout], ...], grid: Grid) -> tuple[Buffer, ...]:
        """Make a parameter and its homes; returns their buffers."""
        homes = tuple((Buffer(buffer + suffix, room(layout.size), "once"), layout) for suffix, layout in layouts)
        momentum = gradient = None
        if self.training:
            gradient = Buffer("d" + buffer, room(grid.size), "once")
            momentum = Buffer("v" + buffer, room(grid.size), "once") if self.task.optimizer.momentum else None
        self.tensors.append(Tensor(name, homes, momentum, gradient))
        return tuple(home for home, _ in homes)

    def step(self, name: str, grid: Grid, columns: Columns | None = None) -> None:
        """Add the optimiser's step on a parameter, from its whole gradient."""
        tensor = next(t for t in self.tensors if t.name == name)
        assert tensor.gradient is not None  # noqa: S101 - only called when training
        homes = [buffer for buffer, _ in tensor.homes]
        momentum = [tensor.momentum] if tensor.momentum else []
        kernel = Step(grid, self.task.optimizer, columns=columns)
        self.steps.append(Op(kernel, (tensor.gradient, homes[0], *momentum, HYPER, *homes[1:])))

    def partial(self, name: str, grid: Grid) -> Buffer:
        """Make a gradient that is summed shard by shard, and the op that adds the shards up."""
        tensor = next(t for t in self.tensors if t.name == name)
        assert tensor.gradient is not None  # noqa: S101 - only called when training
        partial = Buffer(tensor.gradient.name + "s", room(grid.size), "shard")
        self.sums.append(Op(Reduce(grid), (partial, tensor.gradient)))
        return partial

    def whole_gradient(self, name: str) -> Buffer:
        """Return where a parameter's whole gradient goes."""
        tensor = next(t for t in self.tensors if t.name == name)
        assert tensor.gradient is not None  # noqa: S101 - only called when training
        return tensor.gradient


# What the caller brings. `position` buffers have an element, or a row, for each image of the batch, in its order.
LABELS = Buffer("labels", 0, "given", "i32")
ORDER = Buffer("order", 1, "position", "i64")
SCALE, SHIFT = Buffer("scale", 0, "given"), Buffer("shift", 0, "given")
HYPER = Buffer("hyper", 0, "given")

LOWER = {
    "conv": conv_lower.lower,
    "relu": relu_lower.lower,
    "pool": pool_lower.lower,
    "flat": fc_lower.lower_flat,
    "fc": fc_lower.lower,
    "softmax": fc_lower.lower_nothing,
}
BORDER = {"conv": conv_lower.border}
"""What a layer of a kind wants around its input; the others want nothing."""


def images(task: Task) -> Buffer:
    """Return the caller's images."""
    return Buffer("images", 0, "given", task.source)


def build(network: Network, machine: Machine, task: Task) -> Program:
    """Return the plain Program. Raises NetworkError naming the line of a layer that the engine cannot run yet."""
    refuse_unknown(network)
    b = Builder(network, machine, task)
    C, H, W = network.input_shape
    plane = Plane(C, H, W, *_border(network, 0))
    x = Value(Buffer("x", room(plane.size), "image", plane=plane), plane, (C, H, W), trained_above=False)
    b.values[0] = x
    load = Load(plane, task.source, task.channels_last and C > 1, task.even_scaling)
    b.op(load, images(task), ORDER, SCALE, SHIFT, x.buffer)
    for node in network.nodes:
        LOWER[node.layer.kind](b, node)
    _finish(b, b.values[len(network.nodes)])
    for back in reversed(b.way_back):
        back()
    ops = (*b.ops, *b.sums, *b.steps)
    shard = shard_size(task.batch_size) if task.training else PREDICTION_GROUP
    return Program(ops, tuple(b.tensors), task.training, task.batch_size, shard, group=1)


def _finish(b: Builder, logits: Value) -> None:
    """Add softmax and loss; classes count in the order C, H, W, whatever the order in memory."""
    K = b.network.classes
    z, (C, H, W) = logits.buffer, logits.image
    reorder = C > 1 and H * W > 1
    if reorder:
        z = b.scratch("z", K)
        b.op(Reorder(C, H * W), logits.buffer, z)
    if not b.training:
        probabilities, losses = Buffer("probabilities", K, "position"), Buffer("losses", 1, "position", "f64")
        b.op(Probabilities(K), z, LABELS, ORDER, probabilities, losses)
        return
    dz = b.gradient(logits)[0]
    loss, total = Buffer("loss", room(1), "shard", "f64"), Buffer("total", room(2), "once", "f64")
    confusion = Buffer("confusion", K * K, "thread", "i64")
    if reorder:
        dz_ordered = b.scratch("dz", K)
        b.op(SoftmaxLoss(K), z, LABELS, ORDER, dz_ordered, loss, confusion)
        b.op(Reorder(H * W, C), dz_ordered, dz)
    else:
        b.op(SoftmaxLoss(K), z, LABELS, ORDER, dz, loss, confusion)
    b.sums.append(Op(LossTotal(), (loss, total)))


def refuse_unknown(network: Network) -> None:
    """Raise NetworkError for the first layer that has no kernels yet, with its line."""
    for node in network.nodes:
        layer = node.layer
        groups = getattr(layer, "groups", 1)
        if layer.kind not in LOWER or groups != 1:
            what = f"Conv with groups={groups}" if layer.kind in LOWER else layer.word.name
            help_text = "it runs Conv, ReLU, Pool, Flat, FC and Softmax; `--engine torch` runs every layer"
            raise network.refusal(node, f"the compiled engine cannot run {what} yet", help_text)


def shard_size(batch_size: int) -> int:
    """Return the images of a shard, from the batch size alone, so that the bits do not depend on the threads.

    At most 16 shards. Of the sizes that give 8 to 16 it takes the one that leaves two threads idle the least, then four
    and eight: 50 images are 10 shards of 5, and not 8 of 7, which two threads would share 28 to 22.
    """
    fewest = -(-batch_size // 16)
    sizes = range(fewest, max(fewest, -(-batch_size // 8)) + 1)
    return min(sizes, key=lambda size: (_longest(batch_size, size, 2), _idle(batch_size, size)))


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


def _border(network: Network, value: int) -> tuple[int, int, int, int]:
    """Return the zeros around a value that its readers want: (top, left, bottom, right)."""
    readers = [node for node in network.nodes if value in node.inputs and node.layer.kind in BORDER]
    sides = [(0, 0, 0, 0), *(BORDER[node.layer.kind](node) for node in readers)]
    top, left, bottom, right = (max(side) for side in zip(*sides, strict=True))
    return top, left, bottom, right
