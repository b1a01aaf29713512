"""Lowering of activation functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline.compiler.kernels.activations import (
    Activation,
    ActivationBackward,
    ActivationForward,
    GELUFunction,
    LeakyReLUFunction,
    SigmoidFunction,
    SiLUFunction,
    TanhFunction,
)
from layerline.compiler.kernels.exponential_activations import ELUFunction, MishFunction
from layerline.compiler.kernels.piecewise_activations import (
    HardSigmoidFunction,
    HardSwishFunction,
    ReLU6Function,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.builder import Builder
    from layerline.network import Node

FUNCTIONS: Final[dict[str, Callable[[Any], Activation]]] = {
    "leaky_relu": lambda layer: LeakyReLUFunction(layer.slope),
    "gelu": lambda _: GELUFunction(),
    "silu": lambda _: SiLUFunction(),
    "tanh": lambda _: TanhFunction(),
    "sigmoid": lambda _: SigmoidFunction(),
    "relu6": lambda _: ReLU6Function(),
    "hard_swish": lambda _: HardSwishFunction(),
    "hard_sigmoid": lambda _: HardSigmoidFunction(),
    "elu": lambda layer: ELUFunction(layer.alpha),
    "mish": lambda _: MishFunction(),
}
"""Layer kind → a function from the layer to its activation."""


def lower(b: Builder, node: Node) -> None:
    """Lower an activation and its backward pass."""
    function, x = FUNCTIONS[node.layer.kind](node.layer), b.value(node.inputs[0])
    y = b.output(node, x.plane, image=x.image)
    b.op(ActivationForward(function, x.plane, y.plane), x.buffer, y.buffer)
    if x.needs_gradient:
        known = y if function.from_result else x

        def back() -> None:
            dy = b.gradient(y)[0]
            dx, add = b.gradient(x)
            b.op(ActivationBackward(function, known.plane, y.plane, x.plane, add), dy, known.buffer, dx)

        b.backward.append(back)
