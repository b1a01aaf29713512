"""The pen's arithmetic: operations on values in registers. A one-lane vector is a scalar.

A concrete pen implements the abstract operations; the others are built from them.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.values import Integers, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.compiler.machine import Machine
    from layerline.compiler.values import Index


class Arithmetic(Integers):
    """Operations that create, combine, compare and shuffle values. Abstract."""

    machine: Machine

    # -- constants ---------------------------------------------------------------------------

    @abc.abstractmethod
    def constant(self, number: float, lanes: int = 1, dtype: DType = DType.F32) -> Value:
        """Return `number` in every lane."""

    @abc.abstractmethod
    def lane_numbers(self, lanes: int, first: int = 0) -> Value:
        """Return i32 lanes first, first+1, …"""

    @abc.abstractmethod
    def lane_mask(self, lanes: int, count: int) -> Value:
        """Return a mask: true in the first `count` lanes, false in the rest."""

    # -- lane by lane ---------------------------------------------------------------------------

    @abc.abstractmethod
    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c, rounded once if the machine has FMA, else twice."""

    @abc.abstractmethod
    def add(self, a: Value, b: Value) -> Value:
        """Return a + b."""

    @abc.abstractmethod
    def sub(self, a: Value, b: Value) -> Value:
        """Return a − b."""

    @abc.abstractmethod
    def mul(self, a: Value, b: Value) -> Value:
        """Return a · b."""

    @abc.abstractmethod
    def div(self, a: Value, b: Value) -> Value:
        """Return a / b (floating point)."""

    @abc.abstractmethod
    def negative(self, a: Value) -> Value:
        """Return −a (floating point)."""

    @abc.abstractmethod
    def sqrt(self, a: Value) -> Value:
        """Return √a, rounded once."""

    @abc.abstractmethod
    def greater(self, a: Value, b: Value) -> Value:
        """Return whether a > b; false if either is NaN."""

    @abc.abstractmethod
    def not_greater(self, a: Value, b: Value) -> Value:
        """Return whether a ≤ b (floating point); false if either is NaN."""

    @abc.abstractmethod
    def equal(self, a: Value, b: Value) -> Value:
        """Return whether a = b; false if either is NaN."""

    @abc.abstractmethod
    def below(self, a: Value, b: Value) -> Value:
        """Return whether a < b, both unsigned integers."""

    @abc.abstractmethod
    def not_numbers(self, a: Value, b: Value) -> Value:
        """Return whether a or b is NaN (a single unordered comparison)."""

    @abc.abstractmethod
    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """Return `then` in lanes where the condition holds, else `otherwise`."""

    @abc.abstractmethod
    def either(self, a: Value, b: Value) -> Value:
        """Return a | b, of booleans or bitwise of integers."""

    @abc.abstractmethod
    def both(self, a: Value, b: Value) -> Value:
        """Return a & b, of booleans or bitwise of integers."""

    @abc.abstractmethod
    def exclusive(self, a: Value, b: Value) -> Value:
        """Return a ^ b, bitwise of integers."""

    @abc.abstractmethod
    def negation(self, a: Value) -> Value:
        """Return not a."""

    @abc.abstractmethod
    def packed(self, truths: Sequence[Value]) -> Value:
        """Return an i64 whose bits are the lanes of at most 64 booleans, the first lane of the first lowest."""

    @abc.abstractmethod
    def shifted_left(self, value: Value, count: int) -> Value:
        """Return an integer shifted left."""

    @abc.abstractmethod
    def shifted_right(self, value: Value, count: int) -> Value:
        """Return an integer shifted right, zero-filled (logical shift)."""

    @abc.abstractmethod
    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c as i32, of i8 a and b and of i32 c; the result must be in the range of i32."""

    @abc.abstractmethod
    def scaled(self, a: Value, b: Value) -> Value:
        """Return a·b / 2³², of i32, rounded to the nearest integer, halves up: (a·b + 2³¹) >> 32 of 64 bits."""

    @abc.abstractmethod
    def wide_product(self, a: Value, factor: int) -> tuple[Value, Value]:
        """Return the high and low 32 bits of an unsigned i32 times a constant."""

    # -- type conversions ---------------------------------------------------------------------------

    @abc.abstractmethod
    def convert(self, value: Value, dtype: DType) -> Value:
        """Return a value converted to another type: integers to float, float to double, integers to longer ones (u8
        with zeros, others with their sign) and to shorter ones (their low bits)."""

    @abc.abstractmethod
    def bits(self, value: Value, dtype: DType) -> Value:
        """Return the value bitcast to another type of the same size."""

    @abc.abstractmethod
    def cut_off(self, a: Value) -> Value:
        """Return a float32 below 2³¹ truncated to i32."""

    # -- shuffles ---------------------------------------------------------------------------

    @abc.abstractmethod
    def splat(self, value: Value, lanes: int) -> Value:
        """Return a scalar broadcast to all lanes."""

    @abc.abstractmethod
    def from_lanes(self, values: Sequence[Value]) -> Value:
        """Return a vector of scalars, one per lane."""

    @abc.abstractmethod
    def some_lanes(self, value: Value, which: Sequence[int]) -> Value:
        """Return the lanes of a vector with the given numbers."""

    @abc.abstractmethod
    def lane(self, value: Value, number: Index) -> Value:
        """Return the lane of a vector with a number known at run time."""

    @abc.abstractmethod
    def shuffled(self, a: Value, b: Value, which: Sequence[int]) -> Value:
        """Return lanes of the concatenation of a and b, by number."""

    # -- composite operations ---------------------------------------------------------------------------

    def masked(self, value: Value, mask: int) -> Value:
        """Return value & mask."""
        return self.both(value, self.like(value, mask))

    def like(self, value: Value, number: float) -> Value:
        """Return a constant with the lanes and type of a value."""
        assert value.dtype is not None  # noqa: S101 - not for booleans
        return self.constant(number, value.lanes, value.dtype)

    def not_a_number(self, a: Value) -> Value:
        """Return whether a is NaN."""
        return self.not_numbers(a, a)

    def relu(self, x: Value) -> Value:
        """Return 0 where 0 > x, else x. NaN propagates, as in PyTorch."""
        zero = self.constant(0.0, x.lanes)
        return self.select(self.greater(zero, x), zero, x)

    def magnitude(self, a: Value) -> Value:
        """Return |a|, by clearing the sign bit."""
        return self.bits(self.masked(self.bits(a, DType.I32), 0x7FFFFFFF), DType.F32)

    def with_sign(self, a: Value, sign: Value) -> Value:
        """Return a ≥ 0 with the sign of `sign` (copysign)."""
        bit = self.masked(self.bits(sign, DType.I32), 0x80000000)
        return self.bits(self.either(self.bits(a, DType.I32), bit), DType.F32)

    def whole_below(self, a: Value) -> Value:
        """Return ⌊a⌋ as i32 for a below 2³¹: truncates, then subtracts 1 where truncation rounded up."""
        cut = self.cut_off(a)
        return self.select(self.greater(self.convert(cut, DType.F32), a), self.sub(cut, self.like(cut, 1)), cut)

    def first_lanes(self, value: Value, count: int, otherwise: Value) -> Value:
        """Return the first `count` lanes of a vector, and `otherwise` in the rest."""
        return value if count >= value.lanes else self.select(self.lane_mask(value.lanes, count), value, otherwise)

    def fold(self, value: Value, combine: str = "add") -> Value:
        """Return a horizontal reduction (add, largest, smallest) as a tree: lane k with lane k + half, repeatedly."""
        lanes = value.lanes
        while lanes > 1:
            lanes //= 2
            low, high = self.some_lanes(value, range(lanes)), self.some_lanes(value, range(lanes, 2 * lanes))
            if combine == "add":
                value = self.add(low, high)
            else:
                value = self.select(self.greater(high, low), *((high, low) if combine == "largest" else (low, high)))
        return value

    def reversed_lanes(self, value: Value) -> Value:
        """Return a vector with its lanes reversed."""
        return value if value.lanes == 1 else self.some_lanes(value, range(value.lanes - 1, -1, -1))

    def picked(self, vectors: list[Value], first: int, step: int, count: int) -> Value:
        """Return `count` lanes first, first + step, … of the concatenated vectors; lanes past the end are undefined."""
        lanes = vectors[0].lanes
        places = [min(first + k * step, len(vectors) * lanes - 1) for k in range(count)]
        return self._gathered(vectors, [divmod(place, lanes) for place in places])

    def woven(self, vectors: list[Value]) -> list[Value]:
        """Return the vectors interleaved: lane 0 of each, then lane 1 of each, and so on, in as many vectors.

        A power-of-two count is interleaved by halves, log₂ n steps of one shuffle per vector; other counts vector by
        vector.
        """
        n, lanes = len(vectors), vectors[0].lanes
        if n & (n - 1):
            places = [(place % n, place // n) for place in range(n * lanes)]
            return [self._gathered(vectors, places[k : k + lanes]) for k in range(0, n * lanes, lanes)]
        order = [lane + lanes * other for lane in range(lanes) for other in (0, 1)]
        for _ in range(n.bit_length() - 1):
            pairs = zip(vectors[: n // 2], vectors[n // 2 :], strict=True)
            vectors = [self.shuffled(a, b, part) for a, b in pairs for part in (order[:lanes], order[lanes:])]
        return vectors

    def _gathered(self, vectors: list[Value], places: list[tuple[int, int]]) -> Value:
        """Return lanes selected by (vector, lane); from more than two vectors, exactly one vector's worth of lanes."""
        sources = sorted({source for source, _ in places})
        lanes, second = vectors[0].lanes, sources[min(1, len(sources) - 1)]
        mask = [lane + lanes * (source == second != sources[0]) for source, lane in places]
        gathered = self.shuffled(vectors[sources[0]], vectors[second], mask)
        for number in sources[2:]:
            mask = [lanes + lane if source == number else k for k, (source, lane) in enumerate(places)]
            gathered = self.shuffled(gathered, vectors[number], mask)
        return gathered
