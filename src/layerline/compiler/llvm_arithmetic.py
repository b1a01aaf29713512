"""LLVM arithmetic: the pen's operations as instructions, appended to the current block."""

from __future__ import annotations

from functools import cache, lru_cache
from math import copysign
from typing import TYPE_CHECKING, Any, Final

from layerline.compiler.dtype import DType
from layerline.compiler.llvm_values import TYPES, known, one, vector, vector_type, whole
from layerline.compiler.pen import TrainingPen
from layerline.compiler.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.compiler.llvm_text import IrBuilder, IrModule, Operand
    from layerline.compiler.values import Index

FLOATING: Final = (DType.F32, DType.F64)
_INTEGER: Final = {"+": "add", "-": "sub", "*": "mul", "//": "udiv", "%": "urem"}
_COMPARED: Final = {"<": "icmp slt", ">": "icmp sgt", ">=": "icmp sge", "==": "icmp eq", "within": "icmp ult"}


class LlvmArithmetic(TrainingPen):
    """Half of LlvmPen: the operations on values. Abstract."""

    inside: IrModule
    builder: IrBuilder

    # -- integers ---------------------------------------------------------------------------

    def literal(self, number: int) -> Any:
        """Return an integer constant."""
        return _constant(self.index_type, number, 1, copysign(1, number))

    def integer(self, operation: str, a: Any, b: Any) -> Any:
        """Return a + b, a - b, a * b, a // b or a % b."""
        return self.builder.two(_INTEGER[operation], a, b)

    def compared(self, operation: str, a: Any, b: Any) -> Value:
        """Return whether a < b, a > b, a >= b, a == b, or 0 ≤ a < b."""
        return Value(self.builder.compare(_COMPARED[operation], a, b), None, 1)

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
        return self._intrinsic("fma", a, (a.raw, b.raw, c.raw))

    def add(self, a: Value, b: Value) -> Value:
        """Return a + b."""
        return _like(a, self.builder.two("fadd" if a.dtype in FLOATING else "add", a.raw, b.raw))

    def sub(self, a: Value, b: Value) -> Value:
        """Return a − b."""
        return _like(a, self.builder.two("fsub" if a.dtype in FLOATING else "sub", a.raw, b.raw))

    def mul(self, a: Value, b: Value) -> Value:
        """Return a · b."""
        return _like(a, self.builder.two("fmul" if a.dtype in FLOATING else "mul", a.raw, b.raw))

    def div(self, a: Value, b: Value) -> Value:
        """Return a / b (floating point)."""
        return _like(a, self.builder.two("fdiv", a.raw, b.raw))

    def negative(self, a: Value) -> Value:
        """Return −a."""
        return _like(a, self.builder.get(a.raw[0], f"fneg {a.raw[0]} {a.raw[1]}"))

    def sqrt(self, a: Value) -> Value:
        """Return √a, rounded once."""
        return self._intrinsic("sqrt", a, (a.raw,))

    def greater(self, a: Value, b: Value) -> Value:
        """Return whether a > b; false if either is NaN."""
        return _truth(a, self.builder.compare("fcmp ogt" if a.dtype in FLOATING else "icmp sgt", a.raw, b.raw))

    def not_greater(self, a: Value, b: Value) -> Value:
        """Return whether a ≤ b; false if either is NaN."""
        return _truth(a, self.builder.compare("fcmp ole", a.raw, b.raw))

    def equal(self, a: Value, b: Value) -> Value:
        """Return whether a = b; false if either is NaN."""
        return _truth(a, self.builder.compare("fcmp oeq" if a.dtype in FLOATING else "icmp eq", a.raw, b.raw))

    def below(self, a: Value, b: Value) -> Value:
        """Return whether a < b, both unsigned integers."""
        return _truth(a, self.builder.compare("icmp ult", a.raw, b.raw))

    def not_numbers(self, a: Value, b: Value) -> Value:
        """Return whether a or b is NaN."""
        return _truth(a, self.builder.compare("fcmp uno", a.raw, b.raw))

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """Return `then` in lanes where the condition holds, else `otherwise`."""
        return _like(then, self.builder.select(condition.raw, then.raw, otherwise.raw))

    def either(self, a: Value, b: Value) -> Value:
        """Return a | b."""
        return _like(a, self.builder.two("or", a.raw, b.raw))

    def both(self, a: Value, b: Value) -> Value:
        """Return a & b."""
        return _like(a, self.builder.two("and", a.raw, b.raw))

    def exclusive(self, a: Value, b: Value) -> Value:
        """Return a ^ b."""
        return _like(a, self.builder.two("xor", a.raw, b.raw))

    def negation(self, a: Value) -> Value:
        """Return not a."""
        return _like(a, self.builder.two("xor", a.raw, vector([whole(a.dtype, -1)] * a.lanes)))

    def packed(self, truths: Sequence[Value]) -> Value:
        """Return an i64 whose bits are the lanes of booleans, the first lane of the first lowest."""
        b, bits, done = self.builder, whole(DType.I64, 0), 0
        for truth in truths:
            narrow = b.cast("bitcast", truth.raw, f"i{truth.lanes}")
            shifted = b.two("shl", b.cast("zext", narrow, "i64"), whole(DType.I64, done))
            bits = b.two("or", bits, shifted)
            done += truth.lanes
        return Value(bits, DType.I64, 1)

    def shifted_left(self, value: Value, count: int) -> Value:
        """Return an integer shifted left."""
        return _like(value, self.builder.two("shl", value.raw, self.like(value, count).raw))

    def shifted_right(self, value: Value, count: int) -> Value:
        """Return an integer shifted right, zero-filled (logical shift)."""
        return _like(value, self.builder.two("lshr", value.raw, self.like(value, count).raw))

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
        b, narrow = self.builder, vector_type(DType.I32, a.lanes)
        wide = b.cast("zext", a.raw, vector_type(DType.I64, a.lanes))
        product = b.two("mul", wide, self.constant(factor, a.lanes, DType.I64).raw)
        high = b.cast("trunc", b.two("lshr", product, self.constant(32, a.lanes, DType.I64).raw), narrow)
        return _like(a, high), _like(a, b.cast("trunc", product, narrow))

    # -- type conversions ---------------------------------------------------------------------------

    def convert(self, value: Value, dtype: DType) -> Value:
        """Return a value converted to another type."""
        source = value.dtype
        if source is dtype or source is None:
            return value
        unsigned = source is DType.U8
        if source in FLOATING:
            how = "fpext" if dtype is DType.F64 else "fptrunc"
        elif dtype in FLOATING:
            how = "uitofp" if unsigned else "sitofp"
        elif dtype.bytes < source.bytes:
            how = "trunc"
        else:
            how = "zext" if unsigned else "sext"
        return Value(self.builder.cast(how, value.raw, vector_type(dtype, value.lanes)), dtype, value.lanes)

    def bits(self, value: Value, dtype: DType) -> Value:
        """Return the value bitcast to another type of the same size."""
        return Value(self.builder.cast("bitcast", value.raw, vector_type(dtype, value.lanes)), dtype, value.lanes)

    def cut_off(self, a: Value) -> Value:
        """Return a float32 truncated to i32."""
        return Value(self.builder.cast("fptosi", a.raw, vector_type(DType.I32, a.lanes)), DType.I32, a.lanes)

    # -- shuffles ---------------------------------------------------------------------------

    def splat(self, value: Value, lanes: int) -> Value:
        """Return a scalar broadcast to all lanes."""
        if lanes == 1:
            return value
        typ, undefined, zeros = _splat_constants(value.dtype, lanes)
        first = self.builder.insert(undefined, value.raw, 0)
        return Value(self.builder.shuffle(typ, first, undefined, zeros), value.dtype, lanes)

    def from_lanes(self, values: Sequence[Value]) -> Value:
        """Return a vector of scalars, one per lane."""
        if len(values) == 1:
            return values[0]
        raw = (vector_type(values[0].dtype, len(values)), "undef")
        for lane, value in enumerate(values):
            raw = self.builder.insert(raw, value.raw, lane)
        return Value(raw, values[0].dtype, len(values))

    def some_lanes(self, value: Value, which: Sequence[int]) -> Value:
        """Return the lanes of a vector with the given numbers."""
        if len(which) == 1:
            lane = whole(DType.I32, which[0])
            return Value(self.builder.extract(TYPES[value.dtype], value.raw, lane), value.dtype, 1)
        typ, undefined = vector_type(value.dtype, len(which)), (value.raw[0], "undef")
        return Value(self.builder.shuffle(typ, value.raw, undefined, _mask(tuple(which))), value.dtype, len(which))

    def lane(self, value: Value, number: Index) -> Value:
        """Return the lane of a vector with a number known at run time."""
        if value.lanes == 1:
            return value
        return Value(self.builder.extract(TYPES[value.dtype], value.raw, number.whole), value.dtype, 1)

    def shuffled(self, a: Value, b: Value, which: Sequence[int]) -> Value:
        """Return lanes of the concatenation of a and b, by number; a scalar if it is one lane."""
        if a.lanes == 1:
            return (a, b)[which[0]]
        if len(which) == 1:
            source = (a, b)[which[0] // a.lanes]
            lane = whole(DType.I32, which[0] % a.lanes)
            return Value(self.builder.extract(TYPES[a.dtype], source.raw, lane), a.dtype, 1)
        typ = vector_type(a.dtype, len(which))
        return Value(self.builder.shuffle(typ, a.raw, b.raw, _mask(tuple(which))), a.dtype, len(which))

    def _intrinsic(self, name: str, value: Value, arguments: Sequence[Operand]) -> Value:
        """Return what an LLVM intrinsic of values of one type, and perhaps of booleans, returns: such a value."""
        typ = value.raw[0]
        assert value.dtype is not None  # noqa: S101 - not for booleans
        name = f"llvm.{name}." + f"v{value.lanes}" * (value.lanes > 1) + value.dtype.value
        declared = self.inside.declared(name, typ, [argument[0] for argument in arguments])
        return _like(value, self.builder.call(declared.address, arguments, typ))


def _like(value: Value, raw: Operand) -> Value:
    return Value(raw, value.dtype, value.lanes)


def _truth(value: Value, raw: Operand) -> Value:
    return Value(raw, None, value.lanes)


@lru_cache(4096, typed=True)
def _constant(dtype: DType | None, number: float, lanes: int, sign: float) -> Operand:
    """Return `number` in every lane; `sign` tells 0 from −0."""
    del sign
    return vector([one(dtype, number)] * lanes)


@lru_cache(4096)
def _mask(which: tuple[int, ...]) -> Operand:
    return vector([whole(DType.I32, lane) for lane in which])


@cache
def _splat_constants(dtype: DType | None, lanes: int) -> tuple[str, Operand, Operand]:
    typ = vector_type(dtype, lanes)
    return typ, (typ, "undef"), _mask((0,) * lanes)
