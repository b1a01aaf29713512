"""Operations on constants: exporters compute shapes and prepare weights with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.export.onnx.onnx_graph import Operation

Fold = Callable[["Operation", tuple[Any, ...]], Any]
MOST_VALUES: Final = 2**26
"""How many values all operations on constants of a file may compute together: 256 MB of float32."""
_MOST_AXES: Final = 16
_DTYPES: Final = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float32,
    11: np.float64,
    16: np.float32,
}
"""ONNX's types → NumPy's; 16-bit numbers are computed as float32."""


@final
class Folding:
    """Computes operations on constants, up to a number of values."""

    def __init__(self) -> None:
        """Start with everything left."""
        self._left = MOST_VALUES

    def computed(self, operation: Operation, inputs: tuple[NDArray[Any] | None, ...]) -> NDArray[Any]:
        """Return the output of an operation on constants. Raises NotCarriedError if it cannot be computed here."""
        fold = _FOLDS.get(operation.kind)
        if fold is None:
            raise NotCarriedError("it computes with constants only, which is not supported for this operation")
        try:
            if operation.kind not in _GIVEN:
                self._take(_expected(operation, inputs))
            with np.errstate(all="ignore"):
                found = np.asarray(fold(operation, inputs))
        except (ValueError, IndexError, TypeError, KeyError, OverflowError, AttributeError, ZeroDivisionError) as error:
            raise NotCarriedError(f"its constants do not fit: {type(error).__name__}") from error
        return found

    def _take(self, count: int) -> None:
        if count > self._left:
            raise NotCarriedError(
                f"it computes more than {MOST_VALUES:,d} constant numbers, together with those before it",
                fix="save the file with its constants computed, as onnxsim does",
            )
        self._left -= count


def _expected(operation: Operation, inputs: tuple[NDArray[Any] | None, ...]) -> int:
    """Return at least the number of values of the output, before memory is allocated for them."""
    several = [each for each in inputs if each is not None]
    if any(each.ndim > _MOST_AXES for each in several):
        raise ValueError("too many axes")
    if operation.kind in ("ConstantOfShape", "Expand", "Tile", "Range") and several:
        return _grown(operation.kind, several)
    if operation.kind == "MatMul":
        return math.prod(several[0].shape[:-1]) * math.prod(several[1].shape[-1:])
    if operation.kind in _BROADCASTING:
        return math.prod(np.broadcast_shapes(*(each.shape for each in several)))
    if operation.kind == "Gather":
        axis = operation.whole("axis", 0)
        return int(several[1].size * (several[0].size // max(1, several[0].shape[axis])))
    return sum(each.size for each in several) + 1


def _grown(kind: str, several: list[NDArray[Any]]) -> int:
    if kind == "Range":
        start, limit, delta = (float(each.reshape(-1)[0]) for each in several)
        return max(0, math.ceil((limit - start) / delta))
    sizes = [int(size) for size in several[-1].reshape(-1)[: _MOST_AXES + 1]]
    if min(sizes, default=0) < 0 or len(sizes) > _MOST_AXES:
        raise ValueError("not a shape")
    return math.prod(max(1, size) for size in sizes) * (1 if kind == "ConstantOfShape" else several[0].size)


def axes_of(operation: Operation, inputs: tuple[Any, ...], rank: int) -> tuple[int, ...] | None:
    """Return the axes of an operation, from 0, as its attribute or its second input has them; None if all."""
    listed = operation.wholes("axes")
    if listed is None and len(inputs) > 1 and inputs[1] is not None:
        if not isinstance(inputs[1], np.ndarray):
            raise NotCarriedError("its axes are computed from the images")
        listed = tuple(inputs[1].reshape(-1).tolist())
    if listed is None:
        return None
    axes = tuple(int(axis) + rank * (axis < 0) for axis in listed)
    if not all(0 <= axis < rank for axis in axes):
        raise NotCarriedError(f"its axes {[*listed][:8]} are not those of {rank} dimensions")
    return axes


def resized(shape: tuple[int, ...], wanted: NDArray[Any], *, zero_copies: bool = True) -> tuple[int, ...]:
    """Return the shape that Reshape's input means: 0 copies a size, one −1 is what remains. Raises NotCarriedError."""
    sizes = [int(size) for size in wanted.reshape(-1)[:_MOST_AXES]]
    for axis, size in enumerate(sizes):
        if size == 0 and zero_copies and axis < len(shape):
            sizes[axis] = shape[axis]
    known = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and known > 0:
        sizes[sizes.index(-1)] = math.prod(shape) // known
    if min(sizes, default=1) < 0 or math.prod(sizes) != math.prod(shape):
        raise NotCarriedError(f"it makes {_text(wanted)} of {'×'.join(map(str, shape))}, which has other values")
    return tuple(sizes)


def _text(wanted: NDArray[Any]) -> str:
    return "×".join(str(int(size)) for size in wanted.reshape(-1)[:_MOST_AXES]) or "one number"


def without(shape: tuple[int, ...], axes: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return a shape without axes, or, if None, without all of size 1."""
    return tuple(size for axis, size in enumerate(shape) if (size != 1 if axes is None else axis not in axes))


def with_ones(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape with new axes of size 1."""
    rest = iter(shape)
    return tuple(1 if axis in axes else next(rest) for axis in range(len(shape) + len(axes)))


def _binary(function: Any) -> Fold:
    return lambda _operation, inputs: _like(function(*inputs), inputs)


def _like(found: Any, inputs: tuple[Any, ...]) -> Any:
    """Return a result with the type of the inputs, as ONNX has it."""
    return np.asarray(found).astype(np.result_type(*inputs), copy=False)


def _divided(_operation: Operation, inputs: tuple[Any, ...]) -> Any:
    a, b = inputs
    return _like(np.trunc(a / b) if np.result_type(a, b).kind in "iu" else a / b, inputs)


def _constant(operation: Operation, _inputs: tuple[Any, ...]) -> Any:
    attributes = operation.attributes
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attributes.get("value") is not None:
        return attributes["value"]
    return next(np.asarray(attributes[name], kind) for name, kind in kinds.items() if name in attributes)


def _of_shape(operation: Operation, inputs: tuple[Any, ...]) -> Any:
    value = operation.attributes.get("value")
    filled = np.zeros(1, np.float32) if value is None else value.reshape(-1)
    return np.full(tuple(int(size) for size in inputs[0].reshape(-1)), filled[0], filled.dtype)


def _slice(operation: Operation, inputs: tuple[Any, ...]) -> Any:
    x = inputs[0]
    named = [operation.wholes(name) for name in ("starts", "ends", "axes")]
    if named[0] is None:
        named = [None if each is None else each.reshape(-1).tolist() for each in (*inputs[1:4], None, None)[:3]]
    steps = inputs[4].reshape(-1).tolist() if len(inputs) > 4 and inputs[4] is not None else [1] * len(named[0] or ())
    starts, ends = named[0] or (), named[1] or ()
    parts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(named[2] or range(len(starts)), starts, ends, steps, strict=True):
        parts[axis] = slice(int(start), int(end) if step > 0 or end >= -x.shape[axis] else None, int(step))
    return x[tuple(parts)]


def _squeezed(operation: Operation, inputs: tuple[Any, ...]) -> Any:
    return inputs[0].reshape(without(inputs[0].shape, axes_of(operation, inputs, inputs[0].ndim)))


def _unsqueezed(operation: Operation, inputs: tuple[Any, ...]) -> Any:
    listed = operation.wholes("axes")
    count = len(listed) if listed is not None else inputs[1].size
    axes = axes_of(operation, inputs, inputs[0].ndim + count) or ()
    return inputs[0].reshape(with_ones(inputs[0].shape, axes))


def _reshaped(operation: Operation, inputs: tuple[Any, ...]) -> Any:
    zero = not operation.whole("allowzero", 0)
    return inputs[0].reshape(resized(inputs[0].shape, inputs[1], zero_copies=zero))


def _reduced(function: Any) -> Fold:
    def fold(operation: Operation, inputs: tuple[Any, ...]) -> Any:
        keep = bool(operation.whole("keepdims", 1))
        return _like(function(inputs[0], axis=axes_of(operation, inputs, inputs[0].ndim), keepdims=keep), inputs[:1])

    return fold


def _cast(operation: Operation, inputs: tuple[Any, ...]) -> Any:
    return inputs[0].astype(_DTYPES[operation.whole("to", 0)])


def _first(_operation: Operation, inputs: tuple[Any, ...]) -> Any:
    return inputs[0]


_GIVEN: Final = frozenset({"Constant", "Identity", "CastLike", "Dropout"})
"""Operations that compute nothing: their values are in memory already."""
_BROADCASTING: Final = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Equal", "Where", "Mod"})
_FOLDS: Final[dict[str, Fold]] = {
    "Constant": _constant,
    "ConstantOfShape": _of_shape,
    **dict.fromkeys(("Identity", "Dropout"), _first),
    "CastLike": lambda _operation, inputs: inputs[0].astype(inputs[1].dtype),
    "Cast": _cast,
    "Shape": lambda operation, inputs: np.array(
        inputs[0].shape[operation.whole("start", 0) : operation.whole("end", inputs[0].ndim)], np.int64
    ),
    "Size": lambda _operation, inputs: np.int64(inputs[0].size),
    "Gather": lambda operation, inputs: np.take(inputs[0], inputs[1], axis=operation.whole("axis", 0)),
    "Slice": _slice,
    "Concat": lambda operation, inputs: np.concatenate(inputs, axis=operation.whole("axis", 0)),
    "Squeeze": _squeezed,
    "Unsqueeze": _unsqueezed,
    "Reshape": _reshaped,
    "Flatten": lambda operation, inputs: inputs[0].reshape(
        math.prod(inputs[0].shape[: operation.whole("axis", 1)]), -1
    ),
    "Transpose": lambda operation, inputs: np.transpose(inputs[0], operation.wholes("perm")),
    "Expand": lambda _operation, inputs: inputs[0] * np.ones(inputs[1].reshape(-1).tolist(), inputs[0].dtype),
    "Range": lambda _operation, inputs: np.arange(*(each.reshape(-1)[0] for each in inputs)),
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _divided,
    "Pow": _binary(np.power),
    "Max": _binary(np.maximum),
    "Min": _binary(np.minimum),
    "Mod": _binary(np.mod),
    "Equal": lambda _operation, inputs: np.equal(*inputs),
    "Where": lambda _operation, inputs: np.where(*inputs),
    "MatMul": _binary(np.matmul),
    "Sqrt": lambda _operation, inputs: _like(np.sqrt(inputs[0]), inputs),
    "Reciprocal": lambda _operation, inputs: _like(1 / inputs[0], inputs),
    "Neg": lambda _operation, inputs: -inputs[0],
    "Floor": lambda _operation, inputs: np.floor(inputs[0]),
    "Ceil": lambda _operation, inputs: np.ceil(inputs[0]),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ReduceMean": _reduced(np.mean),
}
"""An operation → what it computes of constants."""
