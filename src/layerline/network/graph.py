"""A checked network: nodes in the order of the data flow, with every shape and weight known."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from layerline.errors import other_calls

if TYPE_CHECKING:
    from torch import nn

    from layerline.errors import NetworkError
    from layerline.layers import Layer, Shape, Weight
    from layerline.network.start import Start


@final
@dataclass(frozen=True)
class Node:
    """A layer in a network. Values are numbered: 0 is the network's input, node k computes value k + 1."""

    index: int
    layer: Layer
    inputs: tuple[int, ...]
    """The values it reads: one, or two for `add`."""
    input_shapes: tuple[Shape, ...]
    shape: Shape
    """The shape of its output."""
    path: str
    """Its module in `to_torch()`: `3`, `4.body.0`; its weights are called `<path>.weight`, …"""
    line: int
    """Its line in the file, from 1."""
    frozen: bool = False
    """Whether it is in a Freeze, and so is everything before it: a training computes it as a prediction does."""
    backbone: bool = False
    """Whether it comes before the head of a network that starts with trained weights: it has its own learning rate."""

    @property
    def weights(self) -> dict[str, Weight]:
        """Return its weights by full name: `<path>.weight`, …; those of a frozen layer are not trained."""
        weights = self.layer.weights(*self.input_shapes)
        if self.frozen:
            weights = tuple(dataclasses.replace(weight, trained=False) for weight in weights)
        return {f"{self.path}.{weight.name}": weight for weight in weights}

    @property
    def parameters(self) -> int:
        """Return the number of its trained weights."""
        return sum(weight.size for weight in self.weights.values() if weight.trained)

    @property
    def frozen_parameters(self) -> int:
        """Return the number of its weights that would be trained if the layer were not frozen."""
        weights = self.layer.weights(*self.input_shapes)
        return sum(weight.size for weight in weights if weight.trained) if self.frozen else 0

    @property
    def label(self) -> str:
        """Return the layer as in the network file, with its line: `FC 10 (line 9)`."""
        return f"{self.layer} (line {self.line})"

    @property
    def multiply_adds(self) -> int:
        """Return its multiply-adds for one image, forward."""
        return self.layer.multiply_adds(*self.input_shapes)


@final
@dataclass(frozen=True, repr=False)
class Network:
    """A network in which every layer accepts the output of the previous one, and the last outputs one number per class.

    A final Softmax is a node like any other; the logits are its input. It changes no weights. Frozen layers read only
    frozen layers and the input.
    """

    name: str
    """The file's name without folder and `.cnn`."""
    text: str
    """The network file's text."""
    input_shape: tuple[int, int, int]
    """(C, H, W)."""
    classes: int
    nodes: tuple[Node, ...]
    notes: tuple[str, ...] = ()
    """What is legal but probably not intended, formatted like errors, to be printed."""
    file: str = ""
    """The file's name in messages."""
    start: Start | None = field(default=None, compare=False)
    """Weights that a training starts from, of a PyTorch module (`from_torch`); None: random ones."""

    @property
    def weights(self) -> dict[str, Weight]:
        """Return every weight by its name, in the order of `to_torch().state_dict()`."""
        return {name: weight for node in self.nodes for name, weight in node.weights.items()}

    @property
    def has_filters(self) -> bool:
        """Return whether a layer has filters that are trained."""
        return any(node.layer.has_filters and not node.frozen for node in self.nodes)

    @property
    def trains_backbone(self) -> bool:
        """Return whether a layer of the backbone is trained."""
        return any(node.backbone and node.parameters for node in self.nodes)

    def with_backbone(self, count: int) -> Network:
        """Return the network with its first `count` nodes as the backbone."""
        nodes = tuple(dataclasses.replace(node, backbone=node.index < count) for node in self.nodes)
        return dataclasses.replace(self, nodes=nodes)

    def rate_factors(self, backbone: float) -> dict[str, float]:
        """Return the factor of each trained weight's learning rate, by name. backbone: that of the backbone's."""
        return {
            name: backbone if node.backbone else 1.0
            for node in self.nodes
            for name, weight in node.weights.items()
            if weight.trained
        }

    @property
    def parameter_count(self) -> int:
        """Return the number of trained weights."""
        return sum(node.parameters for node in self.nodes)

    @property
    def frozen_parameter_count(self) -> int:
        """Return the number of frozen weights, without the statistics of BatchNorms."""
        return sum(node.frozen_parameters for node in self.nodes)

    @property
    def multiply_adds(self) -> int:
        """Return the multiply-adds for one image, forward."""
        return sum(node.multiply_adds for node in self.nodes)

    @property
    def step_multiply_adds(self) -> int:
        """Return the multiply-adds of a training step for one image; backward counts twice, except in frozen layers."""
        return sum((1 if node.frozen else 3) * node.multiply_adds for node in self.nodes)

    def until(self, value: int) -> Network:
        """Return the network that ends with a value, by its number: its features there are its classes' numbers."""
        if not 1 <= value <= len(self.nodes):
            raise ValueError(f"value {value}: the network has 1 to {len(self.nodes)}")
        last = self.nodes[value - 1]
        return dataclasses.replace(self, nodes=self.nodes[:value], classes=math.prod(last.shape), notes=(), start=None)

    @property
    def frozen_end(self) -> int:
        """Return the last value that no training changes and everything after it is computed from; 0 if there is none.

        It is the input of a network of its own, `after`. Layers after the frozen ones belong to it if they have no
        weights and output images, so that a pool is fused with the convolution before it as in the whole network.
        """
        reads, end, frozen = [min(node.inputs) for node in self.nodes], 0, False
        for k, node in enumerate(self.nodes[:-1], 1):
            frozen = frozen or node.frozen
            follows = not node.weights and not node.layer.only_in_training and len(node.shape) == 3
            if not (node.frozen or (frozen and follows)):
                break
            end = k if min(reads[k:]) >= k else end
        return end

    @property
    def unfrozen(self) -> Network:
        """Return the network without frozen layers: in prediction it is the same."""
        nodes = tuple(dataclasses.replace(node, frozen=False) for node in self.nodes)
        return dataclasses.replace(self, nodes=nodes)

    def after(self, value: int) -> Network:
        """Return the network of the nodes after a value, which is its input; weights keep their names."""
        shape = self.nodes[value - 1].shape
        input_shape = (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)
        nodes = tuple(
            dataclasses.replace(node, index=node.index - value, inputs=tuple(k - value for k in node.inputs))
            for node in self.nodes[value:]
        )
        return dataclasses.replace(self, input_shape=input_shape, nodes=nodes, notes=(), start=None)

    def describe(self, batch_size: int = 64, memory: int | None = None) -> str:
        """Return the table of layers: shape, parameters, multiply-adds, memory of a training step; then the notes.

        `memory` is an engine's total, in bytes; without it the total is an estimate like the rest.
        """
        from layerline.network.table import describe

        return describe(self, batch_size, memory)

    if not TYPE_CHECKING:  # where an unknown attribute is an error already
        __getattr__ = other_calls.missing("Network")

    def __str__(self) -> str:
        """Return the table of layers."""
        return self.describe()

    def __repr__(self) -> str:
        """Return one line: name, input, classes and size."""
        from layerline.network.table import headline, parameters

        return f"<Network {headline(self)}, {len(self.nodes):,d} layers, {parameters(self)}>"

    def _repr_html_(self) -> str:
        """Return the table of layers as HTML for a notebook."""
        from layerline.network.table import as_html

        return as_html(self)

    def to_torch(self, probabilities: bool = False) -> nn.Sequential:
        """Return the network as PyTorch modules, float32 (N, C, H, W) → logits (N, classes), or probabilities.

        Raises UserError if PyTorch is not installed. The weights are PyTorch's own; `initial_weights` returns ours.
        """
        from layerline.network.pytorch.to_torch import to_torch

        return to_torch(self, probabilities)

    def refusal(self, node: Node, reason: str, help: str | None = None) -> NetworkError:  # noqa: A002
        """Return the error at `node`'s line, for an engine or an export that does not support it."""
        from layerline.network_file.mistakes import refusal

        return refusal(self.file, self.text, node.line, reason, help)
