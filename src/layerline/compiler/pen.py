"""The words that kernels are written in, and all address arithmetic.

A kernel is a Python function that writes LLVM IR with a Pen. `with pen.loop(...)` is a loop in the code that is
written;
a Python `for` unrolls now, while writing. A vector of one lane is a plain number.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from llvmlite import ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerline.compiler.machine import Machine

Value = Any
"""An llvmlite.ir value; llvmlite has no types."""

I1, I8, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
POINTER = ir.PointerType()
TYPES: Final = {"u8": I8, "i32": I32, "i64": I64, "f32": F32, "f64": F64}
BYTES: Final = {"u8": 1, "i32": 4, "i64": 8, "f32": 4, "f64": 8}


@dataclass(frozen=True, eq=False)
class Pointer:
    """An address in memory and the type of what lies there."""

    value: Value
    dtype: str


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


class Pen:
    """Writes one function: the kernel's arguments by name, loops, memory, arithmetic."""

    def __init__(
        self,
        module: ir.Module,
        machine: Machine,
        symbol: str,
        pointers: dict[str, str],
        scalars: Sequence[str],
        *,
        alone: bool = True,
    ) -> None:
        """Begin function `symbol` of (pointers…, scalars…); scalars are 64-bit integers, or float where SCALARS says
        so.

        `alone`: what the pointers lead to does not overlap, and no other thread changes it.
        """
        self.module, self.machine = module, machine
        types = [POINTER] * len(pointers) + [TYPES[SCALARS.get(name, "i64")] for name in scalars]
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), types), symbol)
        self.function.attributes.add("nounwind")
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self._entry = ir.IRBuilder(self.builder.block)
        self._body = self.function.append_basic_block("body")
        self.builder.position_at_end(self._body)
        self._pointers: dict[str, Pointer] = {}
        self._scalars: dict[str, Value] = {}
        for argument, (name, dtype) in zip(self.function.args, pointers.items(), strict=False):
            if alone:
                argument.add_attribute("noalias")
            self._pointers[name] = Pointer(argument, dtype)
        for argument, name in zip(self.function.args[len(pointers) :], scalars, strict=True):
            self._scalars[name] = argument

    def end(self) -> None:
        """Finish the function."""
        self.builder.ret_void()
        self._entry.branch(self._body)

    # -- arguments, constants ---------------------------------------------------------------------------

    def pointer(self, name: str) -> Pointer:
        """Return a pointer argument."""
        return self._pointers[name]

    def scalar(self, name: str) -> Value:
        """Return a scalar argument as a value."""
        return self._scalars[name]

    def count(self, name: str) -> Index:
        """Return an integer argument as an index expression."""
        return Index(self.builder, self._scalars[name])

    def index(self, constant: int) -> Index:
        """Return a constant as an index expression."""
        return Index(self.builder, None, constant)

    def as_index(self, value: Value) -> Index:
        """Return an integer value as an index expression."""
        return Index(self.builder, self.convert(value, "i64"))

    def divided(self, index: Index, divisor: int) -> tuple[Index, Index]:
        """Return the quotient and the remainder of an index that is not negative."""
        value, by = index.whole, ir.Constant(I64, divisor)
        return Index(self.builder, self.builder.udiv(value, by)), Index(self.builder, self.builder.urem(value, by))

    def chosen(self, condition: Value, then: Index, otherwise: Index) -> Index:
        """Return one of two index expressions."""
        return Index(self.builder, self.builder.select(condition, then.whole, otherwise.whole))

    def within(self, index: Index, count: int) -> Value:
        """Return whether 0 ≤ index < count."""
        return self.builder.icmp_unsigned("<", index.whole, ir.Constant(I64, count))

    def sum(self, a: Index, b: Index) -> Index:
        """Return a + b."""
        return a + b

    def rest(self, a: Index, b: Index) -> Index:
        """Return a − b."""
        return Index(self.builder, self.builder.sub(a.whole, b.whole))

    def smaller(self, a: Index, b: Index | int) -> Index:
        """Return the smaller of two index expressions."""
        b = self.index(b) if isinstance(b, int) else b
        return self.chosen(self.at_least(a, b), b, a)

    def at_least(self, a: Index, b: Index | int) -> Value:
        """Return whether a ≥ b."""
        b = self.index(b) if isinstance(b, int) else b
        return self.builder.icmp_signed(">=", a.whole, b.whole)

    def is_zero(self, a: Index) -> Value:
        """Return whether an index expression is zero."""
        return self.builder.icmp_signed("==", a.whole, ir.Constant(I64, 0))

    def product(self, a: Index, b: Index) -> Index:
        """Return the product of two index expressions."""
        return Index(self.builder, self.builder.mul(a.whole, b.whole))

    def clipped(self, first: Index, size: int, limit: int) -> tuple[Index, Index]:
        """Return [first, first + size) cut to [0, limit)."""
        start, end = first.whole, (first + size).whole
        zero, most = ir.Constant(I64, 0), ir.Constant(I64, limit)
        start = self.builder.select(self.builder.icmp_signed("<", start, zero), zero, start)
        end = self.builder.select(self.builder.icmp_signed(">", end, most), most, end)
        return Index(self.builder, start), Index(self.builder, end)

    def constant(self, number: float, lanes: int = 1, dtype: str = "f32") -> Value:
        """Return `number` in every lane."""
        element = TYPES[dtype]
        one = ir.Constant(element, number)
        return one if lanes == 1 else ir.Constant(ir.VectorType(element, lanes), [one] * lanes)

    def lane_numbers(self, lanes: int, first: int = 0) -> Value:
        """Return i32 lanes first, first+1, …"""
        numbers = [ir.Constant(I32, first + lane) for lane in range(lanes)]
        return numbers[0] if lanes == 1 else ir.Constant(ir.VectorType(I32, lanes), numbers)

    # -- control ---------------------------------------------------------------------------

    @contextmanager
    def loop(self, name: str, stop: int | Index, start: int | Index = 0, step: int = 1) -> Iterator[Index]:
        """Write a counted loop; yields its index. A loop known to run once is not a loop; known bounds must run
        once."""
        if isinstance(start, int) and isinstance(stop, int):
            if stop <= start:
                raise ValueError(f"loop {name} runs from {start} to {stop}: never")
            if start + step >= stop:
                yield self.index(start)
                return
        first = self.index(start) if isinstance(start, int) else start
        last = self.index(stop) if isinstance(stop, int) else stop
        b, before = self.builder, self.builder.block
        first_value, last_value = first.whole, last.whole
        body, end = b.append_basic_block(name), b.append_basic_block(f"{name}_end")
        if first.value is None and last.value is None:
            b.branch(body)
        else:
            b.cbranch(b.icmp_signed("<", first_value, last_value), body, end)
        b.position_at_end(body)
        i = b.phi(I64, name)
        i.add_incoming(first_value, before)
        yield Index(b, i)
        following = b.add(i, ir.Constant(I64, step), flags=("nsw",))
        i.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, last_value), body, end)
        b.position_at_end(end)

    @contextmanager
    def repeat(self, name: str, start: int | Index = 0) -> Iterator[tuple[Index, Callable[[Value], None]]]:
        """Write a loop without an end; yields its count and a function that leaves it where a condition holds."""
        first = self.index(start) if isinstance(start, int) else start
        b, before = self.builder, self.builder.block
        first_value = first.whole
        body, end = b.append_basic_block(name), b.append_basic_block(f"{name}_end")
        b.branch(body)
        b.position_at_end(body)
        i = b.phi(I64, name)
        i.add_incoming(first_value, before)

        def leave(condition: Value) -> None:
            onward = b.append_basic_block(f"{name}_on")
            b.cbranch(condition, end, onward)
            b.position_at_end(onward)

        yield Index(b, i), leave
        i.add_incoming(b.add(i, ir.Constant(I64, 1)), b.block)
        b.branch(body)
        b.position_at_end(end)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Write code that runs only where `condition` holds."""
        with self.builder.if_then(condition):
            yield

    def variable(self, initial: Value) -> Variable:
        """Return a variable that starts as `initial`."""
        slot = self._entry.alloca(initial.type)
        self.builder.store(initial, slot)
        return Variable(slot, initial.type)

    def read(self, variable: Variable) -> Value:
        """Return a variable's value."""
        return self.builder.load(variable.slot, typ=variable.type)

    def write(self, variable: Variable, value: Value) -> None:
        """Change a variable."""
        self.builder.store(value, variable.slot)

    # -- memory ---------------------------------------------------------------------------

    def at(self, pointer: Pointer, index: Index | int) -> Pointer:
        """Return the pointer `index` elements on."""
        index = self.index(index) if isinstance(index, int) else index
        value, element = pointer.value, TYPES[pointer.dtype]
        if index.value is not None:
            value = self.builder.gep(value, [index.value], source_etype=element)
        if index.constant:
            value = self.builder.gep(value, [ir.Constant(I64, index.constant)], source_etype=element)
        return Pointer(value, pointer.dtype)

    def load(self, pointer: Pointer, index: Index | int = 0, lanes: int = 1) -> Value:
        """Return `lanes` neighbouring elements; no alignment beyond the element's is assumed."""
        typ = vector_type(TYPES[pointer.dtype], lanes)
        return self.builder.load(self.at(pointer, index).value, typ=typ, align=BYTES[pointer.dtype])

    def store(self, value: Value, pointer: Pointer, index: Index | int = 0, count: int | None = None) -> None:
        """Store the first `count` lanes (all, if not given) and touch nothing behind them."""
        lanes = lanes_of(value)
        count = lanes if count is None else count
        to, done = self.at(pointer, index), 0
        while done < count:
            piece = min(lanes, 1 << (count - done).bit_length() - 1)
            part = value if piece == lanes else self._lanes(value, range(done, done + piece))
            self.builder.store(part, self.at(to, done).value, align=BYTES[pointer.dtype])
            done += piece

    def broadcast(self, pointer: Pointer, index: Index | int, lanes: int) -> Value:
        """Return one element in every lane."""
        return self.splat(self.load(pointer, index), lanes)

    def fill_zero(self, memory: Pointer, size: int) -> None:
        """Write zeros over `size` bytes, a multiple of a cache line."""
        lanes = self.machine.lanes
        floats = Pointer(memory.value, "f32")
        with self.loop("zero", size // BYTES["f32"], step=lanes) as i:
            self.store(self.constant(0.0, lanes), floats, i)

    # -- other functions, other threads ---------------------------------------------------------------------------

    def call(self, function: Value, arguments: list[Value]) -> None:
        """Call a function written by another pen."""
        self.builder.call(function, arguments)

    def call_address(self, address: Pointer, *numbers: int) -> None:
        """Call a C function of int arguments by its address."""
        self.builder.call(_Callee(address.value, len(numbers)), [ir.Constant(I32, number) for number in numbers])

    def pause(self) -> None:
        """Tell the CPU that this is a waiting loop, where it has a word for that."""
        if self.machine.triple.startswith("x86_64"):
            name = "llvm.x86.sse2.pause"
            found = self.module.globals.get(name)
            self.builder.call(found or ir.Function(self.module, ir.FunctionType(ir.VoidType(), []), name), [])

    def atomic_add(self, memory: Pointer, number: int) -> Value:
        """Add to a shared 64-bit integer; returns what it was. Everything written before is seen by who reads it
        after."""
        return self.builder.atomic_rmw("add", memory.value, ir.Constant(I64, number), "acq_rel")

    def atomic_claim(self, memory: Pointer, seen: Value) -> Value:
        """Add 1 to a shared 64-bit integer if it still is what was seen; returns whether it was."""
        following = self.builder.add(seen, ir.Constant(I64, 1))
        pair = self.builder.cmpxchg(memory.value, seen, following, "acq_rel", "acquire")
        return self.builder.extract_value(pair, 1)

    def atomic_load(self, memory: Pointer) -> Value:
        """Return a shared 64-bit integer."""
        return self.builder.load_atomic(memory.value, "acquire", 8, typ=I64)

    def atomic_store(self, value: Value, memory: Pointer) -> None:
        """Change a shared 64-bit integer. (An exchange: llvmlite's atomic store refuses opaque pointers.)"""
        self.builder.atomic_rmw("xchg", memory.value, value, "acq_rel")

    # -- arithmetic ---------------------------------------------------------------------------

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
        zero = self.constant(0.0, lanes_of(x), "f32")
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

    def bits(self, value: Value, dtype: str) -> Value:
        """Return the same bits as another type of the same size."""
        return self.builder.bitcast(value, vector_type(TYPES[dtype], lanes_of(value)))

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

    def convert(self, value: Value, dtype: str) -> Value:
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

    def _lanes(self, value: Value, which: range) -> Value:
        if len(which) == 1:
            return self.builder.extract_element(value, ir.Constant(I32, which[0]))
        mask = ir.Constant(ir.VectorType(I32, len(which)), list(which))
        return self.builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)

    def _intrinsic(self, name: str, typ: Value, arguments: int) -> Value:
        found = self.module.globals.get(name)
        return found or ir.Function(self.module, ir.FunctionType(typ, [typ] * arguments), name)


SCALARS: Final = {"inverse": "f32", "rate": "f32"}
"""Scalar arguments that are not 64-bit integers: 1 / batch, and the learning rate."""


@cache
def _splat_constants(element: Value, lanes: int) -> tuple[Value, Value, Value]:
    zero = ir.Constant(I32, 0)
    return (
        ir.Constant(ir.VectorType(element, lanes), ir.Undefined),
        zero,
        ir.Constant(ir.VectorType(I32, lanes), [0] * lanes),
    )


class _Callee:
    """An address as llvmlite's `call` wants a function: with a type."""

    def __init__(self, address: Value, arguments: int) -> None:
        self.address, self.function_type = address, ir.FunctionType(ir.VoidType(), [I32] * arguments)

    def __getattr__(self, name: str) -> Value:
        return getattr(self.address, name)


def _is_float(value: Value) -> bool:
    element = value.type.element if isinstance(value.type, ir.VectorType) else value.type
    return isinstance(element, (ir.FloatType, ir.DoubleType))


def _suffix(typ: Value) -> str:
    if isinstance(typ, ir.VectorType):
        return f"v{typ.count}{_suffix(typ.element)}"
    return "f32" if typ == F32 else "f64"
