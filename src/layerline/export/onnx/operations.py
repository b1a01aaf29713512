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
"""(writer, node, its layer, the names of its inputs) → the name of its output."""


def _conv(writer: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    return _convolution(writer, node, layer, x, layer.groups)


def _depthwise(writer: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    return _convolution(writer, node, layer, x, node.input_shapes[0][0])


def _convolution(writer: GraphWriter, node: Node, layer: Any, x: tuple[str, ...], groups: int) -> str:
    window = layer.window
    return writer.operation(
        *("Conv", node.path, *x, *node.weights),
        dilations=window.dilation,
        group=groups,
        kernel_shape=window.extent,
        pads=window.around(*node.input_shapes[0][1:]),
        strides=window.stride,
    )


def _pool(writer: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    window = layer.slides()
    pads = window.around(*node.input_shapes[0][1:])
    return writer.operation("MaxPool", node.path, *x, kernel_shape=window.extent, pads=pads, strides=window.stride)


def _avg_pool(writer: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    window = layer.slides()
    return writer.operation(
        *("AveragePool", node.path, *x),
        count_include_pad=int(layer.padding != "same"),
        kernel_shape=window.extent,
        pads=window.around(*node.input_shapes[0][1:]),
        strides=window.stride,
    )


def _fc(writer: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    weights = [*node.weights]
    if not layer.bias:  # Gemm needs one before opset 11
        weights.append(writer.constant(f"{node.path}.bias", np.zeros(layer.outputs)))
    return writer.operation("Gemm", node.path, *x, *weights, transB=1)


def _batch_norm(writer: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    used = [name for name, weight in node.weights.items() if weight.shape]
    return writer.operation("BatchNormalization", node.path, *x, *used, epsilon=float(layer.eps))


def _plain(kind: str) -> Writer:
    def write(writer: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
        return writer.operation(kind, node.path, *x)

    return write


def _leaky_relu(writer: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    return writer.operation("LeakyRelu", node.path, *x, alpha=float(layer.slope))


def _elu(writer: GraphWriter, node: Node, layer: Any, x: tuple[str, ...]) -> str:
    return writer.operation("Elu", node.path, *x, alpha=float(layer.alpha))


def _relu6(writer: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    return writer.operation("Clip", node.path, *x, max=6.0, min=0.0)


def _hard_sigmoid(writer: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    return writer.operation("HardSigmoid", node.path, *x, alpha=1 / 6, beta=0.5)


def _hard_swish(writer: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    gate = writer.operation("HardSigmoid", f"{node.path}.gate", *x, alpha=1 / 6, beta=0.5)
    return writer.operation("Mul", node.path, *x, gate)


def _silu(writer: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    return writer.operation("Mul", node.path, *x, writer.operation("Sigmoid", f"{node.path}.gate", *x))


def _mish(writer: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    softplus = writer.operation("Softplus", f"{node.path}.softplus", *x)
    return writer.operation("Mul", node.path, *x, writer.operation("Tanh", f"{node.path}.gate", softplus))


def _gelu(writer: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    path = node.path
    scaled = writer.operation("Mul", f"{path}.scaled", *x, writer.constant("gelu.scale", math.sqrt(0.5)))
    error = writer.operation("Erf", f"{path}.erf", scaled)
    gate = writer.operation("Add", f"{path}.gate", error, writer.constant("gelu.one", 1.0))
    half = writer.operation("Mul", f"{path}.half", *x, writer.constant("gelu.half", 0.5))
    return writer.operation("Mul", path, half, gate)


def _concat(writer: GraphWriter, node: Node, _layer: Any, x: tuple[str, ...]) -> str:
    return writer.operation("Concat", node.path, *x, axis=1)


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
    "flat": lambda writer, node, _layer, x: writer.operation("Flatten", node.path, *x, axis=1),
    "fc": _fc,
    "softmax": _nothing,  # a graph ends with one, whether its network does or not
    "add": _plain("Add"),
    "concat": _concat,
    "gate": _plain("Mul"),
}
"""The kind of a layer → the function that writes it."""
