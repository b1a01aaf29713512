"""Network → steps: the layers that become one kernel each, with what is computed in their registers.

A step ends with 8-bit values. A BatchNorm is folded as in the float Program; ReLU and ReLU6 are limits of the values of
the step before; a pool whose windows neither overlap nor are padded is computed with the convolution before it. Layers
that do nothing in prediction, and Flat, are not steps: their output is another name of their input.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from layerline.compiler.folding import folds

if TYPE_CHECKING:
    from layerline.layers import Conv, Pool
    from layerline.network import Network, Node

LIMITS: Final = {"relu": float("inf"), "relu6": 6.0}
"""Activations that are limits: kind → the largest value; the smallest is 0."""
FINISHED: Final = frozenset(
    {"conv", "depthwise", "fc", "batch_norm", "avg_pool", "global_pool", "add", "concat", "gate"}
)
"""The kinds of layers whose kernels end with limits."""
NAMES: Final = frozenset({"flat", "softmax"})
"""The kinds of layers that rename values, besides those that do nothing in prediction."""


@dataclass(frozen=True)
class Int8Step:
    """A layer, and what is computed with it."""

    node: Node
    inputs: tuple[int, ...]
    """The values that it reads, by the steps that make them."""
    value: int
    """The number of the value that it makes."""
    limit: float | None = None
    """The largest value of a ReLU or ReLU6; None: no limits."""
    pool: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Int8Steps:
    """The steps of a network."""

    steps: tuple[Int8Step, ...]
    made_by: dict[int, int]
    """The number of a value → that of the step's value, or of the input, that it is a name of."""

    def readers(self, value: int) -> list[Int8Step]:
        """Return the steps that read the value of a step."""
        return [step for step in self.steps if value in step.inputs]


def steps_of(network: Network) -> Int8Steps:
    """Return the steps of a network without frozen layers."""
    folded, readers = folds(network), _readers(network)
    names, found = {0: 0}, list[Int8Step]()
    for node in network.nodes:
        number = node.index + 1
        if number in names:  # computed with an earlier step
            continue
        inputs = tuple(names[value] for value in node.inputs)
        if node.layer.only_in_training or node.index in folded or node.layer.kind in NAMES:
            names[number] = inputs[0]
            continue
        step, passed = Int8Step(node, inputs, number), [number]
        while len(readers.get(passed[-1], ())) == 1:
            following = readers[passed[-1]][0]
            grown = _with(step, following, folded=following.index in folded)
            if grown is None:
                break
            step, passed = replace(grown, value=following.index + 1), [*passed, following.index + 1]
        names.update(dict.fromkeys(passed, step.value))
        found.append(step)
    return Int8Steps(tuple(found), names)


def _readers(network: Network) -> dict[int, list[Node]]:
    readers: dict[int, list[Node]] = {}
    for node in network.nodes:
        for value in dict.fromkeys(node.inputs):
            readers.setdefault(value, []).append(node)
    return readers


def _with(step: Int8Step, node: Node, *, folded: bool) -> Int8Step | None:
    """Return a step with the layer after it; None if that is a separate step."""
    kind = node.layer.kind
    if folded or node.layer.only_in_training:
        return step
    if kind in LIMITS and step.node.layer.kind in FINISHED:
        limit = LIMITS[kind] if step.limit is None else min(LIMITS[kind], step.limit)
        return replace(step, limit=limit)
    if kind == "pool" and step.node.layer.kind == "conv" and step.pool == (1, 1) and not by_channel(step.node):
        layer = cast("Pool", node.layer)
        around = layer.slides().around(*node.input_shapes[0][1:])
        if layer.window == layer.stride and not any(around):
            return replace(step, pool=layer.window)
    return None


def by_channel(node: Node) -> bool:
    """Whether a convolution has one filter for each channel."""
    channels = node.input_shapes[0][0]
    if node.layer.kind == "depthwise":
        return node.shape[0] == channels
    return node.layer.kind == "conv" and cast("Conv", node.layer).groups == node.shape[0] == channels > 1
