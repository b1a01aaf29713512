"""LLVM types, and constants of those types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llvmlite import ir

from layerline.compiler.dtype import DType
from layerline.compiler.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

I1, I8, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
POINTER = ir.PointerType()
TYPES: Final[dict[DType | None, Any]] = {
    None: I1,
    DType.U8: I8,
    DType.I8: I8,
    DType.I32: I32,
    DType.I64: I64,
    DType.F32: ir.FloatType(),
    DType.F64: ir.DoubleType(),
}


def vector_type(dtype: DType | None, lanes: int) -> Any:
    """Return the LLVM type of `lanes` values."""
    return TYPES[dtype] if lanes == 1 else ir.VectorType(TYPES[dtype], lanes)


def known(numbers: Sequence[float], dtype: DType | None) -> Value:
    """Return a constant vector, one number per lane."""
    lanes = [ir.Constant(TYPES[dtype], number) for number in numbers]
    one = lanes[0] if len(lanes) == 1 else ir.Constant(ir.VectorType(TYPES[dtype], len(lanes)), lanes)
    return Value(one, dtype, len(lanes))
