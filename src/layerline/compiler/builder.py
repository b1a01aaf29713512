"""The Builder, which collects ops while layers are lowered; it knows nothing of specific layers."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.update import Reduce
from layerline.compiler.plane import Plane, capacity
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
    """A layer's input or output in memory; Flat returns the same value with another shape."""

    buffer: Buffer
    plane: Plane
    image: tuple[int, int, int]
    """(C, H, W): the order in which an FC layer numbers its inputs."""
    needs_gradient: bool
    """Whether there is a backward pass, and a trained weight comes before it."""
    gradient: Buffer | None = None


@dataclass(frozen=True)
class TrainedTensor:
    """A trained parameter: its tensor, its kind for the optimizer, and the layout of its gradient."""

    tensor: Tensor
    gradient: Buffer
    kind: Kind
    grid: Grid
    backbone: bool
    """Whether it is one of the backbone's, which has its own learning rate."""


@dataclass(frozen=True)
class PendingStep:
    """A parameter that the optimizer has yet to step, with the layout of its filters if it is a Conv's."""

    of: TrainedTensor
    filters: Filters | None


@dataclass(eq=False)
class Builder:
    """Collects ops while layers are lowered; backward passes are deferred until all layers are lowered forward."""

    network: Network
    machine: Machine
    task: Task
    borders: Mapping[str, Callable[[Node, Task], tuple[int, int, int, int]]]
    """Layer kind → the zero border it needs around its input: (top, left, bottom, right). Others need none."""
    values: dict[int, LayerValue] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    sums: list[Op] = field(default_factory=list)
    steps: list[PendingStep] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    backward: list[Callable[[], None]] = field(default_factory=list)
    trained: dict[str, TrainedTensor] = field(default_factory=dict)
    """The trained parameters by name, in order of creation."""
    folds: dict[int, int] = field(default_factory=dict)
    """A BatchNorm's node → the node whose weights it is folded into."""

    @property
    def training(self) -> bool:
        """Whether there is a backward pass."""
        return self.task.training

    def trains(self, node: Node) -> bool:
        """Whether a layer does what it does in training: in the forward-only Program none does, nor a frozen one."""
        return self.training and not node.frozen

    @property
    def shards(self) -> int:
        """Return the number of shards in a full batch, before `wide_shards`, which leaves fewer."""
        return -(-self.task.batch_size // shard_size(self.task.batch_size))

    def op(self, kernel: Kernel, *buffers: Buffer) -> None:
        """Add an op."""
        self.ops.append(Op(kernel, buffers))

    def value(self, number: int) -> LayerValue:
        """Return the value with a number, which a node reads."""
        return self.values[number]

    def output(
        self,
        node: Node,
        plane: Plane,
        *,
        trained: bool = False,
        image: tuple[int, int, int] | None = None,
        margin: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> LayerValue:
        """Create the value that a node writes; its plane has the border that its readers need, at least `margin`."""
        top, left, bottom, right = map(max, self.border(node.index + 1), margin)
        plane = Plane(plane.channels, plane.height, plane.width, top, left, bottom, right)
        buffer = Buffer(f"y{node.index}", capacity(plane.size), Per.IMAGE, plane=plane)
        trained = trained or any(self.values[i].needs_gradient for i in node.inputs)
        image = image or (plane.channels, plane.height, plane.width)
        value = LayerValue(buffer, plane, image, trained and self.trains(node))
        self.values[node.index + 1] = value
        return value

    @functools.cached_property
    def _readers_of(self) -> dict[int, list[Node]]:
        """The nodes that read each value, by value number."""
        readers: dict[int, list[Node]] = {}
        for node in self.network.nodes:
            for number in dict.fromkeys(node.inputs):
                readers.setdefault(number, []).append(node)
        return readers

    def border(self, value: int) -> tuple[int, int, int, int]:
        """Return the zero border that a value's readers need: (top, left, bottom, right)."""
        sides = [(0, 0, 0, 0)]
        for node in self._readers_of.get(value, ()):
            if node.layer.kind in self.borders:
                sides.append(self.borders[node.layer.kind](node, self.task))
            elif self.is_identity(node):
                sides.append(self.border(node.index + 1))
        top, left, bottom, right = (max(side) for side in zip(*sides, strict=True))
        return top, left, bottom, right

    def is_identity(self, node: Node) -> bool:
        """Whether a layer is a no-op unless it trains, so that its output aliases its input."""
        return not self.trains(node) and (node.layer.only_in_training or node.index in self.folds)

    def absorbs_norm(self, node: Node) -> bool:
        """Whether the BatchNorm after a layer is folded into its weights, which gives the layer a bias."""
        return node.index in self.folds.values()

    def readers(self, value: LayerValue) -> int:
        """Return how many layers read a value, counting its aliases."""
        inputs = [i for node in self.network.nodes for i in node.inputs if self.values.get(node.index + 1) is not value]
        return sum(self.values[i] is value for i in inputs if i in self.values)

    def scratch(self, name: str, size: int, dtype: DType = DType.F32) -> Buffer:
        """Create a per-image buffer."""
        return Buffer(name, capacity(size), Per.IMAGE, dtype)

    def gradient(self, value: LayerValue) -> tuple[Buffer, bool]:
        """Return the gradient buffer of a value, and whether to accumulate into it (for a second reader)."""
        if value.gradient is None:
            value.gradient = Buffer("d" + value.buffer.name, value.buffer.size, Per.IMAGE, plane=value.plane)
            return value.gradient, False
        return value.gradient, True

    def tensor(
        self,
        node: Node,
        weight: str,
        letter: str,
        layouts: tuple[tuple[str, Layout], ...],
        grid: Grid | None = None,
        kind: Kind = Kind.PLAIN,
    ) -> tuple[Buffer, ...]:
        """Create a layer's parameter and its homes, and return their buffers. Without a grid it is not trained.

        letter: what the names of its buffers start with.
        """
        name, buffer = f"{node.path}.{weight}", f"{letter}{node.index}"
        homes = tuple((Buffer(buffer + suffix, capacity(layout.size), Per.ONCE), layout) for suffix, layout in layouts)
        if not self.trains(node) or grid is None:
            self.tensors[name] = Tensor(name, homes)
        else:
            gradient = Buffer("d" + buffer, capacity(grid.size), Per.ONCE)
            slots = {
                slot: Buffer(f"{slot}_{buffer}", capacity(grid.size), Per.ONCE) for slot in self.task.slot_names(kind)
            }
            self.tensors[name] = Tensor(name, homes, tuple(slots.items()), gradient)
            self.trained[name] = TrainedTensor(self.tensors[name], gradient, kind, grid, node.backbone)
        return tuple(home for home, _ in homes)

    def step(self, name: str, filters: Filters | None = None) -> None:
        """Schedule an optimizer step for a parameter, from its whole gradient. filters: the layout of a Conv's."""
        self.steps.append(PendingStep(self.trained[name], filters))

    def partial(self, name: str) -> Buffer:
        """Create a gradient with one partial sum per shard, and the op that reduces the shards."""
        whole, grid = self.trained[name].gradient, self.trained[name].grid
        partial = Buffer(whole.name + "s", capacity(grid.size), Per.SHARD)
        self.sums.append(Op(Reduce(grid), (partial, whole)))
        return partial

    def whole_gradient(self, name: str) -> Buffer:
        """Return the buffer of a parameter's whole gradient."""
        return self.trained[name].gradient
