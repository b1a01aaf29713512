"""ONNX's operations by their definitions, in NumPy and float64: what an exported file computes, without a runtime.

https://onnx.ai/onnx/operators has the definitions. What we write is of opset 9, what others write of newer ones.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
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
        inputs = [values[name] if name else None for name in node.input]
        values[output] = (OPERATIONS | OTHERS)[node.op_type](*inputs, **attributes)
    if model.producer_name == "layerline":
        assert {node.op_type for node in model.graph.node} <= set(OPERATIONS)
        check(result, values[result.name].astype(np.float32))
    return values[result.name]


def stand_in() -> Any:
    """Return a module with what a program uses of onnxruntime, where that is not installed."""

    class InferenceSession:
        """A file that was read."""

        def __init__(self, path: str, providers: list[str]) -> None:
            assert providers == ["CPUExecutionProvider"]
            self.content = Path(path).read_bytes()

        def get_modelmeta(self) -> Any:
            model = protobuf.decoded(ModelProto, self.content)
            return SimpleNamespace(custom_metadata_map={each.key: each.value for each in model.metadata_props})

        def run(self, outputs: list[str], inputs: dict[str, Array]) -> list[Array]:
            model = protobuf.decoded(ModelProto, self.content)
            assert model.graph is not None
            assert (outputs, [*inputs]) == ([model.graph.output[0].name], [model.graph.input[0].name])
            return [run(self.content, *inputs.values())]

    return SimpleNamespace(InferenceSession=InferenceSession)


def check(described: Any, value: Array) -> None:
    """Assert that a value has the type and the sizes that the file declares; the batch may be any."""
    tensor = described.type.tensor_type
    batch, *sizes = tensor.shape.dim
    assert value.dtype == TYPES[tensor.elem_type]
    assert batch.dim_param
    assert not batch.dim_value
    assert all(size.dim_param or size.dim_value == n for size, n in zip(sizes, value.shape[1:], strict=True))


def array(tensor: TensorProto) -> Array:
    values = np.frombuffer(tensor.raw_data, TYPES[tensor.data_type]).reshape(tensor.dims)
    return values if values.dtype == np.int64 else values.astype(np.float64)


def attribute(each: AttributeProto) -> Any:
    if each.type == 4:
        assert each.t is not None
        return array(each.t)
    return {1: each.f, 2: each.i, 3: bytes(each.s).decode(), 7: each.ints}[each.type]


def windows(x: Array, kernel: Any, strides: Any, pads: Any, dilations: Any = (1, 1), fill: float = 0.0) -> Array:
    """Return the pixels under each position of a window: (N, C, P, Q, R, S)."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(2, 3))
    return views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def automatic(x: Array, kernel: Any, strides: Any, dilations: Any, auto_pad: str, pads: Any) -> Any:
    """Return (top, left, bottom, right) by auto_pad."""
    if auto_pad == "NOTSET":
        return pads
    if auto_pad == "VALID":
        return 0, 0, 0, 0
    sides = zip(x.shape[2:], kernel, strides, dilations, strict=True)
    total = [max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in sides]
    less, more = [t // 2 for t in total], [t - t // 2 for t in total]
    return (*less, *more) if auto_pad == "SAME_UPPER" else (*more, *less)


def conv(
    x: Array, w: Array, b: Array | None = None, *, kernel_shape: Any = None, strides: Any = (1, 1),
    pads: Any = (0, 0, 0, 0), dilations: Any = (1, 1), group: int = 1, auto_pad: str = "NOTSET",
) -> Array:  # fmt: skip
    kernel_shape = w.shape[2:] if kernel_shape is None else kernel_shape
    assert w.shape[2:] == kernel_shape
    pads = automatic(x, kernel_shape, strides, dilations, auto_pad, pads)
    views = windows(x, kernel_shape, strides, pads, dilations)
    N, C, P, Q, R, S = views.shape
    grouped = views.reshape(N, group, C // group, P, Q, R, S)
    filters = w.reshape(group, len(w) // group, C // group, R, S)
    y = np.einsum("ngcpqrs,gocrs->ngopq", grouped, filters).reshape(N, len(w), P, Q)
    return y if b is None else y + b.reshape(1, -1, 1, 1)


def reached(x: Array, kernel: Any, strides: Any, pads: Any) -> tuple[int, ...]:
    """Return the padding with what windows of ceil_mode reach beyond; each starts before the last padding."""
    found = list(pads)
    for axis in (0, 1):
        size = x.shape[2 + axis] + pads[axis] + pads[2 + axis]
        count = math.ceil((size - kernel[axis]) / strides[axis]) + 1
        count -= (count - 1) * strides[axis] >= x.shape[2 + axis] + pads[axis]
        found[2 + axis] += max(0, (count - 1) * strides[axis] + kernel[axis] - size)
    return tuple(found)


def max_pool(
    x: Array, *, kernel_shape: Any, strides: Any = (1, 1), pads: Any = (0, 0, 0, 0), auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
) -> Array:  # fmt: skip
    pads = automatic(x, kernel_shape, strides, (1, 1), auto_pad, pads)
    pads = reached(x, kernel_shape, strides, pads) if ceil_mode else pads
    return windows(x, kernel_shape, strides, pads, fill=-math.inf).max((4, 5))


def average_pool(
    x: Array, *, kernel_shape: Any, strides: Any = (1, 1), pads: Any = (0, 0, 0, 0), count_include_pad: int = 0,
    auto_pad: str = "NOTSET",
) -> Array:  # fmt: skip
    pads = automatic(x, kernel_shape, strides, (1, 1), auto_pad, pads)
    sums = windows(x, kernel_shape, strides, pads).sum((4, 5))
    if count_include_pad:
        return sums / math.prod(kernel_shape)
    return sums / windows(np.ones_like(x), kernel_shape, strides, pads).sum((4, 5))


def batch_normalization(
    x: Array, scale: Array, b: Array, mean: Array, var: Array, *, epsilon: float = 1e-5, momentum: float = 0.9
) -> Array:
    del momentum
    scale, b, mean, var = (each.reshape(1, -1, *(1,) * (x.ndim - 2)) for each in (scale, b, mean, var))
    return (x - mean) / np.sqrt(var + epsilon) * scale + b


def gemm(
    x: Array, w: Array, b: Array | None = None, *, transB: int = 0, alpha: float = 1.0, beta: float = 1.0
) -> Array:
    y = alpha * (x @ (w.T if transB else w))
    return y if b is None else y + beta * b


def cast(x: Array, *, to: int) -> Array:
    return x.astype(TYPES[to]).astype(np.float64)


def softmax(x: Array, *, axis: int = -1) -> Array:
    assert axis in (1, -1)
    assert x.ndim == 2
    y = np.exp(x - x.max(1, keepdims=True))
    return y / y.sum(1, keepdims=True)


def flatten(x: Array, *, axis: int = 1) -> Array:
    assert axis == 1
    return x.reshape(len(x), -1)


def clip(x: Array, low: Any = None, high: Any = None, **limits: float) -> Array:
    low, high = limits.get("min", low), limits.get("max", high)
    return np.minimum(np.maximum(x, -math.inf if low is None else low), math.inf if high is None else high)


def reshape(x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[k] if n == 0 else int(n) for k, n in enumerate(shape)])


def pad(x: Array, pads: Array, value: Any = 0.0, *, mode: str = "constant") -> Array:
    assert mode == "constant"
    around = pads.reshape(2, -1).T
    return np.pad(x, [(int(a), int(b)) for a, b in around], constant_values=float(value))


def squeeze(x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, None if axes is None else tuple(int(axis) for axis in axes))


def unsqueeze(x: Array, axes: Array) -> Array:
    return np.expand_dims(x, tuple(int(axis) for axis in axes))


def reduced(function: Callable[..., Array]) -> Callable[..., Array]:
    def of(x: Array, given: Array | None = None, *, axes: Any = None, keepdims: int = 1) -> Array:
        listed = given if axes is None else axes
        return function(x, axis=tuple(int(axis) for axis in listed), keepdims=bool(keepdims))

    return of


def gelu(x: Array, *, approximate: str = "none") -> Array:
    assert approximate == "none"
    return x * (1 + OPERATIONS["Erf"](x / math.sqrt(2))) / 2


def dropout(x: Array, ratio: Array | None = None, training: Array | None = None) -> Array:
    del ratio
    assert training is None
    return x


OTHERS: Final[dict[str, Callable[..., Array]]] = {
    "Identity": lambda x: x,
    "CastLike": lambda x, like: x.astype(like.dtype),
    "Dropout": dropout,
    "Constant": lambda *, value: value,
    "Shape": lambda x: np.array(x.shape, np.int64),
    "Gather": lambda x, i, *, axis=0: np.take(x, np.int64(i), axis=axis),
    "Unsqueeze": unsqueeze,
    "Squeeze": squeeze,
    "Reshape": reshape,
    "Expand": lambda x, shape: x * np.ones(shape),
    "Pad": pad,
    "ReduceMean": reduced(np.mean),
    "ReduceMax": reduced(np.max),
    "MatMul": lambda a, b: a @ b,
    "Sub": lambda a, b: a - b,
    "Div": lambda a, b: a / b,
    "Max": np.maximum,
    "Pow": np.power,
    "Exp": np.exp,
    "Neg": np.negative,
    "Sum": lambda *several: sum(several),
    "Gelu": gelu,
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "Mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "PRelu": lambda x, slope: np.where(x < 0, slope * x, x),
    "LogSoftmax": lambda x, *, axis=-1: np.log(softmax(x, axis=axis)),
}
"""Operations that only others write."""
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
    "LeakyRelu": lambda x, *, alpha=0.01: np.where(x < 0, alpha * x, x),
    "Elu": lambda x, *, alpha=1.0: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "Clip": clip,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "HardSigmoid": lambda x, *, alpha=0.2, beta=0.5: np.maximum(0, np.minimum(1, alpha * x + beta)),
    "Tanh": np.tanh,
    "Softplus": lambda x: np.logaddexp(0, x),
    "Erf": np.vectorize(math.erf, otypes=[np.float64]),
}
"""The operations that we write → their definitions."""
