"""Graphs as exporters write them, from a convolution or from the images, and the lines that they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx_models import node

if TYPE_CHECKING:
    from layerline.export.onnx.messages import NodeProto


def conv(x: str, y: str, w: str, **attributes: Any) -> NodeProto:
    return node("Conv", f"{x} {w}", y, **attributes)


RNG = np.random.default_rng(5)
W: dict[str, Any] = {
    "w": RNG.normal(0, 1, (4, 2, 3, 3)).astype(np.float32),
    "v": RNG.normal(0, 1, (4, 4, 1, 1)).astype(np.float32),
    "wd": RNG.normal(0, 1, (4, 1, 3, 3)).astype(np.float32),
    "b": RNG.normal(0, 1, 4).astype(np.float32),
    "c": RNG.normal(0, 1, (1, 4, 1, 1)).astype(np.float32),
    "s": RNG.uniform(0.5, 2, (1, 4, 1, 1)).astype(np.float32),
    "gw": RNG.normal(0, 1, (4, 4)).astype(np.float32),
    "var": RNG.uniform(0.5, 2, 4).astype(np.float32),
    **{name: np.float32(number) for name, number in (("0", 0), ("6", 6), ("3", 3), ("1", 1), ("half", 0.5))},
    "root": np.float32(math.sqrt(2)),
    "inv": np.float32(1 / math.sqrt(2)),
    "sixth": np.float32(1 / 6),
    "minus1": np.array([-1], np.int64),
    "zero": np.array(0, np.int64),
    "axis0": np.array([0], np.int64),
    "axes11": np.array([2, 3], np.int64),
    "flat": np.array([0, -1], np.int64),
    "last": np.array([1, 2], np.int64),
    "image": np.array([0, 4, 1, 1], np.int64),
    "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64),
    "slope": np.full((4, 1, 1), 0.25, np.float32),
}
"""Constants of the graphs."""
BASE = [conv("x", "a", "w")]
ACTIVATIONS: dict[str, tuple[str, list[NodeProto]]] = {
    "relu by max": ("ReLU", [node("Max", "a 0", "h")]),
    "clip to 6": ("ReLU6", [node("Clip", "a 0 6", "h")]),
    "clip without a limit": ("ReLU", [node("Clip", "a 0", "h")]),
    "silu": ("SiLU", [node("Sigmoid", "a", "g"), node("Mul", "g a", "h")]),
    "silu by exp": (
        "SiLU",
        [node("Neg", "a", "n"), node("Exp", "n", "e"), node("Add", "e 1", "d"), node("Div", "a d", "h")],
    ),
    "hard swish": ("HardSwish", [node("HardSwish", "a", "h")]),
    "hard swish, legacy": (
        "HardSwish",
        [node("Add", "a 3", "p"), node("Clip", "p 0 6", "q"), node("Div", "q 6", "r"), node("Mul", "a r", "h")],
    ),
    "hard swish, divided last": (
        "HardSwish",
        [node("Add", "a 3", "p"), node("Clip", "p 0 6", "q"), node("Mul", "a q", "r"), node("Div", "r 6", "h")],
    ),
    "hard swish of hard sigmoid": (
        "HardSwish",
        [node("HardSigmoid", "a", "g", alpha=1 / 6, beta=0.5), node("Mul", "a g", "h")],
    ),
    "hard sigmoid": ("HardSigmoid", [node("HardSigmoid", "a", "h", alpha=1 / 6, beta=0.5)]),
    "hard sigmoid, Keras": (
        "HardSigmoid",
        [node("Mul", "a sixth", "p"), node("Add", "p half", "q"), node("Clip", "q 0 1", "h")],
    ),
    "gelu": ("GELU", [node("Gelu", "a", "h")]),
    "gelu, legacy": (
        "GELU",
        [node("Div", "a root", "p"), node("Erf", "p", "q"), node("Add", "q 1", "r"), node("Mul", "a r", "t"),
         node("Mul", "t half", "h")],
    ),
    "gelu, Keras": (
        "GELU",
        [node("Mul", "a inv", "p"), node("Erf", "p", "q"), node("Add", "1 q", "r"), node("Mul", "half a", "t"),
         node("Mul", "r t", "h")],
    ),
    "mish": ("Mish", [node("Softplus", "a", "p"), node("Tanh", "p", "q"), node("Mul", "a q", "h")]),
    "mish of opset 18": ("Mish", [node("Mish", "a", "h")]),
    "prelu with one slope": ("LeakyReLU 0.25", [node("PRelu", "a slope", "h")]),
    "elu": ("ELU 0.5", [node("Elu", "a", "h", alpha=0.5)]),
    "nothing": ("", [node("Mul", "a 1", "p"), node("Add", "p 0", "h")]),
    "two in a row": ("Tanh\nSigmoid", [node("Tanh", "a", "p"), node("Sigmoid", "p", "h")]),
    "two, of which one would do": ("Sigmoid\nReLU", [node("Sigmoid", "a", "p"), node("Relu", "p", "h")]),
    "a gelu and a silu": (
        "GELU\nSiLU",
        [node("Gelu", "a", "p"), node("Sigmoid", "p", "q"), node("Mul", "q p", "h")],
    ),
    "a sum of a relu and its input": ("Residual\nReLU\nEnd", [node("Relu", "a", "p"), node("Add", "p a", "h")]),
    "a value with two names": (
        "ReLU\nResidual\nTanh\nEnd",
        [node("Relu", "a", "p"), node("Identity", "p", "q"), node("Tanh", "p", "r"), node("Add", "q r", "h")],
    ),
}  # fmt: skip
"""What it is → the lines, and the operations from `a`, which a convolution computes, to `h`."""


GRAPHS: dict[str, tuple[str, list[NodeProto]]] = {
    "same, upper": (
        "Conv 4 kernel=3 stride=2 padding=same bias=no",
        [conv("x", "h", "w", strides=(2, 2), auto_pad="SAME_UPPER")],
    ),
    "same, stride 1": ("Conv 4 kernel=3 padding=1 bias=no", [conv("x", "h", "w", auto_pad="SAME_LOWER")]),
    "valid": ("Conv 4 kernel=3 bias=no", [conv("x", "h", "w", auto_pad="VALID")]),
    "explicit same": (
        "Conv 4 kernel=3 stride=2 padding=same bias=no",
        [conv("x", "h", "w", strides=(2, 2), pads=(0, 0, 1, 1))],
    ),
    "padded before": (
        "Conv 4 kernel=3 stride=2 padding=same bias=no",
        [node("Pad", "x pads", "p", mode="constant"), conv("p", "h", "w", strides=(2, 2))],
    ),
    "bias by an Add": ("Conv 4 kernel=3", [conv("x", "a", "w"), node("Add", "a c", "h")]),
    "a bias for one of two": (
        "Conv 4 kernel=3 bias=no\nResidual\nDepthwise 1\nEnd",
        [*BASE, node("Add", "a c", "p"), node("Add", "p a", "h")],
    ),
    "bias by a Sub": ("Conv 4 kernel=3", [conv("x", "a", "w"), node("Sub", "a c", "h")]),
    "depthwise": (
        "Conv 4 kernel=3 bias=no\nDepthwise 3 padding=1 bias=no",
        [*BASE, conv("a", "h", "wd", group=4, pads=(1, 1, 1, 1))],
    ),
    "factors and summands": (
        "Conv 4 kernel=3 bias=no\nReLU\nDepthwise 1",
        [*BASE, node("Relu", "a", "p"), node("Mul", "p s", "q"), node("Add", "q c", "h")],
    ),
    "batch norm": (
        "Conv 4 kernel=3 bias=no\nBatchNorm momentum=0.01 eps=0.001",
        [*BASE, node("BatchNormalization", "a b b b var", "h", epsilon=1e-3, momentum=0.99)],
    ),
    "pool beyond the image": (
        "Conv 4 kernel=3 bias=no\nPool 3 stride=2 padding=same",
        [*BASE, node("MaxPool", "a", "h", kernel_shape=(3, 3), strides=(2, 2), ceil_mode=1)],
    ),
    "average of points inside": (
        "Conv 4 kernel=3 bias=no\nAvgPool 3 stride=2 padding=same",
        [*BASE, node("AveragePool", "a", "h", kernel_shape=(3, 3), strides=(2, 2), pads=(0, 0, 1, 1))],
    ),
    "average with padding": (
        "Conv 4 kernel=3 bias=no\nAvgPool 3 stride=1 padding=1",
        [*BASE, node("AveragePool", "a", "h", kernel_shape=(3, 3), pads=(1, 1, 1, 1), count_include_pad=1)],
    ),
    "zeros before a pool, after a ReLU": (
        "Conv 4 kernel=3 bias=no\nReLU\nPool 3 stride=2 padding=same",
        [*BASE, node("Relu", "a", "p"), node("Pad", "p pads", "q"),
         node("MaxPool", "q", "h", kernel_shape=(3, 3), strides=(2, 2))],
    ),
    "residual": (
        "Conv 4 kernel=3 bias=no\nResidual\nConv 4 kernel=1 bias=no\nReLU\nEnd\nReLU",
        [*BASE, conv("a", "p", "v"), node("Relu", "p", "q"), node("Add", "q a", "r"), node("Relu", "r", "h")],
    ),
    "gate": (
        "Conv 4 kernel=3 bias=no\nGate\nGlobalPool\nConv 4 kernel=1 bias=no\nSigmoid\nEnd",
        [*BASE, node("ReduceMean", "a axes11", "p", keepdims=1), conv("p", "q", "v"), node("Sigmoid", "q", "r"),
         node("Mul", "a r", "h")],
    ),
    "gate of vectors": (
        "Conv 4 kernel=3 bias=no\nGate\nGlobalPool\nConv 4 kernel=1\nSiLU\nConv 4 kernel=1 bias=no\nSigmoid\nEnd",
        [*BASE, node("GlobalAveragePool", "a", "p"), node("Flatten", "p", "q"), node("Gemm", "q gw b", "r", transB=1),
         node("Sigmoid", "r", "r1"), node("Mul", "r r1", "r2"), node("MatMul", "r2 gw", "t"), node("Sigmoid", "t", "u"),
         node("Reshape", "u image", "k"), node("Mul", "a k", "h")],
    ),
    "concat": (
        "Concat\nConv 4 kernel=3 padding=1 bias=no\nBranch\nEnd\nConv 4 kernel=1 bias=no",
        [conv("x", "a", "w", pads=(1, 1, 1, 1)), node("Concat", "a x", "p", axis=1), conv("p", "h", "v6")],
    ),
    "nothing at all": (
        "Conv 4 kernel=3 bias=no",
        [node("Identity", "x", "p"), conv("p", "a", "w"), node("Dropout", "a", "h")],
    ),
    "global maximum": ("Conv 4 kernel=3 bias=no\nGlobalMaxPool", [*BASE, node("ReduceMax", "a axes11", "h")]),
}  # fmt: skip
"""The same for other layers, from the images `x`."""


FC = np.random.default_rng(3).normal(0, 1, (64, 3)).astype(np.float32)
BIAS = np.array([0.5, -1, 2], np.float32)
