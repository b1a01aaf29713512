"""LLVM arithmetic: the pen's operations as instructions, appended to the current block."""

from __future__ import annotations

from functools import cache, lru_cache
from math import copysign
from typing import TYPE_CHECKING, Any, Final

from llvmlite import ir

from layerline.compiler.dtype import DType
from layerline.compiler.llvm_values import I32, I64, TYPES, known, vector_type
from layerline.compiler.pen import TrainingPen
from layerline.compiler.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.compiler.values import Index

FLOATING: Final = (DType.F32, DType.F64)


class LlvmArithmetic(TrainingPen):
    """Half of LlvmPen: the operations on values. Abstract."""

    inside: ir.Module
    builder: ir.IRBuilder

    # -- integers ---------------------------------------------------------------------------

    def literal(self, number: int) -> Any:
        """Return an integer constant."""
        return _constant(self.index_type, number, 1, copysign(1, number))

    def integer(self, operation: str, a: Any, b: Any) -> Any:
        """Return a + b, a - b, a * b, a // b or a % b."""
        b_ = self.builder
        return {"+": b_.add, "-": b_.sub, "*": b_.mul, "//": b_.udiv, "%": b_.urem}[operation](a, b)

    def compared(self, operation: str, a: Any, b: Any) -> Value:
        """Return whether a < b, a > b, a >= b, a == b, or 0 ≤ a < b."""
        if operation == "within":
            return Value(self.builder.icmp_unsigned("<", a, b), None, 1)
        return Value(self.builder.icmp_signed(operation, a, b), None, 1)

    # -- constants ---------------------------------------------------------------------------

    def constant(self, number: float, lanes: int = 1, dtype: DType = DType.F32) -> Value:
        """Return `number` in every lane."""
        return Value(_constant(dtype, number, lanes, copysign(1, number)), dtype, lanes)

    def lane_numbers(self, lanes: int, first: int = 0) -> Value:
        """Return i32 lanes first, first+1, …"""
        return known(range(first, first + lanes), DType.I32)

    def lane_mask(self, lanes: int, count: int) -> Value:
        """Return a mask: true in the first `count` lanes, false in the rest."""
        return known([int(lane < count) for lane in range(lanes)], None)

    # -- lane by lane ---------------------------------------------------------------------------

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c, rounded once if the machine has FMA, else twice."""
        if not self.machine.fma:
            return self.add(self.mul(a, b), c)
        return _like(a, self.builder.call(self._intrinsic("fma", a, 3), [a.raw, b.raw, c.raw]))

    def add(self, a: Value, b: Value) -> Value:
        """Return a + b."""
        return _like(a, (self.builder.fadd if a.dtype in FLOATING else self.builder.add)(a.raw, b.raw))

    def sub(self, a: Value, b: Value) -> Value:
        """Return a − b."""
        return _like(a, (self.builder.fsub if a.dtype in FLOATING else self.builder.sub)(a.raw, b.raw))

    def mul(self, a: Value, b: Value) -> Value:
        """Return a · b."""
        return _like(a, (self.builder.fmul if a.dtype in FLOATING else self.builder.mul)(a.raw, b.raw))

    def div(self, a: Value, b: Value) -> Value:
        """Return a / b (floating point)."""
        return _like(a, self.builder.fdiv(a.raw, b.raw))

    def negative(self, a: Value) -> Value:
        """Return −a."""
        return _like(a, self.builder.fneg(a.raw))

    def sqrt(self, a: Value) -> Value:
        """Return √a, rounded once."""
        return _like(a, self.builder.call(self._intrinsic("sqrt", a, 1), [a.raw]))

    def greater(self, a: Value, b: Value) -> Value:
        """Return whether a > b; false if either is NaN."""
        compare = self.builder.fcmp_ordered if a.dtype in FLOATING else self.builder.icmp_signed
        return _truth(a, compare(">", a.raw, b.raw))

    def not_greater(self, a: Value, b: Value) -> Value:
        """Return whether a ≤ b; false if either is NaN."""
        return _truth(a, self.builder.fcmp_ordered("<=", a.raw, b.raw))

    def equal(self, a: Value, b: Value) -> Value:
        """Return whether a = b; false if either is NaN."""
        compare = self.builder.fcmp_ordered if a.dtype in FLOATING else self.builder.icmp_signed
        return _truth(a, compare("==", a.raw, b.raw))

    def below(self, a: Value, b: Value) -> Value:
        """Return whether a < b, both unsigned integers."""
        return _truth(a, self.builder.icmp_unsigned("<", a.raw, b.raw))

    def not_numbers(self, a: Value, b: Value) -> Value:
        """Return whether a or b is NaN."""
        return _truth(a, self.builder.fcmp_unordered("uno", a.raw, b.raw))

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """Return `then` in lanes where the condition holds, else `otherwise`."""
        return _like(then, self.builder.select(condition.raw, then.raw, otherwise.raw))

    def either(self, a: Value, b: Value) -> Value:
        """Return a | b."""
        return _like(a, self.builder.or_(a.raw, b.raw))

    def both(self, a: Value, b: Value) -> Value:
        """Return a & b."""
        return _like(a, self.builder.and_(a.raw, b.raw))

    def exclusive(self, a: Value, b: Value) -> Value:
        """Return a ^ b."""
        return _like(a, self.builder.xor(a.raw, b.raw))

    def negation(self, a: Value) -> Value:
        """Return not a."""
        return _like(a, self.builder.not_(a.raw))

    def packed(self, truths: Sequence[Value]) -> Value:
        """Return an i64 whose bits are the lanes of booleans, the first lane of the first lowest."""
        b, bits, done = self.builder, ir.Constant(I64, 0), 0
        for truth in truths:
            whole = truth.raw if truth.lanes == 1 else b.bitcast(truth.raw, ir.IntType(truth.lanes))
            bits = b.or_(bits, b.shl(b.zext(whole, I64), ir.Constant(I64, done)))
            done += truth.lanes
        return Value(bits, DType.I64, 1)

    def shifted_left(self, value: Value, count: int) -> Value:
        """Return an integer shifted left."""
        return _like(value, self.builder.shl(value.raw, self.like(value, count).raw))

    def shifted_right(self, value: Value, count: int) -> Value:
        """Return an integer shifted right, zero-filled (logical shift)."""
        return _like(value, self.builder.lshr(value.raw, self.like(value, count).raw))

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c as i32; x86 multiplies extended bytes in 16-bit lanes."""
        long_a, long_b = self.convert(a, DType.I32), self.convert(b, DType.I32)
        return self.add(self.mul(long_a, long_b), c)

    def scaled(self, a: Value, b: Value) -> Value:
        """Return a·b / 2³², rounded to the nearest integer, halves up."""
        product = self.mul(self.convert(a, DType.I64), self.convert(b, DType.I64))
        return self.convert(self.shifted_right(self.add(product, self.like(product, 1 << 31)), 32), DType.I32)

    def wide_product(self, a: Value, factor: int) -> tuple[Value, Value]:
        """Return the high and low 32 bits of an unsigned i32 times a constant."""
        wide = self.builder.zext(a.raw, vector_type(DType.I64, a.lanes))
        product = self.builder.mul(wide, self.constant(factor, a.lanes, DType.I64).raw)
        narrow = vector_type(DType.I32, a.lanes)
        high = self.builder.trunc(self.builder.lshr(product, self.constant(32, a.lanes, DType.I64).raw), narrow)
        return _like(a, high), _like(a, self.builder.trunc(product, narrow))

    # -- type conversions ---------------------------------------------------------------------------

    def convert(self, value: Value, dtype: DType) -> Value:
        """Return a value converted to another type."""
        source = value.dtype
        if source is dtype or source is None:
            return value
        b, unsigned = self.builder, source is DType.U8
        if source in FLOATING:
            change = b.fpext if dtype is DType.F64 else b.fptrunc
        elif dtype in FLOATING:
            change = b.uitofp if unsigned else b.sitofp
        elif dtype.bytes < source.bytes:
            change = b.trunc
        else:
            change = b.zext if unsigned else b.sext
        return Value(change(value.raw, vector_type(dtype, value.lanes)), dtype, value.lanes)

    def bits(self, value: Value, dtype: DType) -> Value:
        """Return the value bitcast to another type of the same size."""
        return Value(self.builder.bitcast(value.raw, vector_type(dtype, value.lanes)), dtype, value.lanes)

    def cut_off(self, a: Value) -> Value:
        """Return a float32 truncated to i32."""
        return Value(self.builder.fptosi(a.raw, vector_type(DType.I32, a.lanes)), DType.I32, a.lanes)

    # -- shuffles ---------------------------------------------------------------------------

    def splat(self, value: Value, lanes: int) -> Value:
        """Return a scalar broadcast to all lanes."""
        if lanes == 1:
            return value
        undefined, zero, zeros = _splat_constants(value.dtype, lanes)
        first = self.builder.insert_element(undefined, value.raw, zero)
        return Value(self.builder.shuffle_vector(first, undefined, zeros), value.dtype, lanes)

    def from_lanes(self, values: Sequence[Value]) -> Value:
        """Return a vector of scalars, one per lane."""
        if len(values) == 1:
            return values[0]
        raw: Any = ir.Constant(vector_type(values[0].dtype, len(values)), ir.Undefined)
        for lane, value in enumerate(values):
            raw = self.builder.insert_element(raw, value.raw, ir.Constant(I32, lane))
        return Value(raw, values[0].dtype, len(values))

    def some_lanes(self, value: Value, which: Sequence[int]) -> Value:
        """Return the lanes of a vector with the given numbers."""
        if len(which) == 1:
            return Value(self.builder.extract_element(value.raw, ir.Constant(I32, which[0])), value.dtype, 1)
        undefined, *_ = _splat_constants(value.dtype, value.lanes)
        return Value(self.builder.shuffle_vector(value.raw, undefined, _mask(tuple(which))), value.dtype, len(which))

    def lane(self, value: Value, number: Index) -> Value:
        """Return the lane of a vector with a number known at run time."""
        if value.lanes == 1:
            return value
        return Value(self.builder.extract_element(value.raw, number.whole), value.dtype, 1)

    def shuffled(self, a: Value, b: Value, which: Sequence[int]) -> Value:
        """Return lanes of the concatenation of a and b, by number; a scalar if it is one lane."""
        if a.lanes == 1:
            return (a, b)[which[0]]
        if len(which) == 1:
            source = (a, b)[which[0] // a.lanes]
            lane = ir.Constant(I32, which[0] % a.lanes)
            return Value(self.builder.extract_element(source.raw, lane), a.dtype, 1)
        return Value(self.builder.shuffle_vector(a.raw, b.raw, _mask(tuple(which))), a.dtype, len(which))

    def _intrinsic(self, name: str, value: Value, arguments: int, more: Sequence[Any] = ()) -> ir.Function:
        """Return the LLVM intrinsic of a name, whose result and first arguments all have the value's type."""
        typ = vector_type(value.dtype, value.lanes)
        assert value.dtype is not None  # noqa: S101 - not for booleans
        name = f"llvm.{name}." + f"v{value.lanes}" * (value.lanes > 1) + value.dtype.value
        found = self.inside.globals.get(name)
        return found or ir.Function(self.inside, ir.FunctionType(typ, [typ] * arguments + [*more]), name)


def _like(value: Value, raw: Any) -> Value:
    return Value(raw, value.dtype, value.lanes)


def _truth(value: Value, raw: Any) -> Value:
    return Value(raw, None, value.lanes)


@lru_cache(4096, typed=True)
def _constant(dtype: DType | None, number: float, lanes: int, sign: float) -> Any:
    """Return `number` in every lane. A constant is shared, so that its text is written once; `sign` tells 0 from −0."""
    del sign
    one = ir.Constant(TYPES[dtype], number)
    return one if lanes == 1 else ir.Constant(ir.VectorType(TYPES[dtype], lanes), [one] * lanes)


@lru_cache(4096)
def _mask(which: tuple[int, ...]) -> Any:
    return ir.Constant(ir.VectorType(I32, len(which)), list(which))


@cache
def _splat_constants(dtype: DType | None, lanes: int) -> tuple[Any, Any, Any]:
    zero = ir.Constant(I32, 0)
    return (
        ir.Constant(ir.VectorType(TYPES[dtype], lanes), ir.Undefined),
        zero,
        ir.Constant(ir.VectorType(I32, lanes), [0] * lanes),
    )
