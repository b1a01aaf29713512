"""The words that kernels are written in, and all address arithmetic.

A kernel is a Python function that writes LLVM IR with a Pen. `with pen.loop(...)` is a loop in the code that is
written; a Python `for` unrolls now, while writing. A vector of one lane is a plain number.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, final

from llvmlite import ir

from layerline.compiler.arithmetic import Arithmetic
from layerline.compiler.dtype import DType
from layerline.compiler.values import (
    I32,
    I64,
    PACE,
    POINTER,
    TYPES,
    Index,
    Pointer,
    Value,
    Variable,
    lanes_of,
    vector_type,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerline.compiler.machine import Machine

SCALARS: Final = dict.fromkeys(PACE, DType.F32)
"""Scalar arguments that are not 64-bit integers."""


@final
class Pen(Arithmetic):
    """Writes one function: the kernel's arguments by name, loops, memory, arithmetic."""

    def __init__(
        self,
        module: ir.Module,
        machine: Machine,
        symbol: str,
        pointers: dict[str, DType],
        scalars: Sequence[str],
        *,
        alone: bool = True,
    ) -> None:
        """Begin function `symbol` of (pointers…, scalars…); scalars are 64-bit integers, or float where SCALARS says
        so.

        `alone`: what the pointers lead to does not overlap, and no other thread changes it.
        """
        self.module, self.machine = module, machine
        types = [POINTER] * len(pointers) + [TYPES[SCALARS.get(name, DType.I64)] for name in scalars]
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

    def keep_inside(self) -> None:
        """Let only this module call the function, and never copy it into who calls."""
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")

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
        return Index(self.builder, self.convert(value, DType.I64))

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

    def larger(self, a: Index, b: Index) -> Index:
        """Return the larger of two index expressions."""
        return self.chosen(self.at_least(a, b), a, b)

    def quotient(self, a: Index, b: Index) -> Index:
        """Return a // b of index expressions that are not negative."""
        return Index(self.builder, self.builder.udiv(a.whole, b.whole))

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
        return self.builder.load(self.at(pointer, index).value, typ=typ, align=pointer.dtype.bytes)

    def store(self, value: Value, pointer: Pointer, index: Index | int = 0, count: int | None = None) -> None:
        """Store the first `count` lanes (all, if not given) and touch nothing behind them."""
        lanes = lanes_of(value)
        count = lanes if count is None else count
        to, done = self.at(pointer, index), 0
        while done < count:
            piece = min(lanes, 1 << (count - done).bit_length() - 1)
            part = value if piece == lanes else self._lanes(value, range(done, done + piece))
            self.builder.store(part, self.at(to, done).value, align=pointer.dtype.bytes)
            done += piece

    def prefetch(self, pointer: Pointer, index: Index | int) -> None:
        """Ask for the cache line of an element; one outside of all memory does no harm."""
        name = "llvm.prefetch.p0"
        typ = ir.FunctionType(ir.VoidType(), [POINTER, I32, I32, I32])
        function = self.module.globals.get(name) or ir.Function(self.module, typ, name)
        read, keep, data = ir.Constant(I32, 0), ir.Constant(I32, 3), ir.Constant(I32, 1)
        self.builder.call(function, [self.at(pointer, index).value, read, keep, data])

    def broadcast(self, pointer: Pointer, index: Index | int, lanes: int) -> Value:
        """Return one element in every lane."""
        return self.splat(self.load(pointer, index), lanes)

    def fill_zero(self, memory: Pointer, size: int) -> None:
        """Write zeros over `size` bytes, a multiple of a cache line."""
        lanes = self.machine.lanes
        floats = Pointer(memory.value, DType.F32)
        with self.loop("zero", size // DType.F32.bytes, step=lanes) as i:
            self.store(self.constant(0.0, lanes), floats, i)

    # -- other functions, other threads ---------------------------------------------------------------------------

    def call(self, function: Value, arguments: list[Value]) -> None:
        """Call a function written by another pen."""
        self.builder.call(function, arguments)

    def call_like(self, like: Value, address: Pointer, arguments: list[Value]) -> None:
        """Call a function by its address; it takes what the function `like` takes."""
        self.builder.call(_Callee(address.value, like.function_type), arguments)

    def call_address(self, address: Pointer, *numbers: int) -> None:
        """Call a C function of int arguments by its address."""
        typ = ir.FunctionType(ir.VoidType(), [I32] * len(numbers))
        self.builder.call(_Callee(address.value, typ), [ir.Constant(I32, number) for number in numbers])

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

    def atomic_claim(self, memory: Pointer, seen: Value, following: Value) -> Value:
        """Change a shared 64-bit integer if it still is what was seen; returns whether it was."""
        pair = self.builder.cmpxchg(memory.value, seen, following, "acq_rel", "acquire")
        return self.builder.extract_value(pair, 1)

    def atomic_load(self, memory: Pointer) -> Value:
        """Return a shared 64-bit integer."""
        return self.builder.load_atomic(memory.value, "acquire", 8, typ=I64)

    def atomic_store(self, value: Value, memory: Pointer) -> None:
        """Change a shared 64-bit integer. (An exchange: llvmlite's atomic store refuses opaque pointers.)"""
        self.builder.atomic_rmw("xchg", memory.value, value, "acq_rel")


class _Callee:
    """An address as llvmlite's `call` wants a function: with a type."""

    def __init__(self, address: Value, typ: ir.FunctionType) -> None:
        self.address, self.function_type = address, typ

    def __getattr__(self, name: str) -> Value:
        return getattr(self.address, name)
