"""C's arithmetic: the pen's operations as expressions, each stored in a separate constant.

Nothing is undefined in C: integers are added, multiplied and shifted as unsigned numbers, except by `multiply_add`,
whose kernels ensure that no sum overflows; and the bits of a float are read through a union. A vector is one of GCC's
and Clang's vector types; comparisons of vectors are 0 or −1 in 32 bits.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Final

from layerline.compiler.c_values import ATOM, BITS_OF, FLOATING, PRODUCT, SUM, TYPES, UNARY, Expression, number, vector
from layerline.compiler.dtype import DType
from layerline.compiler.pen import ProgramPen
from layerline.compiler.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.compiler.values import Index

LONGEST: Final = 40
"""Maximum characters of an index expression without a name."""


class CArithmetic(ProgramPen):
    """Half of CPen: the operations on values. Abstract."""

    @abc.abstractmethod
    def make(
        self, expression: str, dtype: DType | None, lanes: int = 1, *, movable: bool = False, whole: bool = False
    ) -> Value:
        """Declare a constant with the value of an expression, and return it; `movable`, `whole`: as of a CStatement."""

    # -- integers ---------------------------------------------------------------------------

    def literal(self, number: int) -> Expression:
        """Return an integer constant."""
        return Expression(f"{number}" if number >= 0 else f"({number})", ATOM, number)

    def integer(self, operation: str, a: Expression, b: Expression) -> Expression:
        """Return a + b, a - b, a * b, a // b or a % b."""
        if operation == "+" and b.number is not None and b.number < 0:
            operation, b = "-", self.literal(-b.number)
        level = SUM if operation in "+-" else PRODUCT
        right = {"+": SUM, "-": PRODUCT}.get(operation, UNARY)
        made = Expression(f"{a.within(level)} {operation[0]} {b.within(right)}", level)
        return made if len(made.text) <= LONGEST else self.make(made.text, self.index_type).raw

    def compared(self, operation: str, a: Expression, b: Expression) -> Value:
        """Return whether a < b, a > b, a >= b, a == b, or 0 ≤ a < b."""
        if operation == "within":
            return self.make(f"((uint32_t){a.within(UNARY)} < (uint32_t){b.within(UNARY)})", None, movable=True)
        return self.make(f"({a.within(SUM)} {operation} {b.within(SUM)})", None, movable=True)

    # -- constants ---------------------------------------------------------------------------

    def constant(self, number_: float, lanes: int = 1, dtype: DType = DType.F32) -> Value:
        """Return `number_` in every lane."""
        return self.splat(Value(Expression(number(number_, dtype)), dtype, 1), lanes)

    def lane_numbers(self, lanes: int, first: int = 0) -> Value:
        """Return i32 lanes first, first+1, …"""
        return self.from_lanes([self.constant(first + lane, 1, DType.I32) for lane in range(lanes)])

    def lane_mask(self, lanes: int, count: int) -> Value:
        """Return a mask: true in the first `count` lanes, false in the rest."""
        true = 1 if lanes == 1 else -1
        return self._listed([number(true * (lane < count), DType.I32) for lane in range(lanes)], None)

    # -- lane by lane ---------------------------------------------------------------------------

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c, rounded twice: C99 has FMA in its library only."""
        return self.add(self.mul(a, b), c)

    def add(self, a: Value, b: Value) -> Value:
        """Return a + b."""
        return self._arithmetic(a, "+", b, whole=True)

    def sub(self, a: Value, b: Value) -> Value:
        """Return a − b."""
        return self._arithmetic(a, "-", b, whole=True)

    def mul(self, a: Value, b: Value) -> Value:
        """Return a · b: never moved into a sum, which would then be rounded once."""
        return self._arithmetic(a, "*", b)

    def div(self, a: Value, b: Value) -> Value:
        """Return a / b (floating point)."""
        return self._arithmetic(a, "/", b, whole=True)

    def negative(self, a: Value) -> Value:
        """Return −a."""
        return self.make(f"-{a.raw.atom}", a.dtype, a.lanes)

    def sqrt(self, a: Value) -> Value:
        """Refuse: only training needs it, and C99 has it in its library only."""
        raise TypeError(f"√ of {a.dtype} in C: a forward-only Program has none")

    def greater(self, a: Value, b: Value) -> Value:
        """Return whether a > b; false if either is NaN."""
        return self._comparison(a, ">", b)

    def not_greater(self, a: Value, b: Value) -> Value:
        """Return whether a ≤ b; false if either is NaN."""
        return self._comparison(a, "<=", b)

    def equal(self, a: Value, b: Value) -> Value:
        """Return whether a = b; false if either is NaN."""
        return self._comparison(a, "==", b)

    def below(self, a: Value, b: Value) -> Value:
        """Return whether a < b, both unsigned integers."""
        unsigned = vector(a.dtype, a.lanes, unsigned=True)
        return self._truth(f"({unsigned}){a.raw.atom} < ({unsigned}){b.raw.atom}", a)

    def not_numbers(self, a: Value, b: Value) -> Value:
        """Return whether a or b is NaN."""
        texts = dict.fromkeys(value.raw.atom for value in (a, b))
        return self._truth(" | ".join(f"({text} != {text})" for text in texts), a)

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """Return `then` in lanes where the condition holds, else `otherwise`."""
        if then.lanes == 1:
            text = f"{condition.raw.atom} ? {then.raw.atom} : {otherwise.raw.atom}"
            return self.make(text, then.dtype, whole=True)
        assert then.dtype is not None  # noqa: S101 - not for booleans
        mask = self.convert_lanes(condition, DType.I32, BITS_OF.get(then.dtype, then.dtype))
        bits = vector(mask.dtype, then.lanes)
        one, other = (f"({bits}){value.raw.atom}" for value in (then, otherwise))
        text = f"({one} & {mask.raw.atom}) | ({other} & ~{mask.raw.atom})"
        return self.make(f"({vector(then.dtype, then.lanes)})({text})", then.dtype, then.lanes)

    def either(self, a: Value, b: Value) -> Value:
        """Return a | b."""
        return self._bitwise(a, "|", b)

    def both(self, a: Value, b: Value) -> Value:
        """Return a & b."""
        return self._bitwise(a, "&", b)

    def exclusive(self, a: Value, b: Value) -> Value:
        """Return a ^ b."""
        return self._bitwise(a, "^", b)

    def negation(self, a: Value) -> Value:
        """Return not a."""
        return self.make(f"{'!' if a.dtype is None and a.lanes == 1 else '~'}{a.raw.atom}", a.dtype, a.lanes)

    def packed(self, truths: Sequence[Value]) -> Value:
        """Return an i64 whose bits are the lanes of booleans, the first lane of the first lowest."""
        lanes = [lane.raw.atom for truth in truths for lane in self._each(truth)]
        bits = [f"(uint64_t)({lane} & 1) << {place}" for place, lane in enumerate(lanes)]
        return self.make(f"(int64_t)({' | '.join(bits)})", DType.I64)

    def shifted_left(self, value: Value, count: int) -> Value:
        """Return an integer shifted left."""
        return self._shifted(value, "<<", count)

    def shifted_right(self, value: Value, count: int) -> Value:
        """Return an integer shifted right, zero-filled (logical shift)."""
        return self._shifted(value, ">>", count)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c as i32: the sums of the kernels on 8-bit values, which never overflow."""
        if a.lanes == 1:
            return self.make(f"{a.raw.atom} * {b.raw.atom} + {c.raw.atom}", DType.I32, whole=True)
        return self.add(self.mul(self.convert(a, DType.I32), self.convert(b, DType.I32)), c)

    def scaled(self, a: Value, b: Value) -> Value:
        """Return a·b / 2³², rounded to the nearest integer, halves up."""
        pairs = zip(self._each(a), self._each(b), strict=True)
        products = [f"(uint64_t)((int64_t){x.raw.atom} * {y.raw.atom})" for x, y in pairs]
        texts = [f"(int32_t)(uint32_t)(({product} + 0x80000000U) >> 32)" for product in products]
        return self.from_lanes([self.make(text, DType.I32) for text in texts])

    def wide_product(self, a: Value, factor: int) -> tuple[Value, Value]:
        """Return the high and low 32 bits of an unsigned i32 times a constant."""
        products = [f"(uint64_t)(uint32_t){lane.raw.atom} * {factor}U" for lane in self._each(a)]
        high = [self.make(f"(int32_t)(uint32_t)({product} >> 32)", DType.I32) for product in products]
        low = [self.make(f"(int32_t)(uint32_t)({product})", DType.I32) for product in products]
        return self.from_lanes(high), self.from_lanes(low)

    # -- type conversions ---------------------------------------------------------------------------

    def convert(self, value: Value, dtype: DType) -> Value:
        """Return a value converted to another type."""
        if value.dtype is dtype or value.dtype is None:
            return value
        return self.convert_lanes(value, value.dtype, dtype)

    def convert_lanes(self, value: Value, source: DType, dtype: DType) -> Value:
        """Return a value of type `source`, or booleans as such, converted to another type."""
        if source is dtype:
            return Value(value.raw, dtype, value.lanes)
        if value.lanes == 1:
            return self.make(f"({TYPES[dtype]}){value.raw.atom}", dtype, movable=True)
        text = f"__builtin_convertvector({value.raw.text}, {vector(dtype, value.lanes)})"
        return self.make(text, dtype, value.lanes, movable=True)

    def bits(self, value: Value, dtype: DType) -> Value:
        """Return the value bitcast to another type of the same size."""
        if value.lanes > 1:
            return self.make(f"({vector(dtype, value.lanes)}){value.raw.atom}", dtype, value.lanes)
        assert value.dtype is not None  # noqa: S101 - not for booleans
        floats = dtype in FLOATING
        helper = f"{dtype.value}_of" if floats else f"{value.dtype.value}_bits"
        unsigned = f"(u{TYPES[value.dtype]})" if floats else ""
        return self.make(f"{helper}({unsigned}{value.raw.atom})", dtype)

    def cut_off(self, a: Value) -> Value:
        """Return a float32 truncated to i32."""
        return self.convert(a, DType.I32)

    # -- shuffles ---------------------------------------------------------------------------

    def splat(self, value: Value, lanes: int) -> Value:
        """Return a scalar broadcast to all lanes."""
        return value if lanes == 1 else self.from_lanes([value] * lanes)

    def from_lanes(self, values: Sequence[Value]) -> Value:
        """Return a vector of scalars, one per lane."""
        if len(values) == 1:
            return values[0]
        return self._listed([value.raw.text for value in values], values[0].dtype)

    def some_lanes(self, value: Value, which: Sequence[int]) -> Value:
        """Return the lanes of a vector with these numbers."""
        lanes = self._each(value)
        return self.from_lanes([lanes[lane] for lane in which])

    def lane(self, value: Value, number: Index) -> Value:
        """Return the lane of a vector with a number known at run time."""
        if value.lanes == 1:
            return value
        return self.make(f"{value.raw.atom}[{number.whole.text}]", value.dtype)

    def shuffled(self, a: Value, b: Value, which: Sequence[int]) -> Value:
        """Return lanes of the concatenation of a and b, by number; a scalar if it is one lane."""
        lanes = [*self._each(a), *self._each(b)]
        return self.from_lanes([lanes[lane] for lane in which])

    # -- texts ---------------------------------------------------------------------------

    def _each(self, value: Value) -> list[Value]:
        """Return the lanes of a value as scalars."""
        if value.lanes == 1:
            return [value]
        return [Value(Expression(f"{value.raw.atom}[{lane}]"), value.dtype, 1) for lane in range(value.lanes)]

    def _listed(self, lanes: Sequence[str], dtype: DType | None) -> Value:
        if len(lanes) == 1:
            return Value(Expression(lanes[0]), dtype, 1)
        return self.make(f"({vector(dtype, len(lanes))}){{{', '.join(lanes)}}}", dtype, len(lanes))

    def _arithmetic(self, a: Value, operation: str, b: Value, *, whole: bool = False) -> Value:
        if a.dtype in FLOATING:
            text = f"{a.raw.within(UNARY)} {operation} {b.raw.within(UNARY)}"
            return self.make(text, a.dtype, a.lanes, whole=whole)
        typ, unsigned = vector(a.dtype, a.lanes), vector(a.dtype, a.lanes, unsigned=True)
        text = f"({typ})(({unsigned}){a.raw.atom} {operation} ({unsigned}){b.raw.atom})"
        return self.make(text, a.dtype, a.lanes, whole=whole)

    def _comparison(self, a: Value, operation: str, b: Value) -> Value:
        return self._truth(f"{a.raw.atom} {operation} {b.raw.atom}", a)

    def _truth(self, text: str, of: Value) -> Value:
        if of.lanes == 1:
            return self.make(f"({text})", None, movable=True)
        assert of.dtype is not None  # noqa: S101 - not for booleans
        wide = BITS_OF.get(of.dtype, of.dtype)
        signed = DType.I8 if wide is DType.U8 else wide
        mask = self.make(f"({vector(signed, of.lanes)})({text})", signed, of.lanes)
        return Value(self.convert(mask, DType.I32).raw, None, of.lanes)

    def _bitwise(self, a: Value, operation: str, b: Value) -> Value:
        return self.make(f"{a.raw.atom} {operation} {b.raw.atom}", a.dtype, a.lanes)

    def _shifted(self, value: Value, operation: str, count: int) -> Value:
        typ, unsigned = vector(value.dtype, value.lanes), vector(value.dtype, value.lanes, unsigned=True)
        return self.make(f"({typ})(({unsigned}){value.raw.atom} {operation} {count})", value.dtype, value.lanes)
