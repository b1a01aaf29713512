"""LLVM's types, and constants of those types."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.compiler.llvm_text import Operand

TYPES: Final[dict[DType | None, str]] = {
    None: "i1",
    DType.U8: "i8",
    DType.I8: "i8",
    DType.I32: "i32",
    DType.I64: "i64",
    DType.F32: "float",
    DType.F64: "double",
}


def vector_type(dtype: DType | None, lanes: int) -> str:
    """Return the LLVM type of `lanes` values."""
    return TYPES[dtype] if lanes == 1 else f"<{lanes} x {TYPES[dtype]}>"


def whole(dtype: DType | None, number: int) -> Operand:
    """Return an integer."""
    return TYPES[dtype], str(number)


def one(dtype: DType | None, number: float) -> Operand:
    """Return a number; floating-point ones as the bits of a double, which float32 are, too, once they are rounded."""
    if dtype is not DType.F32 and dtype is not DType.F64:
        return TYPES[dtype], str(int(number))
    rounded = struct.unpack("f", struct.pack("f", number))[0] if dtype is DType.F32 else number
    return TYPES[dtype], f"0x{struct.unpack('Q', struct.pack('d', rounded))[0]:016x}"


def vector(lanes: Sequence[Operand]) -> Operand:
    """Return a constant vector."""
    if len(lanes) == 1:
        return lanes[0]
    typ, text = lanes[0]
    equal = all(lane == lanes[0] for lane in lanes)
    inside = ", ".join([f"{typ} {number}" for _, number in lanes])
    return f"<{len(lanes)} x {typ}>", f"splat ({typ} {text})" if equal else f"<{inside}>"


def known(numbers: Sequence[float], dtype: DType | None) -> Value:
    """Return a constant vector, one number per lane."""
    return Value(vector([one(dtype, number) for number in numbers]), dtype, len(numbers))
