"""The pen's arithmetic: what can be done with values that are in registers. A vector of one lane is a plain number.

A pen gives the abstract words; the others are made of them.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.values import Integers, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.compiler.machine import Machine


class Arithmetic(Integers):
    """Words for values: made, added, compared, shuffled. Abstract."""

    machine: Machine

    # -- values out of nothing ---------------------------------------------------------------------------

    @abc.abstractmethod
    def constant(self, number: float, lanes: int = 1, dtype: DType = DType.F32) -> Value:
        """Return `number` in every lane."""

    @abc.abstractmethod
    def lane_numbers(self, lanes: int, first: int = 0) -> Value:
        """Return i32 lanes first, first+1, …"""

    @abc.abstractmethod
    def lane_mask(self, lanes: int, count: int) -> Value:
        """Return what is true in the first `count` lanes and false in those behind."""

    # -- lane by lane ---------------------------------------------------------------------------

    @abc.abstractmethod
    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c: one rounding where the machine has the instruction, else two."""

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
        """Return whether a > b; false where either is not a number."""

    @abc.abstractmethod
    def not_greater(self, a: Value, b: Value) -> Value:
        """Return whether a ≤ b (floating point); false where either is not a number."""

    @abc.abstractmethod
    def equal(self, a: Value, b: Value) -> Value:
        """Return whether a = b; false where either is not a number."""

    @abc.abstractmethod
    def below(self, a: Value, b: Value) -> Value:
        """Return whether a < b, both integers without a sign."""

    @abc.abstractmethod
    def not_numbers(self, a: Value, b: Value) -> Value:
        """Return whether a or b is NaN: one comparison for two."""

    @abc.abstractmethod
    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """Return `then` where the condition holds, else `otherwise`."""

    @abc.abstractmethod
    def either(self, a: Value, b: Value) -> Value:
        """Return a or b: of truths, or the bits of integers."""

    @abc.abstractmethod
    def both(self, a: Value, b: Value) -> Value:
        """Return a and b: of truths, or the bits of integers."""

    @abc.abstractmethod
    def exclusive(self, a: Value, b: Value) -> Value:
        """Return the bits that two integers do not share."""

    @abc.abstractmethod
    def negation(self, a: Value) -> Value:
        """Return not a."""

    @abc.abstractmethod
    def shifted_left(self, value: Value, count: int) -> Value:
        """Return an integer's bits moved up."""

    @abc.abstractmethod
    def shifted_right(self, value: Value, count: int) -> Value:
        """Return an integer's bits moved down, zeros from above."""

    @abc.abstractmethod
    def wide_product(self, a: Value, factor: int) -> tuple[Value, Value]:
        """Return the high and the low 32 bits of an i32 without a sign times a constant."""

    # -- from type to type ---------------------------------------------------------------------------

    @abc.abstractmethod
    def convert(self, value: Value, dtype: DType) -> Value:
        """Return a value in another type: bytes and integers to float, float to double, i64 to i32 and back."""

    @abc.abstractmethod
    def bits(self, value: Value, dtype: DType) -> Value:
        """Return the same bits as another type of the same size."""

    @abc.abstractmethod
    def cut_off(self, a: Value) -> Value:
        """Return a float32 below 2³¹ as i32, what is behind the point cut off."""

    # -- lane to lane ---------------------------------------------------------------------------

    @abc.abstractmethod
    def splat(self, value: Value, lanes: int) -> Value:
        """Return a scalar in every lane."""

    @abc.abstractmethod
    def some_lanes(self, value: Value, which: Sequence[int]) -> Value:
        """Return lanes of a vector by their numbers."""

    @abc.abstractmethod
    def shuffled(self, a: Value, b: Value, which: Sequence[int]) -> Value:
        """Return lanes of a, then b, by their numbers."""

    # -- made of these ---------------------------------------------------------------------------

    def masked(self, value: Value, mask: int) -> Value:
        """Return an integer's bits where the mask has them."""
        return self.both(value, self.like(value, mask))

    def like(self, value: Value, number: float) -> Value:
        """Return a number in as many lanes as a value has, and of its type."""
        assert value.dtype is not None  # noqa: S101 - numbers are like numbers
        return self.constant(number, value.lanes, value.dtype)

    def not_a_number(self, a: Value) -> Value:
        """Return whether a is NaN."""
        return self.not_numbers(a, a)

    def relu(self, x: Value) -> Value:
        """Return 0 where 0 > x, else x: a NaN goes through, as in PyTorch."""
        zero = self.constant(0.0, x.lanes)
        return self.select(self.greater(zero, x), zero, x)

    def magnitude(self, a: Value) -> Value:
        """Return |a|: the sign bit cleared."""
        return self.bits(self.masked(self.bits(a, DType.I32), 0x7FFFFFFF), DType.F32)

    def with_sign(self, a: Value, sign: Value) -> Value:
        """Return a ≥ 0 with the sign of another."""
        bit = self.masked(self.bits(sign, DType.I32), 0x80000000)
        return self.bits(self.either(self.bits(a, DType.I32), bit), DType.F32)

    def whole_below(self, a: Value) -> Value:
        """Return ⌊a⌋ of a number below 2³¹ as i32: what is cut off is added where that went up."""
        cut = self.cut_off(a)
        return self.select(self.greater(self.convert(cut, DType.F32), a), self.sub(cut, self.like(cut, 1)), cut)

    def first_lanes(self, value: Value, count: int, otherwise: Value) -> Value:
        """Return the first `count` lanes of a vector, and `otherwise` in those behind."""
        return value if count >= value.lanes else self.select(self.lane_mask(value.lanes, count), value, otherwise)

    def fold(self, value: Value, combine: str = "add") -> Value:
        """Return the lanes of a vector combined (add, largest, smallest) as a tree: lane k with lane k + half, and
        again."""
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
        """Return the lanes of a vector in reverse order."""
        return value if value.lanes == 1 else self.some_lanes(value, range(value.lanes - 1, -1, -1))

    def picked(self, vectors: list[Value], first: int, step: int, count: int) -> Value:
        """Return lanes first, first + step, … of vectors one behind the other, `count` of them; those past the end are
        any."""
        lanes = vectors[0].lanes
        places = [min(first + k * step, len(vectors) * lanes - 1) for k in range(count)]
        return self._gathered(vectors, [divmod(place, lanes) for place in places])

    def woven(self, vectors: list[Value]) -> list[Value]:
        """Return the first lanes of all vectors, then the second lanes, and so on, in as many vectors.

        A power of two is woven in halves, log₂ steps of one shuffle a vector; others vector by vector.
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
        """Return lanes by (vector, lane); out of more than two vectors only as many as a vector has."""
        sources = sorted({source for source, _ in places})
        lanes, second = vectors[0].lanes, sources[min(1, len(sources) - 1)]
        mask = [lane + lanes * (source == second != sources[0]) for source, lane in places]
        gathered = self.shuffled(vectors[sources[0]], vectors[second], mask)
        for number in sources[2:]:
            mask = [lanes + lane if source == number else k for k, (source, lane) in enumerate(places)]
            gathered = self.shuffled(gathered, vectors[number], mask)
        return gathered
