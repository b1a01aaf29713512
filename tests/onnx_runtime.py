"""ONNX's operations by their definitions, in NumPy and float64: what an exported file computes, without a runtime.

https://onnx.ai/onnx/operators has the definitions; those of opset 9 are meant.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.export.onnx.messages import ModelProto
from layerline.files import protobuf

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.export.onnx.messages import AttributeProto, TensorProto

Array = np.ndarray[Any, np.dtype[Any]]
TYPES: Final = {1: np.float32, 2: np.uint8, 7: np.int64}
"""Tensor types → NumPy's."""


def run(content: bytes, images: Array) -> Array:
    """Return the output of a file for its only input, which must have the declared type and sizes."""
    model = protobuf.decoded(ModelProto, content)
    assert model.graph is not None
    (source,), (result,) = model.graph.input, model.graph.output
    check(source, images)
    values: dict[str, Array] = {tensor.name: array(tensor) for tensor in model.graph.initializer}
    values[source.name] = images
    for node in model.graph.node:
        assert not node.domain
        attributes = {each.name: attribute(each) for each in node.attribute}
        (output,) = node.output
        assert output not in values
        values[output] = OPERATIONS[node.op_type](*(values[name] for name in node.input), **attributes)
    found = values[result.name]
    check(result, found.astype(np.float32))
    return found


def check(described: Any, value: Array) -> None:
    """Assert that a value has the type and the sizes that the file declares; the batch may be any."""
    tensor = described.type.tensor_type
    batch, *sizes = tensor.shape.dim
    assert value.dtype == TYPES[tensor.elem_type]
    assert batch.dim_param
    assert not batch.dim_value
    assert value.shape[1:] == tuple(size.dim_value for size in sizes)


def array(tensor: TensorProto) -> Array:
    return np.frombuffer(tensor.raw_data, TYPES[tensor.data_type]).reshape(tensor.dims).astype(np.float64)


def attribute(each: AttributeProto) -> Any:
    return {1: each.f, 2: each.i, 7: each.ints}[each.type]


def windows(x: Array, kernel: Any, strides: Any, pads: Any, dilations: Any = (1, 1), fill: float = 0.0) -> Array:
    """Return the pixels under each position of a window: (N, C, P, Q, R, S)."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(2, 3))
    return views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def conv(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    kernel_shape: Any,
    strides: Any,
    pads: Any,
    dilations: Any,
    group: int,
) -> Array:
    assert w.shape[2:] == kernel_shape
    views = windows(x, kernel_shape, strides, pads, dilations)
    N, C, P, Q, R, S = views.shape
    grouped = views.reshape(N, group, C // group, P, Q, R, S)
    filters = w.reshape(group, len(w) // group, C // group, R, S)
    y = np.einsum("ngcpqrs,gocrs->ngopq", grouped, filters).reshape(N, len(w), P, Q)
    return y if b is None else y + b.reshape(1, -1, 1, 1)


def max_pool(x: Array, *, kernel_shape: Any, strides: Any, pads: Any) -> Array:
    return windows(x, kernel_shape, strides, pads, fill=-math.inf).max((4, 5))


def average_pool(x: Array, *, kernel_shape: Any, strides: Any, pads: Any, count_include_pad: int) -> Array:
    sums = windows(x, kernel_shape, strides, pads).sum((4, 5))
    if count_include_pad:
        return sums / math.prod(kernel_shape)
    return sums / windows(np.ones_like(x), kernel_shape, strides, pads).sum((4, 5))


def batch_normalization(x: Array, scale: Array, b: Array, mean: Array, var: Array, *, epsilon: float) -> Array:
    scale, b, mean, var = (each.reshape(1, -1, *(1,) * (x.ndim - 2)) for each in (scale, b, mean, var))
    return (x - mean) / np.sqrt(var + epsilon) * scale + b


def gemm(x: Array, w: Array, b: Array, *, transB: int) -> Array:
    assert transB == 1
    return x @ w.T + b


def cast(x: Array, *, to: int) -> Array:
    return x.astype(TYPES[to]).astype(np.float64)


def softmax(x: Array, *, axis: int) -> Array:
    assert axis == 1
    assert x.ndim == 2
    y = np.exp(x - x.max(1, keepdims=True))
    return y / y.sum(1, keepdims=True)


def flatten(x: Array, *, axis: int) -> Array:
    assert axis == 1
    return x.reshape(len(x), -1)


OPERATIONS: Final[dict[str, Callable[..., Array]]] = {
    "Cast": cast,
    "Transpose": lambda x, *, perm: x.transpose(perm),
    "Conv": conv,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdims=True),
    "GlobalMaxPool": lambda x: x.max((2, 3), keepdims=True),
    "BatchNormalization": batch_normalization,
    "Gemm": gemm,
    "Flatten": flatten,
    "Softmax": softmax,
    "Add": lambda a, b: a + b,
    "Mul": lambda a, b: a * b,
    "Concat": lambda *several, axis: np.concatenate(several, axis),
    "Relu": lambda x: np.maximum(x, 0),
    "LeakyRelu": lambda x, *, alpha: np.where(x < 0, alpha * x, x),
    "Elu": lambda x, *, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "Clip": lambda x, *, min, max: np.minimum(np.maximum(x, min), max),  # noqa: A006 - their names in ONNX
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "HardSigmoid": lambda x, *, alpha, beta: np.maximum(0, np.minimum(1, alpha * x + beta)),
    "Tanh": np.tanh,
    "Softplus": lambda x: np.logaddexp(0, x),
    "Erf": np.vectorize(math.erf, otypes=[np.float64]),
}
"""An operation → its definition."""
