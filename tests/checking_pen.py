"""A pen that writes nothing: it finds out whether every access of a kernel stays inside its buffer.

A loop is an axis, and an index a sum of axes times numbers, plus an array over some axes: what is cut, divided or
chosen is worked out for every place of those, and the largest and the smallest of the rest are at an axis's ends. So
nothing is left out. `when`, and loops whose bounds depend on others, are masks. Integers out of memory are all of
those that the pen is told of; of floats only type and lanes are known.
"""

from __future__ import annotations

import functools
import itertools
import operator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Access
from layerline.compiler.pen import FLOATS, Pen
from layerline.compiler.values import Index, Pointer, Value, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerline.compiler.kernel import Kernel
    from layerline.compiler.machine import Machine

CUT_OFF: Final = np.arange(-64, 320)
"""What a float may be as an integer: a place in an image or outside of one."""

_numbers: Final = itertools.count()


@dataclass(frozen=True, eq=False)
class Axis:
    """A loop: it runs from 0 to size − 1."""

    size: int
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True, eq=False)
class Many:
    """An array over axes, in the order of their numbers."""

    axes: tuple[Axis, ...]
    values: np.ndarray

    def over(self, axes: Sequence[Axis]) -> np.ndarray:
        """Return the values as they are broadcast over more axes."""
        return self.values.reshape([axis.size if axis in self.axes else 1 for axis in axes])


def joined(a: Many, b: Many, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Many:
    """Return a function of two arrays, over the axes of both."""
    axes = tuple(sorted({*a.axes, *b.axes}, key=lambda axis: axis.number))
    return Many(axes, function(a.over(axes), b.over(axes)))


@dataclass(frozen=True, eq=False)
class Number:
    """An integer: Σ axis · factor, and what is no such sum."""

    factors: dict[Axis, int]
    rest: Many

    def plus(self, other: Number, sign: int) -> Number:
        """Return the sum, or the difference."""
        factors = dict(self.factors)
        for axis, factor in other.factors.items():
            factors[axis] = factors.get(axis, 0) + sign * factor
        return Number(factors, joined(self.rest, other.rest, operator.add if sign > 0 else operator.sub))

    def times(self, factor: int) -> Number:
        """Return the product with a number that is known."""
        factors = {axis: have * factor for axis, have in self.factors.items()}
        return Number(factors, Many(self.rest.axes, self.rest.values * factor))

    def on(self, axes: Sequence[Axis]) -> Number:
        """Return it with some of its axes in the array."""
        rest = self.rest
        for axis in axes:
            if factor := self.factors.get(axis, 0):
                rest = joined(rest, Many((axis,), np.arange(axis.size) * factor), operator.add)
        return Number({axis: factor for axis, factor in self.factors.items() if axis not in axes}, rest)

    @property
    def all(self) -> Many:
        """Return it as an array."""
        return self.on(tuple(self.factors)).rest

    @property
    def known(self) -> int | None:
        """Return it where it is one number."""
        return None if any(self.factors.values()) or self.rest.axes else int(self.rest.values)

    def ends(self, mask: Many) -> tuple[int, int] | None:
        """Return the smallest and the largest where a mask holds; None where it never does."""
        both = joined(
            self.on(mask.axes).rest, mask, lambda a, b: np.broadcast_to(a, np.broadcast_shapes(a.shape, b.shape))
        )
        there = both.values[np.broadcast_to(mask.over(both.axes), both.values.shape)]
        free = {axis: factor for axis, factor in self.factors.items() if axis not in mask.axes}
        if not there.size or any(axis.size == 0 for axis in free):
            return None
        spans = [factor * (axis.size - 1) for axis, factor in free.items()]
        return int(there.min()) + sum(min(0, s) for s in spans), int(there.max()) + sum(max(0, s) for s in spans)


def number(value: int) -> Number:
    """Return a number that is known."""
    return Number({}, Many((), np.array(value)))


@dataclass(frozen=True, eq=False)
class Order:
    """The truth of a > b, of integers: who chooses by it may choose the smaller or the larger."""

    a: Any
    b: Any


COMPARE: Final = {
    "<": operator.lt,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "within": lambda a, b: (a >= 0) & (a < b),
}


@final
class CheckingPen(Pen):
    """Checks one kernel. A value's `raw` is a Number, an array of all that it may be, or None: anything."""

    def __init__(
        self,
        machine: Machine,
        kernel: Kernel,
        rooms: Mapping[str, int],
        counts: Mapping[str, int],
        may_be: Mapping[str, Callable[[Number], np.ndarray]],
    ) -> None:
        """Begin. rooms: the elements that there are behind each argument; counts: the integer arguments but `item`,
        which is every slice; may_be: what an element of an argument of integers may be, by its place."""
        super().__init__(machine)
        self.kernel, self.rooms, self.may_be = kernel, rooms, may_be
        self.accesses, self.mask = 0, Many((), np.array(True))
        for name, argument in kernel.arguments.items():
            self.pointers[name] = Pointer((name, number(0)), argument.dtype)
        for name in kernel.scalars:
            item = Number({Axis(kernel.slices or 0): 1}, number(0).rest)
            raw = None if name in FLOATS else item if name == "item" else number(counts[name])
            self.scalars[name] = Value(raw, DType.F32 if name in FLOATS else DType.I64, 1)

    def fail(self, what: str) -> None:
        """Raise AssertionError for what a kernel does wrong."""
        raise AssertionError(f"{self.kernel.symbol}: {what}")

    # -- whole numbers ---------------------------------------------------------------------------

    def literal(self, number_: int) -> Number:
        return number(number_)

    def integer(self, operation: str, a: Number, b: Number) -> Number:
        if operation in "+-":
            return a.plus(b, 1 if operation == "+" else -1)
        if operation == "*" and b.known is not None:
            return a.times(b.known)
        function = {"*": operator.mul, "//": operator.floordiv, "%": operator.mod}[operation]
        return Number({}, joined(a.all, b.all, function))

    def compared(self, operation: str, a: Number, b: Number) -> Value:
        return Value(joined(a.all, b.all, COMPARE[operation]), None, 1)

    def as_index(self, value: Value) -> Index:
        """A number out of memory is an axis: all that it may be."""
        if value.raw is None:
            self.fail("a place depends on a number of which nothing is known")
        if isinstance(value.raw, Number):
            return Index(self, value.raw)
        return Index(self, Number({}, Many((Axis(len(value.raw)),), value.raw)))

    # -- control ---------------------------------------------------------------------------

    @contextmanager
    def counted(self, name: str, first: Index, last: Index, step: int) -> Iterator[Index]:  # noqa: ARG002 - of no matter here
        start, stop = first.whole, last.whole
        length = stop.plus(start, -1)
        ends = length.ends(Many((), np.array(True)))
        axis = Axis(0 if ends is None else max(0, -(-ends[1] // step)))
        here = Number({**start.factors, axis: step}, start.rest)
        if length.known is not None:
            yield Index(self, here)
        else:
            with self.when(Index(self, here) < last):
                yield Index(self, here)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        before = self.mask
        if isinstance(condition.raw, Many):
            self.mask = joined(before, condition.raw, operator.and_)
        yield
        self.mask = before

    @contextmanager
    def ones(self, bits: Value, most: int) -> Iterator[Index]:
        """Any of the bits may be set."""
        if bits.dtype is not DType.I64 or bits.lanes != 1 or not 0 < most <= 64:
            self.fail(f"the first {most} bits of {bits.lanes} of {bits.dtype}")
        yield Index(self, Number({Axis(most): 1}, number(0).rest))

    def variable(self, initial: Value) -> Variable:
        """A variable is all that is ever written to it."""
        return Variable([self._may_be(initial)], initial.dtype, initial.lanes)

    def read(self, variable: Variable) -> Value:
        return Value(variable.raw[0], variable.dtype, variable.lanes)

    def write(self, variable: Variable, value: Value) -> None:
        self._alike(variable, value)
        variable.raw[0] = _either(variable.raw[0], self._may_be(value))

    # -- memory ---------------------------------------------------------------------------

    def at(self, pointer: Pointer, index: Index | int) -> Pointer:
        name, place = pointer.raw
        offset = number(index) if isinstance(index, int) else index.whole
        return Pointer((name, place.plus(offset, 1)), pointer.dtype)

    def load(self, pointer: Pointer, index: Index | int = 0, lanes: int = 1) -> Value:
        name, place = self.at(pointer, index).raw
        self._access(name, place, lanes)
        known = self.may_be[name](place) if name in self.may_be else None
        return Value(known, pointer.dtype, lanes)

    def store(self, value: Value, pointer: Pointer, index: Index | int = 0, count: int | None = None) -> None:
        name, place = self.at(pointer, index).raw
        if value.dtype is not pointer.dtype:
            self.fail(f"{value.dtype} is stored as {pointer.dtype}")
        if self.kernel.arguments[name].access is Access.READS:
            self.fail(f"{name} is written, and said to be read")
        self._access(name, place, value.lanes if count is None else min(count, value.lanes))

    def ticks(self) -> Value:
        """Return anything."""
        return Value(None, DType.I64, 1)

    def prefetch(self, pointer: Pointer, index: Index | int) -> None:
        pass

    def call_address(self, address: Pointer, *numbers: int) -> None:
        pass

    def _access(self, name: str, place: Number, lanes: int) -> None:
        ends = place.ends(self.mask)
        if ends is not None:
            self.accesses += 1
            if ends[0] < 0 or ends[1] + lanes > self.rooms[name]:
                self.fail(f"{name}[{ends[0]}] to [{ends[1] + lanes - 1}] of {self.rooms[name]}")

    # -- arithmetic ---------------------------------------------------------------------------

    def constant(self, number_: float, lanes: int = 1, dtype: DType = DType.F32) -> Value:
        return Value(None if dtype in (DType.F32, DType.F64) else np.array([int(number_)]), dtype, lanes)

    def lane_numbers(self, lanes: int, first: int = 0) -> Value:
        return Value(np.arange(first, first + lanes), DType.I32, lanes)

    def lane_mask(self, lanes: int, count: int) -> Value:  # noqa: ARG002 - of no matter here
        return Value(None, None, lanes)

    def add(self, a: Value, b: Value) -> Value:
        return self._sum(a, b, 1)

    def sub(self, a: Value, b: Value) -> Value:
        return self._sum(a, b, -1)

    def _sum(self, a: Value, b: Value, sign: int) -> Value:
        self._alike(a, b)
        one, other = self._may_be(a), self._may_be(b)
        known = None if one is None or other is None else np.unique(np.add.outer(one, sign * other))
        return Value(known, a.dtype, a.lanes)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        return self._number(self._number(a, b), c)

    def mul(self, a: Value, b: Value) -> Value:
        return self._number(a, b)

    def div(self, a: Value, b: Value) -> Value:
        return self._number(a, b)

    def negative(self, a: Value) -> Value:
        return self._number(a)

    def sqrt(self, a: Value) -> Value:
        return self._number(a)

    def exclusive(self, a: Value, b: Value) -> Value:
        return self._number(a, b)

    def packed(self, truths: Sequence[Value]) -> Value:
        if any(truth.dtype is not None for truth in truths) or sum(truth.lanes for truth in truths) > 64:
            self.fail("more than 64 truths are packed, or what is none")
        return Value(None, DType.I64, 1)

    def shifted_left(self, value: Value, count: int) -> Value:  # noqa: ARG002 - of no matter here
        return self._number(value)

    def shifted_right(self, value: Value, count: int) -> Value:  # noqa: ARG002 - of no matter here
        return self._number(value)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        self._alike(a, b)
        if (a.dtype, c.dtype, a.lanes) != (DType.I8, DType.I32, c.lanes):
            self.fail(f"{a.lanes} of {a.dtype} are multiplied and added to {c.lanes} of {c.dtype}")
        return Value(None, DType.I32, c.lanes)

    def scaled(self, a: Value, b: Value) -> Value:
        return self._number(a, b)

    def wide_product(self, a: Value, factor: int) -> tuple[Value, Value]:  # noqa: ARG002 - of no matter here
        return self._number(a), self._number(a)

    def greater(self, a: Value, b: Value) -> Value:
        self._alike(a, b)
        return Value(Order(a.raw, b.raw), None, a.lanes)

    def not_greater(self, a: Value, b: Value) -> Value:
        return self._truth(a, b)

    def equal(self, a: Value, b: Value) -> Value:
        return self._truth(a, b)

    def below(self, a: Value, b: Value) -> Value:
        return self._truth(a, b)

    def not_numbers(self, a: Value, b: Value) -> Value:
        return self._truth(a, b)

    def either(self, a: Value, b: Value) -> Value:
        return self._logic(a, b, operator.or_)

    def both(self, a: Value, b: Value) -> Value:
        return self._logic(a, b, operator.and_)

    def negation(self, a: Value) -> Value:
        known = Many(a.raw.axes, ~a.raw.values) if isinstance(a.raw, Many) else None
        return Value(known, a.dtype, a.lanes)

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        self._alike(then, otherwise)
        truth, a, b = condition.raw, then.raw, otherwise.raw
        if isinstance(truth, Many) and isinstance(a, Number) and isinstance(b, Number):
            chosen = joined(truth, a.all, lambda t, x: np.where(t, x, 0))
            other = joined(truth, b.all, lambda t, x: np.where(t, 0, x))
            return Value(Number({}, joined(chosen, other, operator.add)), then.dtype, then.lanes)
        one, other_ = self._may_be(then), self._may_be(otherwise)
        if one is None or other_ is None:
            known = None
        elif isinstance(truth, Order) and {id(a), id(b)} == {id(truth.a), id(truth.b)}:
            extreme = max if a is truth.a else min
            known = np.array([extreme(one.min(), other_.min()), extreme(one.max(), other_.max())])
        else:
            known = _either(one, other_)
        return Value(known, then.dtype, then.lanes)

    def convert(self, value: Value, dtype: DType) -> Value:
        floats = {value.dtype, dtype} & {DType.F32, DType.F64}
        return Value(None if floats else value.raw, dtype, value.lanes)

    def bits(self, value: Value, dtype: DType) -> Value:
        assert value.dtype is not None
        if value.dtype.bytes != dtype.bytes:
            self.fail(f"the bits of {value.dtype} are taken for {dtype}")
        return Value(None, dtype, value.lanes)

    def cut_off(self, a: Value) -> Value:
        return Value(CUT_OFF, DType.I32, a.lanes)

    def splat(self, value: Value, lanes: int) -> Value:
        if value.lanes != 1:
            self.fail("a vector is splat")
        return Value(value.raw, value.dtype, lanes)

    def from_lanes(self, values: Sequence[Value]) -> Value:
        self._alike(*values)
        if values[0].lanes != 1:
            self.fail("a vector is put into a lane")
        return Value(functools.reduce(_either, map(self._may_be, values)), values[0].dtype, len(values))

    def some_lanes(self, value: Value, which: Sequence[int]) -> Value:
        if not all(0 <= lane < value.lanes for lane in which):
            self.fail(f"lanes {list(which)} of {value.lanes}")
        return Value(self._may_be(value), value.dtype, len(which))

    def lane(self, value: Value, number: Index) -> Value:
        ends = number.whole.ends(self.mask)
        if ends is not None and not 0 <= ends[0] <= ends[1] < value.lanes:
            self.fail(f"lanes {ends[0]} to {ends[1]} of {value.lanes}")
        return Value(self._may_be(value), value.dtype, 1)

    def shuffled(self, a: Value, b: Value, which: Sequence[int]) -> Value:
        self._alike(a, b)
        if not all(0 <= lane < 2 * a.lanes for lane in which):
            self.fail(f"lanes {list(which)} of twice {a.lanes}")
        return Value(_either(self._may_be(a), self._may_be(b)), a.dtype, len(which))

    def _alike(self, *values: Value | Variable) -> None:
        if len({(value.dtype, value.lanes) for value in values}) != 1:
            self.fail("takes together " + ", ".join(f"{v.lanes} of {v.dtype}" for v in values))

    def _number(self, *values: Value) -> Value:
        self._alike(*values)
        return Value(None, values[0].dtype, values[0].lanes)

    def _truth(self, a: Value, b: Value) -> Value:
        self._alike(a, b)
        return Value(None, None, a.lanes)

    def _logic(self, a: Value, b: Value, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Value:
        self._alike(a, b)
        exact = isinstance(a.raw, Many) and isinstance(b.raw, Many)
        return Value(joined(a.raw, b.raw, function) if exact else None, a.dtype, a.lanes)

    def _may_be(self, value: Value) -> np.ndarray | None:
        """Return all that an integer may be, of a Number its ends."""
        if not isinstance(value.raw, Number):
            return value.raw if isinstance(value.raw, np.ndarray) else None
        ends = value.raw.ends(self.mask)
        return None if ends is None else np.array(ends)


def _either(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return None if a is None or b is None else functools.reduce(np.union1d, (a, b))
