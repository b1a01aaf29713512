"""The words of a pen: each, compiled alone, does what NumPy does, in vectors and number by number."""

from __future__ import annotations

import ctypes
import inspect
import operator
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from kernel_runner import aligned, run
from llvmlite import binding as llvm
from preset_shapes import SHAPES

import layerline.compiler
from layerline.compiler import jit
from layerline.compiler.compilation import plan
from layerline.compiler.driver import write_module
from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, KernelArgument, reads, sets
from layerline.compiler.kernels.exchange import Exchange
from layerline.compiler.kernels.peak import Peak
from layerline.compiler.llvm_pen import LlvmPen
from layerline.compiler.machine import Machine, host, named
from layerline.compiler.pen import Pen
from layerline.compiler.task import task_of
from layerline.network.source import read
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.values import Index, Value

U8, I8, I32, I64, F32, F64 = DType.U8, DType.I8, DType.I32, DType.I64, DType.F32, DType.F64
NUMPY: Final = {U8: np.uint8, I8: np.int8, I32: np.int32, I64: np.int64, F32: np.float32, F64: np.float64}
N: Final = 32
BITS: Final = 1 << 62 | 1 << 33 | 1 << 31 | 0b101101
ODD: Final = (np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 1e-30)


@dataclass(frozen=True)
class Word:
    """What a word is tried on: so many values of each type; what it writes; what NumPy says, of (rows, lanes)."""

    of: tuple[DType, ...]
    makes: DType
    write: Callable[..., Value | list[Value]]
    numpy: Callable[..., np.ndarray]
    odd: bool = True
    """Whether NaN and infinities are among the values."""


def truth(pen: Pen, condition: Value) -> Value:
    return pen.select(condition, pen.constant(1.0, condition.lanes), pen.constant(0.0, condition.lanes))


def floats(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda *arrays: function(*arrays).astype(np.float32)


def weave(*arrays: np.ndarray) -> np.ndarray:
    return np.stack(arrays, axis=-1).reshape(len(arrays[0]), -1)


def fused(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The terms are few bits long, so that float64 is exact."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def tree(x: np.ndarray) -> np.ndarray:
    while x.shape[1] > 1:
        half = x.shape[1] // 2
        x = x[:, :half] + x[:, half:]
    return x


TWO: Final = (F32, F32)
WORDS: Final[dict[str, Word]] = {
    "constant": Word((F32,), F64, lambda pen, a: pen.constant(2.5, a.lanes, F64), lambda a: np.full(a.shape, 2.5)),
    "like": Word((I32,), I32, lambda pen, a: pen.like(a, -7), lambda a: np.full(a.shape, -7)),
    "lane_numbers": Word((F32,), I32, lambda pen, a: pen.lane_numbers(a.lanes, 3),
                         lambda a: np.broadcast_to(np.arange(a.shape[1]) + 3, a.shape)),
    "lane_mask": Word((F32,), F32, lambda pen, a: truth(pen, pen.lane_mask(a.lanes, 3)),
                      lambda a: np.broadcast_to(np.arange(a.shape[1]) < 3, a.shape)),
    "fma": Word((F32, F32, F32), F32, lambda pen, a, b, c: pen.fma(a, b, c), fused, odd=False),
    "add": Word(TWO, F32, lambda pen, a, b: pen.add(a, b), np.add),
    "add of integers": Word((I32, I32), I32, lambda pen, a, b: pen.add(a, b), np.add),
    "sub": Word(TWO, F32, lambda pen, a, b: pen.sub(a, b), np.subtract),
    "sub of integers": Word((I64, I64), I64, lambda pen, a, b: pen.sub(a, b), np.subtract),
    "mul": Word(TWO, F32, lambda pen, a, b: pen.mul(a, b), np.multiply),
    "mul of integers": Word((I32, I32), I32, lambda pen, a, b: pen.mul(a, b), np.multiply),
    "div": Word(TWO, F32, lambda pen, a, b: pen.div(a, b), np.divide),
    "negative": Word((F32,), F32, lambda pen, a: pen.negative(a), np.negative),
    "sqrt": Word((F64,), F64, lambda pen, a: pen.sqrt(a), np.sqrt),
    "greater": Word(TWO, F32, lambda pen, a, b: truth(pen, pen.greater(a, b)), floats(np.greater)),
    "greater of integers": Word((I32, I32), F32, lambda pen, a, b: truth(pen, pen.greater(a, b)), floats(np.greater)),
    "not_greater": Word(TWO, F32, lambda pen, a, b: truth(pen, pen.not_greater(a, b)), floats(np.less_equal)),
    "equal": Word(TWO, F32, lambda pen, a, b: truth(pen, pen.equal(a, b)), floats(np.equal)),
    "equal of integers": Word((I32, I32), F32, lambda pen, a, b: truth(pen, pen.equal(a, b)), floats(np.equal)),
    "below": Word((I32, I32), F32, lambda pen, a, b: truth(pen, pen.below(a, b)),
                  lambda a, b: a.view(np.uint32) < b.view(np.uint32)),
    "not_numbers": Word(TWO, F32, lambda pen, a, b: truth(pen, pen.not_numbers(a, b)),
                        lambda a, b: np.isnan(a) | np.isnan(b)),
    "not_a_number": Word((F32,), F32, lambda pen, a: truth(pen, pen.not_a_number(a)), floats(np.isnan)),
    "select": Word(TWO, F32, lambda pen, a, b: pen.select(pen.greater(a, b), b, a), lambda a, b: np.where(a > b, b, a)),
    "either": Word((I32, I32), I32, lambda pen, a, b: pen.either(a, b), np.bitwise_or),
    "either of truths": Word(
        TWO, F32, lambda pen, a, b: truth(pen, pen.either(pen.not_a_number(a), pen.greater(a, b))),
        lambda a, b: np.isnan(a) | (a > b)),
    "both": Word((I32, I32), I32, lambda pen, a, b: pen.both(a, b), np.bitwise_and),
    "exclusive": Word((I32, I32), I32, lambda pen, a, b: pen.exclusive(a, b), np.bitwise_xor),
    "negation": Word(TWO, F32, lambda pen, a, b: truth(pen, pen.negation(pen.greater(a, b))), lambda a, b: ~(a > b)),
    "packed": Word(TWO, I64, lambda pen, a, b: pen.packed([pen.greater(a, b), pen.equal(a, b)]),
                   lambda a, b: (np.hstack([a > b, a == b]) << np.arange(2 * a.shape[1])).sum(1)),
    "shifted_left": Word((I32,), I32, lambda pen, a: pen.shifted_left(a, 5), lambda a: a << 5),
    "shifted_right": Word((I32,), I32, lambda pen, a: pen.shifted_right(a, 5), lambda a: a.view(np.uint32) >> 5),
    "multiply_add": Word((I8, I8, I32), I32, lambda pen, a, b, c: pen.multiply_add(a, b, pen.masked(c, 0x7FFF0FFF)),
                         lambda a, b, c: a.astype(np.int64) * b + (c & 0x7FFF0FFF)),
    "scaled": Word((I32, I32), I32, lambda pen, a, b: pen.scaled(a, b),
                   lambda a, b: np.floor(a.astype(np.longdouble) * b / 2**32 + np.longdouble(0.5))),
    "wide_product": Word((I32,), I32, lambda pen, a: list(pen.wide_product(a, 0xD2511F53)), lambda a: np.hstack(
        [a.view(np.uint32) * np.uint64(0xD2511F53) >> np.uint64(s) & np.uint64(0xFFFFFFFF) for s in (32, 0)])),
    "convert bytes": Word((U8,), F32, lambda pen, a: pen.convert(a, F32), floats(np.asarray)),
    "convert": Word((F32,), F64, lambda pen, a: pen.convert(a, F64), lambda a: a.astype(np.float64)),
    "convert to less": Word((F64,), F32, lambda pen, a: pen.convert(a, F32), floats(np.asarray)),
    "convert integers": Word((I32,), F32, lambda pen, a: pen.convert(a, F32), floats(np.asarray)),
    "convert to longer": Word((I32,), I64, lambda pen, a: pen.convert(a, I64), lambda a: a.astype(np.int64)),
    "convert to shorter": Word((I64,), I32, lambda pen, a: pen.convert(a, I32), lambda a: a.astype(np.int32)),
    "convert from a signed byte": Word((I8,), F32, lambda pen, a: pen.convert(a, F32), floats(np.asarray)),
    "convert a signed byte": Word((I8,), I32, lambda pen, a: pen.convert(a, I32), lambda a: a.astype(np.int32)),
    "convert an unsigned byte": Word((U8,), I32, lambda pen, a: pen.convert(a, I32), lambda a: a.astype(np.int32)),
    "convert to a byte": Word((I32,), I8, lambda pen, a: pen.convert(a, I8), lambda a: a.astype(np.int8)),
    "greater of bytes": Word((I8, I8), F32, lambda pen, a, b: truth(pen, pen.greater(a, b)), floats(np.greater)),
    "bits": Word((F32,), I32, lambda pen, a: pen.bits(a, I32), lambda a: a.view(np.int32)),
    "cut_off": Word((F32,), I32, lambda pen, a: pen.cut_off(a), np.trunc, odd=False),
    "whole_below": Word((F32,), I32, lambda pen, a: pen.whole_below(a), np.floor, odd=False),
    "masked": Word((I32,), I32, lambda pen, a: pen.masked(a, 0xFF0), lambda a: a & 0xFF0),
    "relu": Word((F32,), F32, lambda pen, a: pen.relu(a), lambda a: np.where(a < 0, np.float32(0), a)),
    "magnitude": Word((F32,), F32, lambda pen, a: pen.magnitude(a), np.abs),
    "with_sign": Word(TWO, F32, lambda pen, a, b: pen.with_sign(pen.magnitude(a), b), np.copysign),
    "splat": Word((F32,), F32, lambda pen, a: pen.splat(pen.fold(a, "largest"), a.lanes),
                  lambda a: np.broadcast_to(a.max(1, keepdims=True), a.shape), odd=False),
    "from_lanes": Word(
        TWO, F32, lambda pen, a, b: pen.from_lanes([pen.lane(x, pen.index(i)) for i in range(a.lanes) for x in (a, b)]),
        weave),
    "some_lanes": Word((F32,), F32, lambda pen, a: pen.some_lanes(a, [1, 3]) if a.lanes > 1 else a,
                       lambda a: a[:, [1, 3]] if a.shape[1] > 1 else a),
    "shuffled": Word(TWO, F32, lambda pen, a, b: pen.shuffled(a, b, [a.lanes, 0]) if a.lanes > 1 else a,
                     lambda a, b: np.stack([b[:, 0], a[:, 0]], 1) if a.shape[1] > 1 else a),
    "first_lanes": Word(TWO, F32, lambda pen, a, b: pen.first_lanes(a, 3, b),
                        lambda a, b: np.where(np.arange(a.shape[1]) < 3, a, b)),
    "reversed_lanes": Word((F32,), F32, lambda pen, a: pen.reversed_lanes(a), lambda a: a[:, ::-1]),
    "fold": Word((F32,), F32, lambda pen, a: pen.fold(a), tree, odd=False),
    "fold to the largest": Word((F32,), F32, lambda pen, a: pen.fold(a, "largest"),
                                lambda a: a.max(1, keepdims=True), odd=False),
    "fold to the smallest": Word((I32,), I32, lambda pen, a: pen.fold(a, "smallest"),
                                 lambda a: a.min(1, keepdims=True)),
    "picked": Word((F32, F32, F32), F32, lambda pen, *v: pen.picked(list(v), 1, 3, v[0].lanes),
                   lambda *v: np.hstack(v)[:, 1::3]),
    "woven": Word(TWO, F32, lambda pen, a, b: pen.woven([a, b]), weave),
    "woven by three": Word((F32, F32, F32), F32, lambda pen, *v: pen.woven(list(v)), weave),
}  # fmt: skip
"""The words for values; some on several types."""


@dataclass(frozen=True)
class Alone(Kernel):
    """One word on vectors of so many lanes, one behind the other."""

    name: str
    lanes: int

    @property
    def word(self) -> Word:
        return WORDS[self.name]

    @property
    def symbol(self) -> str:
        return "word"

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        inputs = {f"x{k}": reads(N, dtype) for k, dtype in enumerate(self.word.of)}
        return {**inputs, "y": sets(4 * N, self.word.makes)}

    def write(self, pen: Pen) -> None:
        with pen.loop("row", pen.count("images")) as row:
            values = [pen.load(pen.pointer(f"x{k}"), row * self.lanes, self.lanes) for k in range(len(self.word.of))]
            made = self.word.write(pen, *values)
            made = made if isinstance(made, list) else [made]
            width = sum(value.lanes for value in made)
            for k, value in enumerate(made):
                pen.store(value, pen.pointer("y"), row * width + k * value.lanes)


def some(dtype: DType, number: int, *, odd: bool) -> np.ndarray:
    numbers = np.random.default_rng(number)
    if dtype in (F32, F64):
        found = numbers.integers(-4000, 4000, N) / 64
        found[: len(ODD) * odd] = np.roll(ODD, number)[: len(ODD) * odd]
    else:
        low, high = {U8: (0, 256), I8: (-128, 128)}.get(dtype, (-(2**31), 2**31))
        found = numbers.integers(low, high, N)
        found[:4] = found[4]  # so that some are equal to those of another argument
        found[:2] = (0, 1)
    memory = aligned(N, NUMPY[dtype])
    memory[:] = found
    return memory


MACHINES: Final = {"host": host(), "4 lanes": named(lanes=4), "1 lane": named(lanes=1)}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", WORDS)
def test_a_word_for_values_does_what_numpy_does(name: str, machine: str) -> None:
    """On NaN, infinities and negative zero too, bit for bit but for the sign of a NaN."""
    word, lanes = WORDS[name], MACHINES[machine].lanes
    arrays = [some(dtype, k, odd=word.odd) for k, dtype in enumerate(word.of)]
    y = aligned(4 * N, NUMPY[word.makes])
    run(
        Alone(name, lanes),
        MACHINES[machine],
        {**{f"x{k}": x for k, x in enumerate(arrays)}, "y": y},
        images=N // lanes,
    )
    with np.errstate(all="ignore"):
        wanted = np.asarray(word.numpy(*(x.reshape(-1, lanes) for x in arrays))).astype(y.dtype).reshape(-1)
    np.testing.assert_array_equal(y[: len(wanted)], wanted)
    if word.makes in (F32, F64):
        numbers = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(y[: len(wanted)])[numbers], np.signbit(wanted)[numbers])
        assert np.isnan(y[len(wanted) :]).all()


def test_fma_rounds_once_where_the_machine_can() -> None:
    """(1 + 2⁻¹²)² − (1 + 2⁻¹¹) is 2⁻²⁴ rounded once, and 0 rounded twice."""
    for machine in (named(lanes=4), named("x86-64")) if host().triple.startswith("x86_64") else (host(),):
        arrays = [aligned(N) for _ in range(3)]
        for array, value in zip(arrays, (1 + 2.0**-12, 1 + 2.0**-12, -1 - 2.0**-11), strict=True):
            array[:] = value
        y = aligned(4 * N)
        run(Alone("fma", 4), machine, {**{f"x{k}": x for k, x in enumerate(arrays)}, "y": y}, images=1)
        assert (y[:4] == (2.0**-24 if machine.fma else 0)).all()


OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": lambda a, b: a + b + 3 + a,
    "-": lambda a, b: (a + 2) - (b - 7),
    "from a constant": lambda a, b: 9 - a + b * 0,
    "*": lambda a, b: (a + 1) * (b + 2) + a * 4,
    "//": lambda a, b: (a + 40) // (b + 40),
    "divmod": lambda a, b: divmod(a + 40, 7)[0] * 100 + divmod(b + 40, 7)[1],
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
"""What is done with indices as with Python's numbers."""

PLACES: Final[dict[str, tuple[Callable[[Pen, Index, Index], Any], Callable[[int, int], int]]]] = {
    "is_": (lambda _, a, b: a.is_(b), operator.eq),
    "within": (lambda _, a, b: (a + b).within(3), lambda a, b: 0 <= a + b < 3),
    "index": (lambda pen, a, b: pen.index(-5) + a + b, lambda a, b: a + b - 5),
    "chosen": (lambda pen, a, b: pen.chosen(a < 0, a + 1, b + 2), lambda a, b: a + 1 if a < 0 else b + 2),
    "smaller": (lambda pen, a, b: pen.smaller(a, b), min),
    "larger": (lambda pen, a, b: pen.larger(a, b), max),
    "clipped": (
        lambda pen, a, b: pen.clipped(a, 5, 4)[0] * 100 + pen.clipped(b, 5, 4)[1],
        lambda a, b: max(a, 0) * 100 + min(b + 5, 4),
    ),
    "as_value": (lambda pen, a, b: pen.as_value(a + b + 1), lambda a, b: a + b + 1),
    "count": (lambda pen, a, b: pen.count("images") + a + b, lambda a, b: N + a + b),
}
"""What else is: as written, and as Python does it."""


@dataclass(frozen=True)
class Places(Kernel):
    """What is done with indices, on pairs of them: as_index makes them."""

    name: str

    @property
    def symbol(self) -> str:
        return "places"

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"a": reads(N, I64), "b": reads(N, I32), "y": sets(N, I64)}

    def write(self, pen: Pen) -> None:
        with pen.loop("i", pen.count("images")) as i:
            a, b = (pen.as_index(pen.load(pen.pointer(name), i)) for name in "ab")
            made = OPERATORS[self.name](a, b) if self.name in OPERATORS else PLACES[self.name][0](pen, a, b)
            if not isinstance(made, type(a)) and made.dtype is None:
                made = pen.chosen(made, pen.index(1), pen.index(0))
            pen.store(pen.as_value(made) if isinstance(made, type(a)) else made, pen.pointer("y"), i)


@pytest.mark.parametrize("name", [*OPERATORS, *PLACES])
def test_indices_are_numbers(name: str) -> None:
    """Of either sign, as Python's are; what is divided is not negative."""
    a, b, y = aligned(N, np.int64), aligned(N, np.int32), aligned(N, np.int64)
    a[:], b[:] = np.arange(N) - 12, np.arange(N) * 7 % 11 - 5
    run(Places(name), host(), {"a": a, "b": b, "y": y}, images=N)
    wanted = OPERATORS[name] if name in OPERATORS else PLACES[name][1]
    assert y.tolist() == [int(wanted(int(p), int(q))) for p, q in zip(a, b, strict=True)]


def loops(pen: Pen) -> None:
    with pen.loop("i", 7, 2, step=2) as i, pen.loop("j", pen.count("images"), i) as j, pen.loop("once", 1) as k:
        pen.store(pen.load(pen.pointer("x"), j), pen.pointer("y"), i * 8 + j + k)


def whens(pen: Pen) -> None:
    with pen.loop("i", pen.count("images")) as i, pen.when(i > 3):
        pen.store(pen.load(pen.pointer("x"), i), pen.pointer("y"), i)


def variables(pen: Pen) -> None:
    total = pen.variable(pen.constant(1.0))
    with pen.loop("i", pen.count("images")) as i:
        pen.write(total, pen.add(pen.read(total), pen.load(pen.pointer("x"), i)))
        pen.store(pen.read(total), pen.pointer("y"), i)


def ones(pen: Pen) -> None:
    for first, most, bits in ((0, 64, BITS), (64, 5, BITS), (128, 64, 0)):
        with pen.ones(pen.constant(bits, 1, I64), most) as i:
            pen.store(pen.load(pen.pointer("x"), pen.smaller(i, N - 1)), pen.pointer("y"), i + first)


def lanes_by_number(pen: Pen) -> None:
    lanes = pen.machine.lanes
    with pen.loop("i", lanes) as i:
        pen.store(pen.lane(pen.load(pen.pointer("x"), 4, lanes), i), pen.pointer("y"), i * 2)


def tails(pen: Pen) -> None:
    lanes = pen.machine.lanes
    for count in range(1, lanes):
        pen.store(pen.load(pen.pointer("x"), 0, lanes), pen.at(pen.pointer("y"), 1), 20 * count, count)


def broadcasts(pen: Pen) -> None:
    pen.prefetch(pen.pointer("x"), 1 << 40)
    value = pen.mul(pen.broadcast(pen.pointer("x"), 3, 4), pen.splat(pen.scalar("rate"), 4))
    pen.store(value, pen.pointer("y"), 8)


def expected(name: str, x: np.ndarray, lanes: int) -> dict[int, float]:
    if name == "loop":
        return {i * 8 + j: x[j] for i in (2, 4, 6) for j in range(i, 8)}
    if name == "when":
        return {i: x[i] for i in range(4, 8)}
    if name == "variable":
        return dict(enumerate(1 + np.cumsum(x[:8])))
    if name == "ones":
        set_bits = [i for i in range(64) if BITS >> i & 1]
        return {i: x[min(i, N - 1)] for i in set_bits} | {64 + i: x[i] for i in set_bits if i < 5}
    if name == "lane":
        return {2 * i: x[4 + i] for i in range(lanes)}
    if name == "store":
        return {1 + 20 * count + k: x[k] for count in range(1, lanes) for k in range(count)}
    return {8 + k: 3 * x[3] for k in range(4)}


BODIES: Final = {"loop": loops, "when": whens, "variable": variables, "store": tails, "broadcast": broadcasts,
                 "ones": ones, "lane": lanes_by_number}  # fmt: skip


@dataclass(frozen=True)
class Body(Kernel):
    """A few lines with loops, conditions, variables and memory."""

    name: str

    @property
    def symbol(self) -> str:
        return "body"

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        return ("rate",)

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(N), "y": sets(16 * N)}

    def write(self, pen: Pen) -> None:
        BODIES[self.name](pen)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", BODIES)
def test_loops_conditions_and_memory(name: str, machine: str) -> None:
    """What is to be written is, and everything else is as it was: a tail of each length touches nothing behind it."""
    x, y = some(F32, 0, odd=False), aligned(16 * N)
    run(Body(name), MACHINES[machine], {"x": x, "y": y}, images=8, rate=3.0)
    wanted = np.full(16 * N, np.nan, np.float32)
    for place, value in expected(name, x, MACHINES[machine].lanes).items():
        wanted[place] = value
    np.testing.assert_array_equal(y, wanted)


ELSEWHERE: Final = {"counted", "read", "write", "at", "load", "pointer", "scalar", "as_index", "prefetch"}
"""Words that the bodies above are full of."""
CALLED: Final = {"call_address"}
"""What machine code calls is Python's: `test_a_function_of_the_caller_gets_its_number`."""
CLOCK: Final = {"ticks"}
"""What it reads is no function of its arguments: `test_the_clock_advances`."""
INTEGERS: Final = {"literal", "integer", "compared"}
"""What Index is made of."""


def test_every_word_of_a_kernel_s_pen_is_tried() -> None:
    """A new word comes with a line above."""
    words = {name for name, _ in inspect.getmembers(Pen) if not name.startswith("_")}
    tried = {name.partition(" ")[0] for name in WORDS} | (PLACES.keys() & words) | BODIES.keys()
    assert words == tried | ELSEWHERE | INTEGERS | CALLED | CLOCK


def test_the_clock_advances() -> None:
    """The clock is read where the kernel says: before and after four million multiply-adds, each waiting for the last
    (at 6 GHz and 4 cycles each 2.7 ms; the slowest clocks tick 20 million times a second)."""
    kernel, ticks = Peak(host().lanes, 8), aligned(2, np.int64)
    arrays = {name: aligned(8 * kernel.lanes, fill=0.5) for name in ("a", "b", "s")}
    run(kernel, host(), {**arrays, "ticks": ticks}, images=1_000_000)
    assert ticks[1] - ticks[0] > 50_000


def test_a_function_of_the_caller_gets_its_number() -> None:
    """A kernel calls it by the address that it is given."""
    called: list[int] = []
    function = ctypes.CFUNCTYPE(None, ctypes.c_int)(called.append)
    address = ctypes.cast(function, ctypes.c_void_p).value
    kernel = Exchange(7, ((3, DType.F64), (2, DType.F32)))
    module = LlvmPen.module(host())
    pen = LlvmPen.begin(module, host(), "call", kernel.pointers, kernel.scalars)
    kernel.write(pen)
    pen.end()
    code = jit.linked(jit.object_code(str(module), host()), host(), ["call"])
    code.function("call", [*[ctypes.c_void_p] * 5, ctypes.c_int64])(address, 0, 0, 0, 0, 0)
    assert called == [7]


def test_a_loop_that_never_runs_is_refused() -> None:
    """Known bounds are known to be wrong while writing."""
    with pytest.raises(ValueError, match=r"loop i runs from 7 to 7: never"):
        run(_Never(), host(), {"x": some(F32, 0, odd=False), "y": aligned(N)}, images=1)


@dataclass(frozen=True)
class _Never(Kernel):
    @property
    def symbol(self) -> str:
        return "never"

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(N), "y": sets(N)}

    def write(self, pen: Pen) -> None:
        with pen.loop("i", 7, 7):
            pass


@pytest.mark.parametrize("training", [False, True])
def test_code_for_addresses_of_32_bits_is_valid(training: bool) -> None:
    """LLVM's verifier finds no fault with a whole Program for wasm32, whose places are counted in 32 bits."""
    machine = Machine("wasm32-unknown-unknown", "generic", "", 1, 16, fma=False)
    network = read("lenet5", input_shape=SHAPES["lenet5"], classes=10)
    text = write_module(plan(network, machine, task_of(Recipe(), training=training)), machine)
    jit.alone(lambda: llvm.parse_assembly(text).verify())
    counters = re.findall(r"phi +(\w+)", text)
    assert set(counters) == {"i32"}


COMPILER: Final = Path(layerline.compiler.__file__).parent


def test_only_the_llvm_pen_and_the_jit_know_llvm() -> None:
    """A pen for another language needs another pen, and nothing else."""
    knows = {
        path.name
        for path in COMPILER.rglob("*.py")
        if re.search(r"^\s*(from|import) (llvmlite|layerline\.compiler\.llvm_(?!pen))", path.read_text(), re.M)
    }
    assert knows == {"llvm_values.py", "llvm_arithmetic.py", "llvm_pen.py", "jit.py", "machine.py"}


def test_kernels_write_no_address_of_an_image_by_hand() -> None:
    """Where a value lies is the plane's word: another layout changes `plane.py`, and no kernel."""
    for path in (COMPILER / "kernels").glob("*.py"):
        if not path.stem.endswith("_lower"):
            assert not re.search(r"\.pitch\b|\.origin\b|\broom\((?!self)", path.read_text()), path.name
