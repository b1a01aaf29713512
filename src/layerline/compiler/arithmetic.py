"""The pen's arithmetic: what can be done with values that are in registers. A vector of one lane is a plain number."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from llvmlite import ir

from layerline.compiler.dtype import DType
from layerline.compiler.values import F32, F64, I1, I8, I32, TYPES, Value, lanes_of, vector_type

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine


class Arithmetic:
    """Writes arithmetic at the end of the block that `builder` is in. A Pen is one; nothing else is."""

    machine: Machine
    module: ir.Module
    builder: ir.IRBuilder

    def constant(self, number: float, lanes: int = 1, dtype: DType = DType.F32) -> Value:
        """Return `number` in every lane."""
        element = TYPES[dtype]
        one = ir.Constant(element, number)
        return one if lanes == 1 else ir.Constant(ir.VectorType(element, lanes), [one] * lanes)

    def lane_numbers(self, lanes: int, first: int = 0) -> Value:
        """Return i32 lanes first, first+1, …"""
        numbers = [ir.Constant(I32, first + lane) for lane in range(lanes)]
        return numbers[0] if lanes == 1 else ir.Constant(ir.VectorType(I32, lanes), numbers)

    def splat(self, value: Value, lanes: int) -> Value:
        """Return a scalar in every lane."""
        if lanes == 1:
            return value
        undefined, zero, zeros = _splat_constants(value.type, lanes)
        first = self.builder.insert_element(undefined, value, zero)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c: one rounding where the machine has the instruction, else two."""
        if not self.machine.fma:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        suffix = _suffix(a.type)
        return self.builder.call(self._intrinsic(f"llvm.fma.{suffix}", a.type, 3), [a, b, c])

    def add(self, a: Value, b: Value) -> Value:
        """Return a + b."""
        return self.builder.fadd(a, b) if _is_float(a) else self.builder.add(a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """Return a − b."""
        return self.builder.fsub(a, b) if _is_float(a) else self.builder.sub(a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """Return a · b."""
        return self.builder.fmul(a, b) if _is_float(a) else self.builder.mul(a, b)

    def div(self, a: Value, b: Value) -> Value:
        """Return a / b (floating point)."""
        return self.builder.fdiv(a, b)

    def greater(self, a: Value, b: Value) -> Value:
        """Return, lane by lane, whether a > b; false where either is not a number."""
        return self.builder.fcmp_ordered(">", a, b) if _is_float(a) else self.builder.icmp_signed(">", a, b)

    def not_greater(self, a: Value, b: Value) -> Value:
        """Return, lane by lane, whether a ≤ b; false where either is not a number."""
        return self.builder.fcmp_ordered("<=", a, b)

    def equal(self, a: Value, b: Value) -> Value:
        """Return, lane by lane, whether a = b; false where either is not a number."""
        return self.builder.fcmp_ordered("==", a, b) if _is_float(a) else self.builder.icmp_signed("==", a, b)

    def not_a_number(self, a: Value) -> Value:
        """Return, lane by lane, whether a is NaN."""
        return self.builder.fcmp_unordered("uno", a, a)

    def not_numbers(self, a: Value, b: Value) -> Value:
        """Return, lane by lane, whether a or b is NaN: one comparison for two."""
        return self.builder.fcmp_unordered("uno", a, b)

    def either(self, a: Value, b: Value) -> Value:
        """Return a or b, lane by lane."""
        return self.builder.or_(a, b)

    def both(self, a: Value, b: Value) -> Value:
        """Return a and b, lane by lane."""
        return self.builder.and_(a, b)

    def negation(self, a: Value) -> Value:
        """Return not a, lane by lane."""
        return self.builder.not_(a)

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """Return `then` where the condition holds, else `otherwise`, lane by lane."""
        return self.builder.select(condition, then, otherwise)

    def relu(self, x: Value) -> Value:
        """Return 0 where 0 > x, else x: a NaN goes through, as in PyTorch."""
        zero = self.constant(0.0, lanes_of(x), DType.F32)
        return self.select(self.greater(zero, x), zero, x)

    def fold(self, value: Value, combine: str = "add") -> Value:
        """Return the lanes of a vector combined (add, largest, smallest) as a tree: lane k with lane k + half, and
        again."""
        lanes = lanes_of(value)
        while lanes > 1:
            lanes //= 2
            low, high = self._lanes(value, range(lanes)), self._lanes(value, range(lanes, 2 * lanes))
            if combine == "add":
                value = self.add(low, high)
            else:
                value = self.select(self.greater(high, low), *((high, low) if combine == "largest" else (low, high)))
        return value

    def first_lanes(self, value: Value, count: int, otherwise: Value) -> Value:
        """Return the first `count` lanes of a vector, and `otherwise` in those behind."""
        lanes = lanes_of(value)
        if count >= lanes:
            return value
        mask = ir.Constant(ir.VectorType(I1, lanes), [ir.Constant(I1, int(lane < count)) for lane in range(lanes)])
        return self.select(mask, value, otherwise)

    def negative(self, a: Value) -> Value:
        """Return −a."""
        return self.builder.fneg(a)

    def magnitude(self, a: Value) -> Value:
        """Return |a|: the sign bit cleared."""
        return self.bits(self.masked(self.bits(a, DType.I32), 0x7FFFFFFF), DType.F32)

    def with_sign(self, a: Value, sign: Value) -> Value:
        """Return a ≥ 0 with the sign of another."""
        bit = self.masked(self.bits(sign, DType.I32), 0x80000000)
        return self.bits(self.builder.or_(self.bits(a, DType.I32), bit), DType.F32)

    def sqrt(self, a: Value) -> Value:
        """Return √a, rounded once."""
        return self.builder.call(self._intrinsic(f"llvm.sqrt.{_suffix(a.type)}", a.type, 1), [a])

    def bits(self, value: Value, dtype: DType) -> Value:
        """Return the same bits as another type of the same size."""
        return self.builder.bitcast(value, vector_type(TYPES[dtype], lanes_of(value)))

    def below(self, a: Value, b: Value) -> Value:
        """Return, lane by lane, whether a < b, both without a sign."""
        return self.builder.icmp_unsigned("<", a, b)

    def exclusive(self, a: Value, b: Value) -> Value:
        """Return the bits that a and b do not share."""
        return self.builder.xor(a, b)

    def wide_product(self, a: Value, factor: int) -> tuple[Value, Value]:
        """Return the high and the low 32 bits of an i32 without a sign times a constant."""
        lanes = lanes_of(a)
        wide = self.builder.zext(a, vector_type(TYPES[DType.I64], lanes))
        product = self.builder.mul(wide, self.constant(factor, lanes, DType.I64))
        narrow = vector_type(I32, lanes)
        high = self.builder.trunc(self.builder.lshr(product, self.constant(32, lanes, DType.I64)), narrow)
        return high, self.builder.trunc(product, narrow)

    def shifted_left(self, value: Value, count: int) -> Value:
        """Return an integer's bits moved up."""
        return self.builder.shl(value, self._like(value, count))

    def shifted_right(self, value: Value, count: int) -> Value:
        """Return an integer's bits moved down, zeros from above."""
        return self.builder.lshr(value, self._like(value, count))

    def masked(self, value: Value, mask: int) -> Value:
        """Return an integer's bits where the mask has them."""
        return self.builder.and_(value, self._like(value, mask))

    def _like(self, value: Value, number: int) -> Value:
        lanes = lanes_of(value)
        one = ir.Constant(value.type.element if lanes > 1 else value.type, number)
        return one if lanes == 1 else ir.Constant(value.type, [one] * lanes)

    def convert(self, value: Value, dtype: DType) -> Value:
        """Return a value in another type: bytes and integers to float, float to double, i64 to i32 and back."""
        element, lanes = TYPES[dtype], lanes_of(value)
        target, source = vector_type(element, lanes), value.type.element if lanes > 1 else value.type
        if source == element:
            return value
        if _is_float(value):
            return self.builder.fpext(value, target) if element == F64 else self.builder.fptrunc(value, target)
        if element in (F32, F64):
            return self.builder.uitofp(value, target) if source == I8 else self.builder.sitofp(value, target)
        if element.width < source.width:
            return self.builder.trunc(value, target)
        return self.builder.zext(value, target) if source == I8 else self.builder.sext(value, target)

    def whole_below(self, a: Value) -> Value:
        """Return ⌊a⌋ of a number below 2³¹ as i32: what is cut off is added where that went up."""
        cut = self.builder.fptosi(a, I32)
        return self.select(self.greater(self.convert(cut, DType.F32), a), self.sub(cut, self._like(cut, 1)), cut)

    def reversed_lanes(self, value: Value) -> Value:
        """Return the lanes of a vector in reverse order."""
        lanes = lanes_of(value)
        return value if lanes == 1 else self._lanes(value, range(lanes - 1, -1, -1))

    def picked(self, vectors: list[Value], first: int, step: int, count: int) -> Value:
        """Return lanes first, first + step, … of vectors one behind the other, `count` of them; those past the end are
        any."""
        lanes = lanes_of(vectors[0])
        places = [min(first + k * step, len(vectors) * lanes - 1) for k in range(count)]
        return self._gathered(vectors, [divmod(place, lanes) for place in places])

    def woven(self, vectors: list[Value]) -> list[Value]:
        """Return the first lanes of all vectors, then the second lanes, and so on, in as many vectors.

        A power of two is woven in halves, log₂ steps of one shuffle a vector; others vector by vector.
        """
        n, lanes = len(vectors), lanes_of(vectors[0])
        if n & (n - 1):
            places = [(place % n, place // n) for place in range(n * lanes)]
            return [self._gathered(vectors, places[k : k + lanes]) for k in range(0, n * lanes, lanes)]
        order = [lane + lanes * other for lane in range(lanes) for other in (0, 1)]
        for _ in range(n.bit_length() - 1):
            pairs = zip(vectors[: n // 2], vectors[n // 2 :], strict=True)
            vectors = [self._shuffled(a, b, part) for a, b in pairs for part in (order[:lanes], order[lanes:])]
        return vectors

    def _gathered(self, vectors: list[Value], places: list[tuple[int, int]]) -> Value:
        """Return lanes by (vector, lane); out of more than two vectors only as many as a vector has."""
        sources = sorted({source for source, _ in places})
        lanes, second = lanes_of(vectors[0]), sources[min(1, len(sources) - 1)]
        mask = [lane + lanes * (source == second != sources[0]) for source, lane in places]
        gathered = self._shuffled(vectors[sources[0]], vectors[second], mask)
        for number in sources[2:]:
            mask = [lanes + lane if source == number else k for k, (source, lane) in enumerate(places)]
            gathered = self._shuffled(gathered, vectors[number], mask)
        return gathered

    def _shuffled(self, a: Value, b: Value, mask: list[int]) -> Value:
        """Return lanes of a, then b, by their numbers; of one lane a scalar."""
        lanes = lanes_of(a)
        if lanes == 1:
            return (a, b)[mask[0]]
        if len(mask) == 1:
            return self.builder.extract_element((a, b)[mask[0] // lanes], ir.Constant(I32, mask[0] % lanes))
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(mask)), mask))

    def _lanes(self, value: Value, which: range) -> Value:
        if len(which) == 1:
            return self.builder.extract_element(value, ir.Constant(I32, which[0]))
        mask = ir.Constant(ir.VectorType(I32, len(which)), list(which))
        return self.builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)

    def _intrinsic(self, name: str, typ: Value, arguments: int) -> Value:
        found = self.module.globals.get(name)
        return found or ir.Function(self.module, ir.FunctionType(typ, [typ] * arguments), name)


@cache
def _splat_constants(element: Value, lanes: int) -> tuple[Value, Value, Value]:
    zero = ir.Constant(I32, 0)
    return (
        ir.Constant(ir.VectorType(element, lanes), ir.Undefined),
        zero,
        ir.Constant(ir.VectorType(I32, lanes), [0] * lanes),
    )


def _is_float(value: Value) -> bool:
    element = value.type.element if isinstance(value.type, ir.VectorType) else value.type
    return isinstance(element, (ir.FloatType, ir.DoubleType))


def _suffix(typ: Value) -> str:
    if isinstance(typ, ir.VectorType):
        return f"v{typ.count}{_suffix(typ.element)}"
    return "f32" if typ == F32 else "f64"
