"""The Builder, which collects ops while layers are lowered; it knows none of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.update import Reduce
from layerline.compiler.plane import Plane, room
from layerline.compiler.program import Buffer, Kind, Op, Per, Tensor
from layerline.compiler.shards import shard_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerline.compiler.kernel import Kernel
    from layerline.compiler.kernels.muon import Filters
    from layerline.compiler.kernels.update import Grid
    from layerline.compiler.layout import Layout
    from layerline.compiler.machine import Machine
    from layerline.compiler.task import Task
    from layerline.network import Network, Node


@dataclass(eq=False)
class LayerValue:
    """What a layer reads or writes, in memory; Flat gives the same Value under another shape."""

    buffer: Buffer
    plane: Plane
    image: tuple[int, int, int]
    """(C, H, W) in which order an FC layer's inputs are counted."""
    trained_above: bool
    """Whether a weight stands before it, so that its gradient is needed."""
    gradient: Buffer | None = None


@dataclass(frozen=True)
class Trained:
    """A trained parameter: its tensor, what it is to an optimizer, and how its gradient lies."""

    tensor: Tensor
    gradient: Buffer
    kind: Kind
    grid: Grid


@dataclass(frozen=True)
class Stepped:
    """A parameter that an optimizer is to step, and how the filters of a Conv lie."""

    of: Trained
    filters: Filters | None


@dataclass(eq=False)
class Builder:
    """Collects ops while layers are lowered; a layer's way back is kept until all have gone forward."""

    network: Network
    machine: Machine
    task: Task
    borders: Mapping[str, Callable[[Node], tuple[int, int, int, int]]]
    """The kind of a layer → the zeros that it wants around its input: (top, left, bottom, right); others want none."""
    values: dict[int, LayerValue] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    sums: list[Op] = field(default_factory=list)
    steps: list[Stepped] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    way_back: list[Callable[[], None]] = field(default_factory=list)
    trained: dict[str, Trained] = field(default_factory=dict)
    """The trained parameters by name, in the order in which they were made."""
    folds: dict[int, int] = field(default_factory=dict)
    """In the forward-only Program: a BatchNorm's node → the node whose weights take it in."""

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

    def value(self, number: int) -> LayerValue:
        """Return what a node reads."""
        return self.values[number]

    def output(
        self, node: Node, plane: Plane, *, trained: bool = False, image: tuple[int, int, int] | None = None
    ) -> LayerValue:
        """Make the value that a node writes; its plane gets the border that its readers want."""
        top, left, bottom, right = self.border(node.index + 1)
        plane = Plane(plane.channels, plane.height, plane.width, top, left, bottom, right)
        buffer = Buffer(f"y{node.index}", room(plane.size), Per.IMAGE, plane=plane)
        trained = trained or any(self.values[i].trained_above for i in node.inputs)
        value = LayerValue(buffer, plane, image or (plane.channels, plane.height, plane.width), trained)
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
            if node.layer.kind in self.borders:
                sides.append(self.borders[node.layer.kind](node))
            elif self.passes(node):
                sides.append(self.border(node.index + 1))
        top, left, bottom, right = (max(side) for side in zip(*sides, strict=True))
        return top, left, bottom, right

    def passes(self, node: Node) -> bool:
        """Whether a layer does nothing in the forward-only Program, so that its output is its input."""
        return not self.training and (node.layer.only_in_training or node.index in self.folds)

    def takes_in(self, node: Node) -> bool:
        """Whether a layer's weights take in the BatchNorm behind it, which gives it a bias."""
        return not self.training and node.index in self.folds.values()

    def readers(self, value: LayerValue) -> int:
        """Return how many layers read a value, under whatever number."""
        inputs = [i for node in self.network.nodes for i in node.inputs if self.values.get(node.index + 1) is not value]
        return sum(self.values[i] is value for i in inputs if i in self.values)

    def scratch(self, name: str, size: int, dtype: DType = DType.F32) -> Buffer:
        """Make a buffer for each image."""
        return Buffer(name, room(size), Per.IMAGE, dtype)

    def gradient(self, value: LayerValue) -> tuple[Buffer, bool]:
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
        if not self.training or grid is None:
            self.tensors[name] = Tensor(name, homes)
        else:
            gradient = Buffer("d" + buffer, room(grid.size), Per.ONCE)
            slots = {
                slot: Buffer(f"{slot}_{buffer}", room(grid.size), Per.ONCE) for slot in self.task.kept_beside(kind)
            }
            self.tensors[name] = Tensor(name, homes, tuple(slots.items()), gradient)
            self.trained[name] = Trained(self.tensors[name], gradient, kind, grid)
        return tuple(home for home, _ in homes)

    def step(self, name: str, filters: Filters | None = None) -> None:
        """Have an optimizer step a parameter, from its whole gradient. filters: how those of a Conv lie."""
        self.steps.append(Stepped(self.trained[name], filters))

    def partial(self, name: str) -> Buffer:
        """Make a gradient that is summed shard by shard, and the op that adds the shards up."""
        whole, grid = self.trained[name].gradient, self.trained[name].grid
        partial = Buffer(whole.name + "s", room(grid.size), Per.SHARD)
        self.sums.append(Op(Reduce(grid), (partial, whole)))
        return partial

    def whole_gradient(self, name: str) -> Buffer:
        """Return where a parameter's whole gradient goes."""
        return self.trained[name].gradient
