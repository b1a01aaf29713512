"""Every ONNX operation that a network file can express, with the rule that says how."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.export.onnx import scalar_functions as functions
from layerline.export.onnx.constant_folding import axes_of, resized, with_ones, without
from layerline.export.onnx.held import Held, computed, constant, image_axes
from layerline.export.onnx.onnx_arrays import FLOATING
from layerline.export.onnx.onnx_graph import shortest
from layerline.export.onnx.onnx_windows import average_pool, max_pool, pad
from layerline.export.onnx.weighted import (
    affine,
    batch_norm,
    conv,
    gemm,
    matmul,
)
from layerline.layers import ELU, Add, Concat, Flat, Gate, GlobalMaxPool, GlobalPool, LeakyReLU, Softmax
from layerline.layers.grammar import times
from layerline.network.pytorch.torch_operation import Part
from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.export.onnx.graph_walk import GraphWalk
    from layerline.export.onnx.onnx_graph import Operation

_MOST_INPUTS: Final = 256
"""Of a Concat; DenseNet has 60."""
Inputs = tuple["Held | NDArray[Any] | None", ...]
Rule = Callable[["GraphWalk", "Operation", tuple[Any, ...]], "Held | NDArray[Any]"]
"""(walk, operation, its inputs, at least one of which is computed from the images) → its output."""
_INTEGERS: Final = "it makes integers of its input, which no layer does"
_TURNS: Final[dict[tuple[int, ...], bool]] = {(0, 3, 1, 2): True, (0, 2, 3, 1): False}
"""A permutation → whether the channels are the last dimension before it."""


def _number(inputs: tuple[Any, ...], place: int, otherwise: float) -> float:
    found = constant(inputs, place)
    if found is None:
        return otherwise
    if found.size != 1:
        raise NotCarriedError("one of its limits is not a single number")
    return float(found.reshape(-1)[0])


def _pointwise(function: Callable[[Any], Any]) -> Rule:
    """Return the rule of a function of one number."""

    def rule(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
        return walk.function(operation, (computed(inputs),), function)

    return rule


def _clip(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    held = computed(inputs)
    low = _number(inputs, 1, operation.real("min", -math.inf))
    high = _number(inputs, 2, operation.real("max", math.inf))
    return walk.function(operation, (held,), lambda x: np.minimum(np.maximum(x, low), high))


def _hard_sigmoid(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    alpha, beta = operation.real("alpha", 0.2), operation.real("beta", 0.5)
    return walk.function(operation, (computed(inputs),), lambda x: functions.hard_sigmoid(x, alpha, beta))


def _gelu(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    form = functions.tanh_gelu if operation.text("approximate", "none") == "tanh" else functions.gelu
    return walk.function(operation, (computed(inputs),), form)


def _leaky_relu(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    slope = shortest(operation.real("alpha", 0.01))
    return walk.layers(operation, computed(inputs), (Part(LeakyReLU(slope)),))


def _elu(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    return walk.layers(operation, computed(inputs), (Part(ELU(shortest(operation.real("alpha", 1.0)))),))


def _prelu(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    slopes = constant(inputs, 1)
    if slopes is None or not slopes.size or (slopes != slopes.reshape(-1)[0]).any():
        raise NotCarriedError("its slopes differ between channels; only one slope is available, as LeakyReLU")
    return walk.layers(operation, computed(inputs), (Part(LeakyReLU(shortest(float(slopes.reshape(-1)[0])))),))


def _same(_walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    return computed(inputs).named(operation.output)


def _cast(_walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    if operation.whole("to", 0) not in FLOATING:
        raise NotCarriedError(_INTEGERS)
    return computed(inputs).named(operation.output)


def _cast_like(_walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held | NDArray[Any]:
    if isinstance(inputs[0], np.ndarray):  # a constant of the type of something computed, which is float32
        return inputs[0].astype(np.float32)
    like = constant(inputs, 1) if not isinstance(inputs[-1], Held) else None
    if like is not None and like.dtype.kind != "f":
        raise NotCarriedError(_INTEGERS)
    return computed(inputs).named(operation.output)


def _dropout(_walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    training = constant(inputs, 2)
    if training is not None and training.any():
        raise NotCarriedError("it drops values at random; export the model in evaluation mode")
    return computed(inputs).named(operation.output)


def _binary(kind: str) -> Rule:
    """Return the rule of Add, Sub, Mul, Div, Max, Min or Pow."""

    def rule(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
        if len(inputs) != 2:
            raise NotCarriedError(f"it has {len(inputs)} inputs; two are available")
        first, second = inputs
        if isinstance(first, Held) and isinstance(second, Held):
            return _of_two(walk, operation, first, second, kind)
        held, number = (first, second) if isinstance(first, Held) else (second, first)
        if number is None or not number.size:
            raise NotCarriedError("one of its inputs is omitted or empty")
        if held.prepared is not None and held.function is None and kind in ("Add", "Sub", "Mul", "Div"):
            return _prepared(walk, operation, held, number, kind, swapped=held is second)
        if number.size == 1:
            return _with_number(walk, operation, held, number, kind, swapped=held is second)
        return affine(walk, operation, held, number, kind, swapped=held is second)

    return rule


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "Pow": np.power,
}


def _with_number(
    walk: GraphWalk, operation: Operation, held: Held, number: NDArray[Any], kind: str, *, swapped: bool
) -> Held:
    """Return a function of a value and a number."""
    compute, value = _ARITHMETIC[kind], float(number.reshape(-1)[0])
    return walk.function(operation, (held,), lambda x: compute(value, x) if swapped else compute(x, value))


def _prepared(
    walk: GraphWalk, operation: Operation, held: Held, number: NDArray[Any], kind: str, *, swapped: bool
) -> Held:
    """Return images with another scaling, which may also be a part of an activation."""
    found = affine(walk, operation, held, number, kind, swapped=swapped)
    if number.size != 1:
        return found
    function = _with_number(walk, operation, held, number, kind, swapped=swapped).function
    return dataclasses.replace(found, raw=function)


def _of_two(walk: GraphWalk, operation: Operation, first: Held, second: Held, kind: str) -> Held:
    """Return a function of one value, such as x · sigmoid(x), or the end of a block of two branches."""
    join = {"Add": "add", "Mul": "gate"}.get(kind)
    if walk.alike(first, second):
        ends = None if join is None else (join, first, second)
        return walk.function(operation, (first, second), _ARITHMETIC[kind], ends)
    if join is None:
        raise NotCarriedError("values can only be added, concatenated, or multiplied: x * g(x)")
    sizes = " and ".join(times(each.sizes) for each in (first, second))
    if join == "add":
        if first.sizes != second.sizes:
            raise NotCarriedError(f"it adds {sizes}; a sum needs equal shapes")
        return walk.join(operation, Add(), (first, second))
    largest = max((first.shape, second.shape), key=math.prod)
    if not all(shape in (largest, (largest[0], 1, 1)) for shape in (first.shape, second.shape)):
        raise NotCarriedError(f"it multiplies {sizes}; a product needs equal shapes, or C×H×W and C×1×1")
    return walk.join(operation, Gate(), (first, second))


def _sum(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    return computed(inputs) if len(inputs) == 1 else _BINARY["Add"](walk, operation, inputs)  # type: ignore[return-value]


def _concat(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    if not all(isinstance(each, Held) for each in inputs):
        raise NotCarriedError("it concatenates a constant; only values that layers compute can be")
    several: tuple[Held, ...] = inputs
    if len(several) > _MOST_INPUTS:
        raise NotCarriedError(f"it concatenates {len(several):,d} values; at most {_MOST_INPUTS} are supported")
    rank = len(several[0].shape) + 1
    axis = operation.whole("axis", 1) % rank
    if axis != (rank - 1 if several[0].last else 1) or any(len(each.shape) != rank - 1 for each in several):
        raise NotCarriedError(f"axis={axis}: only channels can be concatenated")
    if any(each.order is not None for each in several):
        raise NotCarriedError("it concatenates vectors whose order is height, width, channel")
    if len({each.shape[1:] for each in several}) > 1:
        raise NotCarriedError("it concatenates images of different sizes")
    if len(several) == 1:
        return several[0].named(operation.output)
    return walk.join(operation, Concat(), several)


def _transpose(_walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    held = computed(inputs)
    rank = len(held.shape) + 1
    permutation = tuple(operation.wholes("perm") or range(rank)[::-1])
    if permutation == tuple(range(rank)):
        return held.named(operation.output)
    if held.is_image and _TURNS.get(permutation) == held.last:
        return dataclasses.replace(held, name=operation.output, last=not held.last)
    raise NotCarriedError(f"perm={[*permutation]}: the dimensions of an image keep their order in a network file")


def reshaped(walk: GraphWalk, operation: Operation, held: Held, after: tuple[int, ...]) -> Held:
    """Return a value with other sizes, the batch included: flattened, made an image again, or the same."""
    before = held.sizes
    if after == (walk.batch, *before):
        return held.named(operation.output)
    if after[:1] != (walk.batch,):
        what = "one vector" if len(after) == 2 and after[0] == 1 else "another number of images"
        raise NotCarriedError(
            f"it makes {what} of a batch of {times(before)}; images must stay apart",
            fix="flatten each image, as x.flatten(1) does in PyTorch",
        )
    sizes = after[1:]
    if held.flat and sizes == held.shape:
        return dataclasses.replace(held, name=operation.output, flat=False, last=False)
    if held.is_image and sizes == (math.prod(before),):
        moved = held.last and held.shape[0] > 1 and held.shape[1:] != (1, 1)
        return walk.layers(operation, held, (Part(Flat()),), last=False, order=held.shape if moved else None)
    turned = sizes == (held.shape if held.last else (*held.shape[1:], held.shape[0]))
    if held.is_image and turned and (held.shape[0] == 1 or held.shape[1:] == (1, 1)):
        return dataclasses.replace(held, name=operation.output, last=not held.last)
    if not held.is_image and sizes in ((*before, 1, 1), (1, 1, *before)):
        return walk.image_of(held, operation, last=sizes[0] == 1 and before != (1,))
    raise NotCarriedError(f"it makes {times(sizes)} of {times(before)}; only a whole image can be flattened")


def _reshape(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    held, wanted = computed(inputs), constant(inputs, 1)
    if wanted is None:
        wanted = np.asarray(operation.wholes("shape") or (), np.int64)
    zero = not operation.whole("allowzero", 0)
    return reshaped(walk, operation, held, resized((walk.batch, *held.sizes), wanted, zero_copies=zero))


def _flatten(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    held = computed(inputs)
    axis = operation.whole("axis", 1) % (len(held.shape) + 1)
    if axis != 1:
        raise NotCarriedError(f"axis={axis}: only a whole image can be flattened")
    return reshaped(walk, operation, held, (walk.batch, math.prod(held.sizes)))


def _slice(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    """Return the same value: a slice may only take everything, as some of GhostNet do."""
    held, (starts, ends, listed, steps) = computed(inputs), (constant(inputs, place) for place in range(1, 5))
    sizes = (walk.batch, *held.sizes)
    begins, stops = (
        (operation.wholes(name) or ()) if given is None else tuple(given.reshape(-1).tolist())
        for name, given in (("starts", starts), ("ends", ends))
    )
    axes = axes_of(operation, (inputs[0], listed), len(sizes)) or tuple(range(len(begins)))
    forward = steps is None or (steps == 1).all()
    parts = list(zip(axes, begins, stops, strict=False))
    whole = all(start in (0, -sizes[axis]) and stop >= sizes[axis] for axis, start, stop in parts)
    if not forward or not whole or not len(axes) == len(begins) == len(stops):
        raise NotCarriedError("it takes a part of its input, or reverses it; a network file has no equivalent")
    return held.named(operation.output)


def _squeeze(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    held = computed(inputs)
    sizes = (walk.batch, *held.sizes)
    axes = axes_of(operation, inputs, len(sizes))
    if axes is not None and any(sizes[axis] != 1 for axis in axes):
        raise NotCarriedError("it removes a dimension that is not 1")
    return reshaped(walk, operation, held, without(sizes, axes))


def _unsqueeze(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    held, listed = computed(inputs), operation.wholes("axes")
    count = len(listed) if listed is not None else 0 if constant(inputs, 1) is None else constant(inputs, 1).size  # type: ignore[union-attr]
    sizes = (walk.batch, *held.sizes)
    axes = axes_of(operation, inputs, len(sizes) + count) or ()
    if len(set(axes)) != count:
        raise NotCarriedError("it adds a dimension twice")
    return reshaped(walk, operation, held, with_ones(sizes, axes))


def _expand(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    held, wanted = computed(inputs), constant(inputs, 1)
    sizes = (walk.batch, *held.sizes)
    given = tuple(int(size) for size in (() if wanted is None else wanted.reshape(-1)[:8]))
    after = (1,) * (len(sizes) - len(given)) + given
    if len(after) == len(sizes):
        after = tuple(n if size == 1 else size for n, size in zip(sizes, after, strict=True))
    if after == sizes or (held.is_image and not held.last and after[:2] == sizes[:2] and sizes[2:] == (1, 1)):
        return held.named(operation.output)  # only a product can take it for the larger one
    raise NotCarriedError(
        f"it makes {times(after[1:])} of {times(sizes[1:])}; only C×1×1 can be expanded, for a product"
    )


def _shape(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> NDArray[Any]:
    sizes = (walk.batch, *computed(inputs).sizes)
    return np.array(sizes[operation.whole("start", 0) : operation.whole("end", len(sizes))], np.int64)


def _global(layer: GlobalPool | GlobalMaxPool) -> Rule:
    def rule(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
        return walk.layers(operation, computed(inputs).planar("a pool"), (Part(layer),))

    return rule


def _reduced(layer: GlobalPool | GlobalMaxPool, what: str) -> Rule:
    def rule(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
        held = computed(inputs)
        axes = axes_of(operation, inputs, len(held.shape) + 1)
        if not image_axes(held, axes):
            raise NotCarriedError(f"axes={axes}: only the {what} over height and width is available")
        if operation.whole("keepdims", 1):
            return walk.layers(operation, held, (Part(layer),))
        return walk.layers(operation, held, (Part(layer), Part(Flat())), last=False)

    return rule


def _softmax(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    held = computed(inputs)
    rank = len(held.sizes) + 1
    axis = operation.whole("axis", 1 if walk.opset < 13 else -1) % rank
    whole = axis == 1 and walk.opset < 13  # then it is over everything from this axis on
    if held.shape[1:] not in ((), (1, 1)) or held.order is not None or held.flat:
        raise NotCarriedError("only a softmax over the classes is available, at the end")
    if not whole and axis != (rank - 1 if held.last else 1):
        raise NotCarriedError(f"axis={axis}: only a softmax over the classes is available, at the end")
    parts = (Part(Flat()), Part(Softmax())) if held.is_image else (Part(Softmax()),)
    return walk.layers(operation, held, parts, flat=held.is_image)


_BINARY: Final[dict[str, Rule]] = {kind: _binary(kind) for kind in _ARITHMETIC}

RULES: Final[dict[str, Rule]] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_norm,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "Pad": pad,
    "GlobalAveragePool": _global(GlobalPool()),
    "GlobalMaxPool": _global(GlobalMaxPool()),
    "ReduceMean": _reduced(GlobalPool(), "mean"),
    "ReduceMax": _reduced(GlobalMaxPool(), "maximum"),
    "Relu": _pointwise(lambda x: np.maximum(x, 0)),
    "Sigmoid": _pointwise(functions.sigmoid),
    "Tanh": _pointwise(np.tanh),
    "Erf": _pointwise(functions.erf),
    "Erfc": _pointwise(lambda x: 1 - functions.erf(x)),  # of TensorFlow: tf2onnx writes it for GELU
    "Softplus": _pointwise(functions.softplus),
    "Exp": _pointwise(np.exp),
    "Neg": _pointwise(np.negative),
    "Reciprocal": _pointwise(lambda x: 1 / x),
    "Abs": _pointwise(np.abs),
    "Sqrt": _pointwise(np.sqrt),
    "Log": _pointwise(np.log),
    "HardSwish": _pointwise(lambda x: x * functions.hard_sigmoid(x)),
    "Mish": _pointwise(lambda x: x * np.tanh(functions.softplus(x))),
    "Swish": _pointwise(lambda x: x * functions.sigmoid(x)),
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "Elu": _elu,
    "PRelu": _prelu,
    **_BINARY,
    "Sum": _sum,
    "Concat": _concat,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Expand": _expand,
    "Shape": _shape,
    "Identity": _same,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Dropout": _dropout,
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
}
"""The kind of an operation → its rule."""
