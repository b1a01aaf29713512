"""The pen that writes LLVM IR."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from layerline.compiler.dtype import DType
from layerline.compiler.llvm_arithmetic import LlvmArithmetic
from layerline.compiler.llvm_text import POINTER, VOID, IrBuilder, IrModule
from layerline.compiler.llvm_values import TYPES, vector_type, whole
from layerline.compiler.pen import FLOATS, Function
from layerline.compiler.values import Index, Pointer, Value, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerline.compiler.llvm_text import IrBlock, Operand
    from layerline.compiler.machine import Machine


@final
class LlvmPen(LlvmArithmetic):
    """Writes one function of a module."""

    _entry: IrBuilder
    """Where variables are allocated."""
    _body: IrBlock
    _table: Pointer
    _names: Mapping[str, DType]
    """The pointers in the table."""

    @classmethod
    def module(cls, machine: Machine) -> IrModule:
        """Return an empty module."""
        return IrModule(machine.triple)

    @classmethod
    def begin(
        cls,
        module: IrModule,
        machine: Machine,
        symbol: str,
        pointers: Mapping[str, DType],
        scalars: Sequence[str],
        *,
        alone: bool = True,
    ) -> LlvmPen:
        """Begin function `symbol` of (pointers…, scalars…)."""
        pen = cls(machine)
        pen._names = {}
        kinds = {name: DType.F32 if name in FLOATS else pen.index_type for name in scalars}
        arguments = [(POINTER, f"%{name}") for name in pointers]
        numbers = [(TYPES[kind], f"%{name}.number") for name, kind in kinds.items()]
        pen.inside, pen.function = module, module.add(symbol, VOID, [*arguments, *numbers])
        pen.function.alone = alone
        pen._entry = IrBuilder(pen.function, pen.function.block("entry"))
        pen._body = pen.function.block("body")
        pen.builder = IrBuilder(pen.function, pen._body)
        for argument, (name, dtype) in zip(arguments, pointers.items(), strict=True):
            pen.pointers[name] = Pointer(argument, dtype)
        for argument, (name, kind) in zip(numbers, kinds.items(), strict=True):
            pen.scalars[name] = Value(argument, kind, 1)
        return pen

    def make_internal(self) -> None:
        """Make the function internal to the module, and never inline it."""
        self.function.internal = True

    def end(self) -> None:
        """Finish the function."""
        self.builder.do("ret void")
        self._entry.jump(self._body)

    # -- control ---------------------------------------------------------------------------

    @contextmanager
    def counted(self, name: str, first: Index, last: Index, step: int) -> Iterator[Index]:
        """Write a loop over first, first + step, … below last; with constant bounds it runs at least once."""
        b, before = self.builder, self.builder.block
        first_value, last_value = first.whole, last.whole
        body, end = b.function.block(name), b.function.block(f"{name}_end")
        if first.raw is None and last.raw is None:
            b.jump(body)
        else:
            b.branch(b.compare("icmp slt", first_value, last_value), body, end)
        with b.within(body):
            i = b.phi(first_value, before)
            yield Index(self, i.value)
            following = b.two("add nsw", i.value, self.literal(step))
            i.incoming.append((following, b.block))
            b.branch(b.compare("icmp slt", following, last_value), body, end)
        b.block = end

    @contextmanager
    def repeat(self, name: str, start: int | Index = 0) -> Iterator[tuple[Index, Callable[[Value], None]]]:
        """Write an endless loop; yields its counter and a function that breaks out of it if a condition holds."""
        first = self.index(start) if isinstance(start, int) else start
        b, before = self.builder, self.builder.block
        first_value = first.whole
        body, end = b.function.block(name), b.function.block(f"{name}_end")
        b.jump(body)

        def leave(condition: Value) -> None:
            onward = b.function.block(f"{name}_on")
            b.branch(condition.raw, end, onward)
            b.block = onward

        with b.within(body):
            i = b.phi(first_value, before)
            yield Index(self, i.value), leave
            following = b.two("add", i.value, self.literal(1))
            i.incoming.append((following, b.block))
            b.jump(body)
        b.block = end

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Write code that runs only if `condition` holds."""
        b = self.builder
        body, end = b.function.block("when"), b.function.block("when_end")
        b.branch(condition.raw, body, end)
        with b.within(body):
            yield
            b.jump(end)
        b.block = end

    @contextmanager
    def ones(self, bits: Value, most: int) -> Iterator[Index]:
        """Write a loop over the numbers of the set bits of an i64, lowest first, ignoring bit `most` and above."""
        b, zero, one = self.builder, whole(DType.I64, 0), whole(DType.I64, 1)
        first = bits.raw if most >= DType.I64.bytes * 8 else b.two("and", bits.raw, whole(DType.I64, (1 << most) - 1))
        rest = self.variable(Value(first, DType.I64, 1))  # a phi of 64 bits is no index on a 32-bit machine
        body, end = b.function.block("one"), b.function.block("one_end")
        b.branch(b.compare("icmp ne", first, zero), body, end)
        with b.within(body):
            before = self.read(rest)
            yield self.as_index(self._intrinsic("cttz", before, (before.raw, whole(None, 1))))
            after = b.two("and", before.raw, b.two("sub", before.raw, one))
            self.write(rest, Value(after, DType.I64, 1))
            b.branch(b.compare("icmp ne", after, zero), body, end)
        b.block = end

    def variable(self, initial: Value) -> Variable:
        """Return a variable initialized to `initial`; LLVM's SROA pass promotes its stack slot to a register."""
        slot = self._entry.get(POINTER, f"alloca {initial.raw[0]}")
        self.builder.store(initial.raw, slot)
        return Variable(slot, initial.dtype, initial.lanes)

    def read(self, variable: Variable) -> Value:
        """Return a variable's value."""
        typ = vector_type(variable.dtype, variable.lanes)
        return Value(self.builder.load(typ, variable.raw), variable.dtype, variable.lanes)

    def write(self, variable: Variable, value: Value) -> None:
        """Assign to a variable."""
        self.builder.store(value.raw, variable.raw)

    # -- pointers in memory ---------------------------------------------------------------------------

    def table(self) -> Pointer:
        """Write the pointer arguments to memory, and return its address."""
        table = Pointer(self._entry.get(POINTER, f"alloca ptr, i32 {len(self.pointers)}"), DType.U8)
        for k, pointer in enumerate(self.pointers.values()):
            self.builder.store(pointer.raw, _entry_of(self.builder, table, k))
        return table

    def open_table(self, table: Pointer, pointers: Mapping[str, DType]) -> None:
        """Give the pointers of a table their names."""
        self._table, self._names = table, pointers

    def pointer(self, name: str) -> Pointer:
        """Return a pointer argument, or one of the table: loaded where the function begins, before any use."""
        if name in self._names and name not in self.pointers:
            place = _entry_of(self._entry, self._table, list(self._names).index(name))
            self.pointers[name] = Pointer(self._entry.load(POINTER, place), self._names[name])
        return self.pointers[name]

    def numbers(self, numbers: Sequence[int]) -> Pointer:
        """Return the address of constant 64-bit integers."""
        return Pointer(self.inside.numbers(numbers), DType.I64)

    # -- memory ---------------------------------------------------------------------------

    def at(self, pointer: Pointer, index: Index | int) -> Pointer:
        """Return the pointer advanced by `index` elements.

        What is only known at run time is frozen: LLVM's loop strength reduction then sees one address instead of all
        those at a constant distance from it, which are displacements in their instructions anyway. Its search took a
        sixth of the time of code generation, and found code of the same speed (resnet20, Zen 5, 2026-11-30).
        """
        index = self.index(index) if isinstance(index, int) else index
        raw, element = pointer.raw, TYPES[pointer.dtype]
        if index.raw is not None:
            raw = self.builder.frozen(self.builder.advance(element, raw, index.raw))
        if index.constant:
            raw = self.builder.advance(element, raw, self.literal(index.constant))
        return Pointer(raw, pointer.dtype)

    def load(self, pointer: Pointer, index: Index | int = 0, lanes: int = 1) -> Value:
        """Return `lanes` consecutive elements; only the element's own alignment is assumed."""
        typ = vector_type(pointer.dtype, lanes)
        loaded = self.builder.load(typ, self.at(pointer, index).raw, pointer.dtype.bytes)
        return Value(loaded, pointer.dtype, lanes)

    def store(self, value: Value, pointer: Pointer, index: Index | int = 0, count: int | None = None) -> None:
        """Store the first `count` lanes (default: all), touching nothing after them."""
        lanes = value.lanes
        count = lanes if count is None else count
        to, done = self.at(pointer, index), 0
        while done < count:
            piece = min(lanes, 1 << (count - done).bit_length() - 1)
            part = value if piece == lanes else self.some_lanes(value, range(done, done + piece))
            self.builder.store(part.raw, self.at(to, done).raw, pointer.dtype.bytes)
            done += piece

    def ticks(self) -> Value:
        """Return the CPU's clock, a 64-bit integer that advances at a constant rate."""
        x86 = self.machine.triple.startswith("x86_64")  # where the cycle counter counts at a constant rate
        name = "llvm.readcyclecounter" if x86 else "llvm.readsteadycounter"
        clock = self.inside.declared(name, "i64", ())
        return Value(self.builder.call(clock.address, (), "i64"), DType.I64, 1)

    def prefetch(self, pointer: Pointer, index: Index | int) -> None:
        """Prefetch the cache line of an element; an address outside mapped memory is harmless."""
        function = self.inside.declared("llvm.prefetch.p0", VOID, (POINTER, "i32", "i32", "i32"))
        read, keep, data = (whole(DType.I32, number) for number in (0, 3, 1))
        self.builder.call(function.address, [self.at(pointer, index).raw, read, keep, data])

    # -- other functions, other threads ---------------------------------------------------------------------------

    def call(self, function: Function, arguments: Sequence[Pointer | Value | Index]) -> None:
        """Call a function written by another pen."""
        self.builder.call(function.address, [_raw(argument) for argument in arguments])

    def address_of(self, function: Function) -> Pointer:
        """Return the address of a function written by another pen, to pass it on."""
        return Pointer(function.address, DType.U8)

    def call_like(self, like: Function, address: Pointer, arguments: Sequence[Pointer | Value | Index]) -> None:
        """Call a function by address, with the signature of the function `like`."""
        del like  # the arguments have their types
        self.builder.call(address.raw, [_raw(argument) for argument in arguments])

    def call_address(self, address: Pointer, *numbers: int) -> None:
        """Call a C function of int arguments by address."""
        self.builder.call(address.raw, [whole(DType.I32, number) for number in numbers])

    def pause(self) -> None:
        """Write a spin-wait hint, on CPUs that have one."""
        if self.machine.triple.startswith("x86_64"):
            self.builder.call(self.inside.declared("llvm.x86.sse2.pause", VOID, ()).address, ())

    def atomic_add(self, memory: Pointer, number: int) -> Value:
        """Atomically add to a shared 64-bit integer, and return its previous value."""
        old = self.builder.get("i64", f"atomicrmw add ptr {memory.raw[1]}, i64 {number} acq_rel")
        return Value(old, DType.I64, 1)

    def atomic_claim(self, memory: Pointer, seen: Value, following: Value) -> Value:
        """Compare and swap a shared 64-bit integer from `seen` to `following`; returns whether it succeeded."""
        numbers = f"i64 {seen.raw[1]}, i64 {following.raw[1]}"
        typ, pair = self.builder.get("{i64, i1}", f"cmpxchg ptr {memory.raw[1]}, {numbers} acq_rel acquire")
        return Value(self.builder.get("i1", f"extractvalue {typ} {pair}, 1"), None, 1)

    def atomic_load(self, memory: Pointer) -> Value:
        """Atomically load a shared 64-bit integer."""
        number = self.builder.get("i64", f"load atomic i64, ptr {memory.raw[1]} acquire, align 8")
        return Value(number, DType.I64, 1)

    def atomic_store(self, value: Value, memory: Pointer) -> None:
        """Atomically store a shared 64-bit integer, as an exchange."""
        self.builder.get("i64", f"atomicrmw xchg ptr {memory.raw[1]}, i64 {value.raw[1]} acq_rel")


def _entry_of(builder: IrBuilder, table: Pointer, number: int) -> Operand:
    """Return the address of an entry of a table of pointers."""
    return builder.advance(POINTER, table.raw, whole(DType.I32, number))


def _raw(argument: Pointer | Value | Index) -> Operand:
    raw: Operand = argument.whole if isinstance(argument, Index) else argument.raw
    return raw
