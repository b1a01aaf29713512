"""Every layer as ONNX operations of opset 9, which all runtimes since 2019 have.

Activations that came later (HardSwish 14, Mish 18, Gelu 20) are written with the operations that define them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from layerline.export.onnx.graph_writer import GraphWriter
    from layerline.network import Node

OPSET: Final = 9
IR_VERSION: Final = 4
"""Of the file's format; the first in which constants need not be inputs, too."""

Writer = Callable[["GraphWriter", "Node", Any, tuple[str, ...]], str]
"""(drawing, node, its layer, the names of its inputs) → the name of its output."""


def _conv(drawing: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    return _convolution(drawing, node, layer, x, layer.groups)


def _depthwise(drawing: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    return _convolution(drawing, node, layer, x, node.input_shapes[0][0])


def _convolution(drawing: GraphWriter, node: Node, layer: Any, x: tuple[str, ...], groups: int) -> str:
    window = layer.window
    return drawing.operation(
        *("Conv", node.path, *x, *node.weights),
        dilations=window.dilation,
        group=groups,
        kernel_shape=window.extent,
        pads=window.around(*node.input_shapes[0][1:]),
        strides=window.stride,
    )


def _pool(drawing: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    window = layer.slides()
    pads = window.around(*node.input_shapes[0][1:])
    return drawing.operation("MaxPool", node.path, *x, kernel_shape=window.extent, pads=pads, strides=window.stride)


def _avg_pool(drawing: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    window = layer.slides()
    return drawing.operation(
        *("AveragePool", node.path, *x),
        count_include_pad=int(layer.padding != "same"),
        kernel_shape=window.extent,
        pads=window.around(*node.input_shapes[0][1:]),
        strides=window.stride,
    )


def _fc(drawing: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    weights = [*node.weights]
    if not layer.bias:  # Gemm needs one before opset 11
        weights.append(drawing.constant(f"{node.path}.bias", np.zeros(layer.outputs)))
    return drawing.operation("Gemm", node.path, *x, *weights, transB=1)


def _batch_norm(drawing: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    used = [name for name, weight in node.weights.items() if weight.shape]
    return drawing.operation("BatchNormalization", node.path, *x, *used, epsilon=float(layer.eps))


def _plain(kind: str) -> Writer:
    def write(drawing: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
        return drawing.operation(kind, node.path, *x)

    return write


def _leaky_relu(drawing: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    return drawing.operation("LeakyRelu", node.path, *x, alpha=float(layer.slope))


def _elu(drawing: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    return drawing.operation("Elu", node.path, *x, alpha=float(layer.alpha))


def _relu6(drawing: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    return drawing.operation("Clip", node.path, *x, max=6.0, min=0.0)


def _hard_sigmoid(drawing: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    return drawing.operation("HardSigmoid", node.path, *x, alpha=1 / 6, beta=0.5)


def _hard_swish(drawing: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    gate = drawing.operation("HardSigmoid", f"{node.path}.gate", *x, alpha=1 / 6, beta=0.5)
    return drawing.operation("Mul", node.path, *x, gate)


def _silu(drawing: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    return drawing.operation("Mul", node.path, *x, drawing.operation("Sigmoid", f"{node.path}.gate", *x))


def _mish(drawing: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    softplus = drawing.operation("Softplus", f"{node.path}.softplus", *x)
    return drawing.operation("Mul", node.path, *x, drawing.operation("Tanh", f"{node.path}.gate", softplus))


def _gelu(drawing: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    path = node.path
    scaled = drawing.operation("Mul", f"{path}.scaled", *x, drawing.constant("gelu.scale", math.sqrt(0.5)))
    error = drawing.operation("Erf", f"{path}.erf", scaled)
    gate = drawing.operation("Add", f"{path}.gate", error, drawing.constant("gelu.one", 1.0))
    half = drawing.operation("Mul", f"{path}.half", *x, drawing.constant("gelu.half", 0.5))
    return drawing.operation("Mul", path, half, gate)


def _concat(drawing: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    return drawing.operation("Concat", node.path, *x, axis=1)


def _nothing(_drawing: GraphWriter, _node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    return x[0]


WRITERS: Final[dict[str, Writer]] = {
    "conv": _conv,
    "depthwise": _depthwise,
    "relu": _plain("Relu"),
    "leaky_relu": _leaky_relu,
    "relu6": _relu6,
    "elu": _elu,
    "gelu": _gelu,
    "silu": _silu,
    "hard_swish": _hard_swish,
    "hard_sigmoid": _hard_sigmoid,
    "mish": _mish,
    "tanh": _plain("Tanh"),
    "sigmoid": _plain("Sigmoid"),
    "pool": _pool,
    "avg_pool": _avg_pool,
    "global_pool": _plain("GlobalAveragePool"),
    "global_max_pool": _plain("GlobalMaxPool"),
    "batch_norm": _batch_norm,
    "dropout": _nothing,
    "dropout2d": _nothing,
    "flat": lambda drawing, node, _layer, x: drawing.operation("Flatten", node.path, *x, axis=1),
    "fc": _fc,
    "softmax": _nothing,  # a graph ends with one, whether its network does or not
    "add": _plain("Add"),
    "concat": _concat,
    "gate": _plain("Mul"),
}
"""The kind of a layer → the function that writes it."""
