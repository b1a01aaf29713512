"""The arrays in an ONNX file: each is checked against the bytes in the file before memory is allocated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.files.tensors import from_bfloat16
from layerline.numbers import display

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.export.onnx.messages import TensorProto

_TYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    4: np.dtype("<u2"),
    5: np.dtype("<i2"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
    16: np.dtype("<u2"),  # bfloat16
}
_BFLOAT16: Final = 16
_EXTERNAL: Final = 1
_NAMES: Final = {8: "text", 14: "complex64", 15: "complex128", 17: "float8", 18: "float8", 19: "float8", 20: "float8"}
WIDE: Final = {10: "float16", 11: "float64", 16: "bfloat16"}
"""Types of numbers that become float32."""
FLOATING: Final = (1, *WIDE)


class ArrayFault(ValueError):  # noqa: N818 - the public error is UserError, which names the file
    """An array that cannot be read."""


def array_of(tensor: TensorProto) -> NDArray[Any]:
    """Return an array as NumPy has it, bfloat16 as float32. Raises ArrayFault."""
    if tensor.data_location == _EXTERNAL or tensor.external_data:
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "another file")
        raise ArrayFault(f"its values are in {display.name(location, 100)}, not in this file")
    dtype = _TYPES.get(tensor.data_type)
    if dtype is None:
        kind = _NAMES.get(tensor.data_type, f"type {tensor.data_type}")
        raise ArrayFault(f"its values are {kind}, which is not supported")
    if any(size < 0 for size in tensor.dims):
        raise ArrayFault(f"its shape {_sizes(tensor)} is negative")
    count = math.prod(tensor.dims)
    values = _values(tensor, dtype, count)
    if len(values) != count:
        raise ArrayFault(f"its shape {_sizes(tensor)} needs {count:,d} values, but the file has {len(values):,d}")
    return (from_bfloat16(values) if tensor.data_type == _BFLOAT16 else values).reshape(tensor.dims)


def _values(tensor: TensorProto, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return the values in a row, from wherever the file has them."""
    raw: Any = tensor.raw_data
    if len(raw):
        return _view(raw, dtype)
    if tensor.float_data or tensor.double_data:
        wanted = np.dtype("<f8") if tensor.double_data else np.dtype("<f4")
        if wanted != dtype:
            raise ArrayFault("its values have another type than it declares")
        parts = [_view(each, wanted) for each in tensor.double_data or tensor.float_data]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    listed = tensor.int64_data or tensor.int32_data
    if len(listed) != count and count:
        return np.zeros(len(listed), dtype)
    if dtype.kind == "f" or tensor.data_type == _BFLOAT16:  # the bits of 16-bit numbers are in integers
        return np.array([value & 0xFFFF for value in listed], np.uint16).view(
            dtype if dtype.itemsize == 2 else np.uint16
        )
    try:
        return np.array(listed, np.int64).astype(dtype)
    except OverflowError as error:
        raise ArrayFault("a value does not fit its type") from error


def _view(content: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    if len(content) % dtype.itemsize:
        raise ArrayFault(f"{len(content):,d} bytes are not a whole number of values of {dtype.itemsize} bytes")
    return np.frombuffer(content, dtype)


def _sizes(tensor: TensorProto) -> str:
    sizes = "×".join(f"{size:,d}" for size in tensor.dims[:8])
    return f"({sizes}{', …' if len(tensor.dims) > 8 else ''})"
