"""The Pen: the interface that kernels use to emit code.

A kernel is a Python function that writes code with a Pen. `with pen.loop(...)` is a loop in the generated code; a
Python `for` is unrolled at generation time. A one-lane vector is a scalar. `llvm_pen.LlvmPen` writes LLVM IR.
"""

from __future__ import annotations

import abc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from layerline.compiler.arithmetic import Arithmetic
from layerline.compiler.dtype import DType
from layerline.compiler.values import STEP_SCALARS, Index, Pointer, Value, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from layerline.compiler.machine import Machine

FLOATS: Final = frozenset(STEP_SCALARS)
"""The scalar arguments that are float32; the others are integers of index width."""

Function = Any
"""A function written by a pen, in the pen's own representation."""


class Pen(Arithmetic):
    """Writes one function: arguments by name, loops, memory access, arithmetic. Abstract."""

    def __init__(self, machine: Machine) -> None:
        """Begin a function for a machine; the caller adds its arguments."""
        self.machine = machine
        self.index_type = DType.I64 if machine.index_bits == DType.I64.bytes * 8 else DType.I32
        """The type of an index in memory and as an argument."""
        self.pointers: dict[str, Pointer] = {}
        self.scalars: dict[str, Value] = {}

    # -- arguments, indices ---------------------------------------------------------------------------

    def pointer(self, name: str) -> Pointer:
        """Return a pointer argument."""
        return self.pointers[name]

    def scalar(self, name: str) -> Value:
        """Return a scalar argument as a value."""
        return self.scalars[name]

    def count(self, name: str) -> Index:
        """Return an integer argument as an index expression."""
        return Index(self, self.scalars[name].raw)

    def index(self, constant: int) -> Index:
        """Return a constant as an index expression."""
        return Index(self, None, constant)

    def as_index(self, value: Value) -> Index:
        """Return an integer value as an index expression."""
        return Index(self, self.convert(value, self.index_type).raw)

    def as_value(self, index: Index, dtype: DType = DType.I64) -> Value:
        """Return an index expression as a value."""
        return self.convert(Value(index.whole, self.index_type, 1), dtype)

    def chosen(self, condition: Value, then: Index, otherwise: Index) -> Index:
        """Return one of two index expressions."""
        one, other = (Value(index.whole, self.index_type, 1) for index in (then, otherwise))
        return Index(self, self.select(condition, one, other).raw)

    def smaller(self, a: Index, b: Index | int) -> Index:
        """Return the smaller of two index expressions."""
        b = self.index(b) if isinstance(b, int) else b
        return self.chosen(a >= b, b, a)

    def larger(self, a: Index, b: Index) -> Index:
        """Return the larger of two index expressions."""
        return self.chosen(a >= b, a, b)

    def clipped(self, first: Index, size: int, limit: int) -> tuple[Index, Index]:
        """Return [first, first + size) clipped to [0, limit)."""
        start, end = first.single, (first + size).single
        start = self.chosen(start < 0, self.index(0), start)
        return start, self.chosen(end > limit, self.index(limit), end)

    # -- control ---------------------------------------------------------------------------

    @contextmanager
    def loop(self, name: str, stop: int | Index, start: int | Index = 0, step: int = 1) -> Iterator[Index]:
        """Write a counted loop and yield its index. A loop known to run once is emitted without a loop; constant bounds
        must run at least once."""
        if isinstance(start, int) and isinstance(stop, int):
            if stop <= start:
                raise ValueError(f"loop {name} runs from {start} to {stop}: never")
            if start + step >= stop:
                yield self.index(start)
                return
        first = self.index(start) if isinstance(start, int) else start
        last = self.index(stop) if isinstance(stop, int) else stop
        with self.counted(name, first, last, step) as index:
            yield index

    @abc.abstractmethod
    def counted(self, name: str, first: Index, last: Index, step: int) -> AbstractContextManager[Index]:
        """Write a loop over first, first + step, … below last; with constant bounds it runs at least once."""

    @abc.abstractmethod
    def when(self, condition: Value) -> AbstractContextManager[None]:
        """Write code that runs only if `condition` holds."""

    @abc.abstractmethod
    def ones(self, bits: Value, most: int) -> AbstractContextManager[Index]:
        """Write a loop over the numbers of the set bits of an i64, lowest first, ignoring bit `most` and above."""

    @abc.abstractmethod
    def variable(self, initial: Value) -> Variable:
        """Return a variable initialized to `initial`."""

    @abc.abstractmethod
    def read(self, variable: Variable) -> Value:
        """Return a variable's value."""

    @abc.abstractmethod
    def write(self, variable: Variable, value: Value) -> None:
        """Assign to a variable."""

    # -- memory ---------------------------------------------------------------------------

    @abc.abstractmethod
    def at(self, pointer: Pointer, index: Index | int) -> Pointer:
        """Return the pointer advanced by `index` elements."""

    @abc.abstractmethod
    def load(self, pointer: Pointer, index: Index | int = 0, lanes: int = 1) -> Value:
        """Return `lanes` consecutive elements; only the element's own alignment is assumed."""

    @abc.abstractmethod
    def store(self, value: Value, pointer: Pointer, index: Index | int = 0, count: int | None = None) -> None:
        """Store the first `count` lanes (default: all), touching nothing after them."""

    @abc.abstractmethod
    def call_address(self, address: Pointer, *numbers: int) -> None:
        """Call a C function of int arguments by address."""

    @abc.abstractmethod
    def ticks(self) -> Value:
        """Return the CPU's clock, a 64-bit integer that advances at a constant rate."""

    @abc.abstractmethod
    def prefetch(self, pointer: Pointer, index: Index | int) -> None:
        """Prefetch the cache line of an element; an address outside mapped memory is harmless."""

    def broadcast(self, pointer: Pointer, index: Index | int, lanes: int) -> Value:
        """Return one element broadcast to all lanes."""
        return self.splat(self.load(pointer, index), lanes)


class ProgramPen(Pen):
    """A pen that can also write functions that call each other: what a forward-only Program needs. Abstract.

    Functions are written into a module, one pen per function; the module's `str` is the text.
    """

    function: Function

    @classmethod
    @abc.abstractmethod
    def module(cls, machine: Machine) -> Any:
        """Return an empty module."""

    @classmethod
    @abc.abstractmethod
    def begin(
        cls,
        module: Any,
        machine: Machine,
        symbol: str,
        pointers: Mapping[str, DType],
        scalars: Sequence[str],
        *,
        alone: bool = True,
    ) -> Self:
        """Begin function `symbol` of (pointers…, scalars…); scalars are integers, or float32 if in FLOATS.

        `alone`: the pointers do not alias, and no other thread modifies their memory (noalias).
        """

    @abc.abstractmethod
    def make_internal(self) -> None:
        """Make the function internal to the module, and never inline it."""

    @abc.abstractmethod
    def end(self) -> None:
        """Finish the function."""

    @abc.abstractmethod
    def call(self, function: Function, arguments: Sequence[Pointer | Value | Index]) -> None:
        """Call a function written by another pen."""


class TrainingPen(ProgramPen):
    """A pen that can also write the functions of a training, which synchronize threads. Abstract."""

    @abc.abstractmethod
    def repeat(
        self, name: str, start: int | Index = 0
    ) -> AbstractContextManager[tuple[Index, Callable[[Value], None]]]:
        """Write an endless loop; yields its counter and a function that breaks out of it if a condition holds."""

    def cast_pointer(self, memory: Pointer, dtype: DType) -> Pointer:
        """Return the same address with another element type."""
        return Pointer(memory.raw, dtype)

    @abc.abstractmethod
    def table(self) -> Pointer:
        """Write the pointer arguments to memory, in order, and return its address; it is valid until the function
        ends."""

    @abc.abstractmethod
    def open_table(self, table: Pointer, pointers: Mapping[str, DType]) -> None:
        """Give the pointers of a table their names, as if they were arguments; those that are used are loaded once."""

    @abc.abstractmethod
    def numbers(self, numbers: Sequence[int]) -> Pointer:
        """Return the address of constant 64-bit integers, which are part of the code."""

    # -- other functions, other threads ---------------------------------------------------------------------------

    @abc.abstractmethod
    def address_of(self, function: Function) -> Pointer:
        """Return the address of a function written by another pen, to pass it on."""

    @abc.abstractmethod
    def call_like(self, like: Function, address: Pointer, arguments: Sequence[Pointer | Value | Index]) -> None:
        """Call a function by address, with the signature of the function `like`."""

    @abc.abstractmethod
    def pause(self) -> None:
        """Write a spin-wait hint, on CPUs that have one."""

    @abc.abstractmethod
    def atomic_add(self, memory: Pointer, number: int) -> Value:
        """Atomically add to a shared 64-bit integer, and return its previous value (acquire and release)."""

    @abc.abstractmethod
    def atomic_claim(self, memory: Pointer, seen: Value, following: Value) -> Value:
        """Compare and swap a shared 64-bit integer from `seen` to `following`; returns whether it succeeded."""

    @abc.abstractmethod
    def atomic_load(self, memory: Pointer) -> Value:
        """Atomically load a shared 64-bit integer."""

    @abc.abstractmethod
    def atomic_store(self, value: Value, memory: Pointer) -> None:
        """Atomically store a shared 64-bit integer."""
