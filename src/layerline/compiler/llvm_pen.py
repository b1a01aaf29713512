"""The pen that writes LLVM IR."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

from llvmlite import ir

from layerline.compiler.dtype import DType
from layerline.compiler.llvm_arithmetic import LlvmArithmetic
from layerline.compiler.llvm_values import I1, I32, I64, POINTER, TYPES, vector_type
from layerline.compiler.pen import FLOATS, Function
from layerline.compiler.values import Index, Pointer, Value, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerline.compiler.machine import Machine


@final
class LlvmPen(LlvmArithmetic):
    """Writes one function of a module."""

    _entry: ir.IRBuilder
    """Where variables are allocated."""
    _body: ir.Block
    _table: Pointer
    _names: Mapping[str, DType]
    """The pointers in the table."""

    @classmethod
    def module(cls, machine: Machine) -> ir.Module:
        """Return an empty module."""
        module = ir.Module("layerline")
        module.triple = machine.triple
        return module

    @classmethod
    def begin(
        cls,
        module: ir.Module,
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
        types = [POINTER] * len(pointers) + [TYPES[kind] for kind in kinds.values()]
        pen.inside, pen.function = module, ir.Function(module, ir.FunctionType(ir.VoidType(), types), symbol)
        pen.function.attributes.add("nounwind")
        pen.builder = ir.IRBuilder(pen.function.append_basic_block("entry"))
        pen._entry = ir.IRBuilder(pen.builder.block)
        pen._body = pen.function.append_basic_block("body")
        pen.builder.position_at_end(pen._body)
        for argument, (name, dtype) in zip(pen.function.args, pointers.items(), strict=False):
            if alone:
                argument.add_attribute("noalias")
            pen.pointers[name] = Pointer(argument, dtype)
        for argument, (name, kind) in zip(pen.function.args[len(pointers) :], kinds.items(), strict=True):
            pen.scalars[name] = Value(argument, kind, 1)
        return pen

    def make_internal(self) -> None:
        """Make the function internal to the module, and never inline it."""
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")

    def end(self) -> None:
        """Finish the function."""
        self.builder.ret_void()
        self._entry.branch(self._body)

    # -- control ---------------------------------------------------------------------------

    @contextmanager
    def counted(self, name: str, first: Index, last: Index, step: int) -> Iterator[Index]:
        """Write a loop over first, first + step, … below last; with constant bounds it runs at least once."""
        b, before = self.builder, self.builder.block
        first_value, last_value = first.whole, last.whole
        body, end = b.append_basic_block(name), b.append_basic_block(f"{name}_end")
        if first.raw is None and last.raw is None:
            b.branch(body)
        else:
            b.cbranch(b.icmp_signed("<", first_value, last_value), body, end)
        b.position_at_end(body)
        i = b.phi(TYPES[self.index_type], name)
        i.add_incoming(first_value, before)
        yield Index(self, i)
        following = b.add(i, self.literal(step), flags=("nsw",))
        i.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, last_value), body, end)
        b.position_at_end(end)

    @contextmanager
    def repeat(self, name: str, start: int | Index = 0) -> Iterator[tuple[Index, Callable[[Value], None]]]:
        """Write an endless loop; yields its counter and a function that breaks out of it if a condition holds."""
        first = self.index(start) if isinstance(start, int) else start
        b, before = self.builder, self.builder.block
        first_value = first.whole
        body, end = b.append_basic_block(name), b.append_basic_block(f"{name}_end")
        b.branch(body)
        b.position_at_end(body)
        i = b.phi(TYPES[self.index_type], name)
        i.add_incoming(first_value, before)

        def leave(condition: Value) -> None:
            onward = b.append_basic_block(f"{name}_on")
            b.cbranch(condition.raw, end, onward)
            b.position_at_end(onward)

        yield Index(self, i), leave
        i.add_incoming(b.add(i, self.literal(1)), b.block)
        b.branch(body)
        b.position_at_end(end)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Write code that runs only if `condition` holds."""
        with self.builder.if_then(condition.raw):
            yield

    @contextmanager
    def ones(self, bits: Value, most: int) -> Iterator[Index]:
        """Write a loop over the numbers of the set bits of an i64, lowest first, ignoring bit `most` and above."""
        b, zero, one = self.builder, ir.Constant(I64, 0), ir.Constant(I64, 1)
        first = bits.raw if most >= I64.width else b.and_(bits.raw, ir.Constant(I64, (1 << most) - 1))
        rest = self.variable(Value(first, DType.I64, 1))  # a phi of 64 bits is no index on a 32-bit machine
        body, end = b.append_basic_block("one"), b.append_basic_block("one_end")
        b.cbranch(b.icmp_unsigned("!=", first, zero), body, end)
        b.position_at_end(body)
        before = self.read(rest)
        number = b.call(self._intrinsic("cttz", before, 1, (I1,)), [before.raw, ir.Constant(I1, 1)])
        yield self.as_index(Value(number, DType.I64, 1))
        after = b.and_(before.raw, b.sub(before.raw, one))
        self.write(rest, Value(after, DType.I64, 1))
        b.cbranch(b.icmp_unsigned("!=", after, zero), body, end)
        b.position_at_end(end)

    def variable(self, initial: Value) -> Variable:
        """Return a variable initialized to `initial`; LLVM's SROA pass promotes its stack slot to a register."""
        slot = self._entry.alloca(vector_type(initial.dtype, initial.lanes))
        self.builder.store(initial.raw, slot)
        return Variable(slot, initial.dtype, initial.lanes)

    def read(self, variable: Variable) -> Value:
        """Return a variable's value."""
        typ = vector_type(variable.dtype, variable.lanes)
        return Value(self.builder.load(variable.raw, typ=typ), variable.dtype, variable.lanes)

    def write(self, variable: Variable, value: Value) -> None:
        """Assign to a variable."""
        self.builder.store(value.raw, variable.raw)

    # -- pointers in memory ---------------------------------------------------------------------------

    def table(self) -> Pointer:
        """Write the pointer arguments to memory, and return its address."""
        table = Pointer(self._entry.alloca(POINTER, size=len(self.pointers)), DType.U8)
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
            self.pointers[name] = Pointer(self._entry.load(place, typ=POINTER), self._names[name])
        return self.pointers[name]

    # -- memory ---------------------------------------------------------------------------

    def at(self, pointer: Pointer, index: Index | int) -> Pointer:
        """Return the pointer advanced by `index` elements."""
        index = self.index(index) if isinstance(index, int) else index
        raw, element = pointer.raw, TYPES[pointer.dtype]
        if index.raw is not None:
            raw = self.builder.gep(raw, [index.raw], source_etype=element)
        if index.constant:
            raw = self.builder.gep(raw, [self.literal(index.constant)], source_etype=element)
        return Pointer(raw, pointer.dtype)

    def load(self, pointer: Pointer, index: Index | int = 0, lanes: int = 1) -> Value:
        """Return `lanes` consecutive elements; only the element's own alignment is assumed."""
        typ = vector_type(pointer.dtype, lanes)
        loaded = self.builder.load(self.at(pointer, index).raw, typ=typ, align=pointer.dtype.bytes)
        return Value(loaded, pointer.dtype, lanes)

    def store(self, value: Value, pointer: Pointer, index: Index | int = 0, count: int | None = None) -> None:
        """Store the first `count` lanes (default: all), touching nothing after them."""
        lanes = value.lanes
        count = lanes if count is None else count
        to, done = self.at(pointer, index), 0
        while done < count:
            piece = min(lanes, 1 << (count - done).bit_length() - 1)
            part = value if piece == lanes else self.some_lanes(value, range(done, done + piece))
            self.builder.store(part.raw, self.at(to, done).raw, align=pointer.dtype.bytes)
            done += piece

    def ticks(self) -> Value:
        """Return the CPU's clock, a 64-bit integer that advances at a constant rate."""
        x86 = self.machine.triple.startswith("x86_64")  # where the cycle counter counts at a constant rate
        name = "llvm.readcyclecounter" if x86 else "llvm.readsteadycounter"
        function = self.inside.globals.get(name) or ir.Function(self.inside, ir.FunctionType(I64, []), name)
        return Value(self.builder.call(function, []), DType.I64, 1)

    def prefetch(self, pointer: Pointer, index: Index | int) -> None:
        """Prefetch the cache line of an element; an address outside mapped memory is harmless."""
        name = "llvm.prefetch.p0"
        typ = ir.FunctionType(ir.VoidType(), [POINTER, I32, I32, I32])
        function = self.inside.globals.get(name) or ir.Function(self.inside, typ, name)
        read, keep, data = ir.Constant(I32, 0), ir.Constant(I32, 3), ir.Constant(I32, 1)
        self.builder.call(function, [self.at(pointer, index).raw, read, keep, data])

    # -- other functions, other threads ---------------------------------------------------------------------------

    def call(self, function: Function, arguments: Sequence[Pointer | Value | Index]) -> None:
        """Call a function written by another pen."""
        self.builder.call(function, [_raw(argument) for argument in arguments])

    def address_of(self, function: Function) -> Pointer:
        """Return the address of a function written by another pen, to pass it on."""
        return Pointer(function, DType.U8)

    def call_like(self, like: Function, address: Pointer, arguments: Sequence[Pointer | Value | Index]) -> None:
        """Call a function by address, with the signature of the function `like`."""
        callee = _Callee(address.raw, like.function_type)
        self.builder.call(callee, [_raw(argument) for argument in arguments])

    def call_address(self, address: Pointer, *numbers: int) -> None:
        """Call a C function of int arguments by address."""
        typ = ir.FunctionType(ir.VoidType(), [I32] * len(numbers))
        self.builder.call(_Callee(address.raw, typ), [ir.Constant(I32, number) for number in numbers])

    def pause(self) -> None:
        """Write a spin-wait hint, on CPUs that have one."""
        if self.machine.triple.startswith("x86_64"):
            name = "llvm.x86.sse2.pause"
            found = self.inside.globals.get(name)
            self.builder.call(found or ir.Function(self.inside, ir.FunctionType(ir.VoidType(), []), name), [])

    def atomic_add(self, memory: Pointer, number: int) -> Value:
        """Atomically add to a shared 64-bit integer, and return its previous value."""
        return Value(self.builder.atomic_rmw("add", memory.raw, ir.Constant(I64, number), "acq_rel"), DType.I64, 1)

    def atomic_claim(self, memory: Pointer, seen: Value, following: Value) -> Value:
        """Compare and swap a shared 64-bit integer from `seen` to `following`; returns whether it succeeded."""
        pair = self.builder.cmpxchg(memory.raw, seen.raw, following.raw, "acq_rel", "acquire")
        return Value(self.builder.extract_value(pair, 1), None, 1)

    def atomic_load(self, memory: Pointer) -> Value:
        """Atomically load a shared 64-bit integer."""
        return Value(self.builder.load_atomic(memory.raw, "acquire", 8, typ=I64), DType.I64, 1)

    def atomic_store(self, value: Value, memory: Pointer) -> None:
        """Atomically store a shared 64-bit integer (as an exchange: llvmlite's atomic store rejects opaque
        pointers)."""
        self.builder.atomic_rmw("xchg", memory.raw, value.raw, "acq_rel")


def _entry_of(builder: ir.IRBuilder, table: Pointer, number: int) -> Any:
    """Return the address of an entry of a table of pointers."""
    return builder.gep(table.raw, [ir.Constant(I32, number)], source_etype=POINTER)


def _raw(argument: Pointer | Value | Index) -> Any:
    return argument.whole if isinstance(argument, Index) else argument.raw


class _Callee:
    """An address with the function type that llvmlite's `call` needs."""

    def __init__(self, address: Any, typ: ir.FunctionType) -> None:
        self.address, self.function_type = address, typ

    def __getattr__(self, name: str) -> Any:
        return getattr(self.address, name)
