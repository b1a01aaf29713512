"""The values that generated code works on: types, pointers, index expressions, variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from llvmlite import ir

from layerline.compiler.dtype import DType

Value = Any
"""An llvmlite.ir value; llvmlite has no types."""

I1, I8, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
POINTER = ir.PointerType()
TYPES: Final = {DType.U8: I8, DType.I32: I32, DType.I64: I64, DType.F32: F32, DType.F64: F64}

PACE: Final = ("rate", "inverse", "adam_rate", "adam_scale")
"""What changes from step to step: the learning rate η; one over the images of a batch, or over their class weights;
η / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ) at step t of the run."""


@dataclass(frozen=True, eq=False)
class Pointer:
    """An address in memory and the type of what lies there."""

    value: Value
    dtype: DType


@dataclass(frozen=True, eq=False)
class Index:
    """An integer expression: a value at run time plus a constant, which ends up in the instruction's displacement."""

    builder: ir.IRBuilder
    value: Value | None
    constant: int = 0

    def __add__(self, other: Index | int) -> Index:
        """Return the sum."""
        if isinstance(other, int):
            return Index(self.builder, self.value, self.constant + other)
        if self.value is None or other.value is None:
            return Index(self.builder, self.value or other.value, self.constant + other.constant)
        return Index(self.builder, self.builder.add(self.value, other.value), self.constant + other.constant)

    __radd__ = __add__

    def __mul__(self, factor: int) -> Index:
        """Return the product with a constant."""
        if self.value is None or factor == 1:
            return Index(self.builder, self.value, self.constant * factor)
        if factor == 0:
            return Index(self.builder, None, 0)
        return Index(self.builder, self.builder.mul(self.value, ir.Constant(I64, factor)), self.constant * factor)

    __rmul__ = __mul__

    def __sub__(self, other: int) -> Index:
        """Return the difference from a constant."""
        return self + -other

    @property
    def whole(self) -> Value:
        """Return the expression as one 64-bit value."""
        if self.value is None:
            return ir.Constant(I64, self.constant)
        return self.builder.add(self.value, ir.Constant(I64, self.constant)) if self.constant else self.value


class Variable:
    """A value that changes in a loop; LLVM keeps it in a register."""

    def __init__(self, slot: Value, typ: Value) -> None:
        """Keep the stack slot that LLVM's SROA pass turns into a register."""
        self.slot, self.type = slot, typ


def vector_type(element: Value, lanes: int) -> Value:
    """Return the LLVM type of `lanes` values."""
    return element if lanes == 1 else ir.VectorType(element, lanes)


def lanes_of(value: Value) -> int:
    """Return how many lanes a value has."""
    return value.type.count if isinstance(value.type, ir.VectorType) else 1
