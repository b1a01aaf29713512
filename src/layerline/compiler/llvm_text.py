"""LLVM's IR as text: a module of functions, and a builder that appends instructions to them.

llvmlite.ir, which does the same with an object for each instruction, took a fifth of the time of a compilation. Types
are texts, too, and pointers are opaque. Blocks are in the order in which they were begun.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Operand: TypeAlias = tuple[str, str]
"""A type, and a constant of it or the name of a value."""

VOID = "void"
POINTER = "ptr"


@dataclass(eq=False, slots=True)
class Phi:
    """A value that depends on the block that control comes from."""

    value: Operand
    incoming: list[tuple[Operand, IrBlock]]

    def __str__(self) -> str:
        """Return the instruction."""
        typ, name = self.value
        return f"  {name} = phi {typ} " + ", ".join([f"[ {value[1]}, %{at.label} ]" for value, at in self.incoming])


@dataclass(eq=False, slots=True)
class IrBlock:
    """Instructions without a branch, except at the end."""

    label: str
    lines: list[str | Phi] = field(default_factory=list)


@final
class IrFunction:
    """A function that is written, or, without blocks, one that is only declared."""

    def __init__(self, name: str, result: str, arguments: Sequence[Operand]) -> None:
        """Begin a function."""
        self.name, self.result, self.arguments = name, result, arguments
        self.internal = False
        self.alone = False
        """Whether the memory of each pointer is only accessed through it."""
        self.blocks: list[IrBlock] = []
        self._names = 0

    @property
    def address(self) -> Operand:
        """Return its address."""
        return POINTER, f'@"{self.name}"'

    def block(self, name: str) -> IrBlock:
        """Append an empty block."""
        self._names += 1
        self.blocks.append(IrBlock(f"{name}.{self._names}"))
        return self.blocks[-1]

    def value(self) -> str:
        """Return the name of a new value."""
        self._names += 1
        return f"%.{self._names}"

    def lines(self) -> Iterator[str]:
        """Yield the text, line by line."""
        if not self.blocks:
            yield f'declare {self.result} @"{self.name}"({", ".join([typ for typ, _ in self.arguments])})'
            return
        linkage, inlining = ("internal ", " noinline") if self.internal else ("", "")
        alias = {POINTER: "ptr noalias"} if self.alone else {}
        arguments = ", ".join([f"{alias.get(typ, typ)} {name}" for typ, name in self.arguments])
        yield f'define {linkage}{self.result} @"{self.name}"({arguments}){inlining} nounwind {{'
        for block in self.blocks:
            yield f"{block.label}:"
            yield from map(str, block.lines)
        yield "}"


@final
class IrModule:
    """Functions by name, in the order in which they were begun."""

    def __init__(self, triple: str) -> None:
        """Begin a module for a machine."""
        self.triple = triple
        self.functions: dict[str, IrFunction] = {}
        self._numbers: list[str] = []

    def add(self, name: str, result: str, arguments: Sequence[Operand]) -> IrFunction:
        """Begin a function. Raises ValueError if there is one of this name."""
        if name in self.functions:
            raise ValueError(f"there are two functions {name}")
        self.functions[name] = IrFunction(name, result, arguments)
        return self.functions[name]

    def declared(self, name: str, result: str, types: Sequence[str]) -> IrFunction:
        """Return an intrinsic."""
        return self.functions.get(name) or self.add(name, result, [(typ, "") for typ in types])

    def numbers(self, numbers: Sequence[int]) -> Operand:
        """Return the address of constant i64 integers."""
        name, listed = f'@"numbers{len(self._numbers)}"', ", ".join([f"i64 {number}" for number in numbers])
        self._numbers.append(f"{name} = internal constant [{len(numbers)} x i64] [{listed}]")
        return POINTER, name

    def __str__(self) -> str:
        """Return the text."""
        texts = ["\n".join(function.lines()) for function in self.functions.values()]
        return "\n\n".join([f'target triple = "{self.triple}"', *self._numbers, *texts, ""])


@final
class IrBuilder:
    """Appends instructions to a block of a function, and returns their values."""

    def __init__(self, function: IrFunction, block: IrBlock) -> None:
        """Begin at the end of a block."""
        self.function, self.block = function, block
        self._known: dict[str, Operand] = {}
        """The values of `once` that dominate what is written next, by their instructions."""

    def do(self, instruction: str) -> None:
        """Append an instruction without a value."""
        self.block.lines.append(f"  {instruction}")

    def get(self, typ: str, instruction: str) -> Operand:
        """Append an instruction, and return its value, which has a type."""
        function = self.function
        function._names += 1
        name = f"%.{function._names}"
        self.block.lines.append(f"  {name} = {instruction}")
        return typ, name

    def once(self, typ: str, instruction: str) -> Operand:
        """Return the value of an instruction that depends on its operands only; what is known is not computed again."""
        found = self._known.get(instruction)
        if found is None:
            found = self._known[instruction] = self.get(typ, instruction)
        return found

    @contextmanager
    def within(self, block: IrBlock) -> Iterator[None]:
        """Append to a block, and to those begun after it; what is computed there is not known afterwards."""
        known = len(self._known)
        self.block = block
        yield
        for instruction in list(itertools.islice(reversed(self._known), len(self._known) - known)):
            del self._known[instruction]

    # -- arithmetic ---------------------------------------------------------------------------

    def two(self, operation: str, a: Operand, b: Operand) -> Operand:
        """Return an operation of two values of a type."""
        return self.once(a[0], f"{operation} {a[0]} {a[1]}, {b[1]}")

    def compare(self, how: str, a: Operand, b: Operand) -> Operand:
        """Return a comparison: `icmp slt`, `fcmp ogt`, …"""
        typ = a[0]
        truth = f"{typ[: typ.index('x')]}x i1>" if typ[0] == "<" else "i1"
        return self.once(truth, f"{how} {typ} {a[1]}, {b[1]}")

    def select(self, condition: Operand, then: Operand, otherwise: Operand) -> Operand:
        """Return one of two values."""
        typ = then[0]
        return self.once(typ, f"select {condition[0]} {condition[1]}, {typ} {then[1]}, {typ} {otherwise[1]}")

    def cast(self, how: str, value: Operand, typ: str) -> Operand:
        """Return a value as another type."""
        return value if value[0] == typ else self.once(typ, f"{how} {value[0]} {value[1]} to {typ}")

    # -- lanes ---------------------------------------------------------------------------

    def insert(self, vector: Operand, one: Operand, lane: int) -> Operand:
        """Return a vector with another value in a lane."""
        return self.once(vector[0], f"insertelement {vector[0]} {vector[1]}, {one[0]} {one[1]}, i32 {lane}")

    def extract(self, typ: str, vector: Operand, lane: Operand) -> Operand:
        """Return the value in a lane."""
        return self.once(typ, f"extractelement {vector[0]} {vector[1]}, {lane[0]} {lane[1]}")

    def shuffle(self, typ: str, a: Operand, b: Operand, lanes: Operand) -> Operand:
        """Return some lanes of two vectors."""
        return self.once(typ, f"shufflevector {a[0]} {a[1]}, {b[0]} {b[1]}, {lanes[0]} {lanes[1]}")

    # -- memory ---------------------------------------------------------------------------

    def load(self, typ: str, address: Operand, align: int | None = None) -> Operand:
        """Return what is in memory."""
        return self.get(typ, f"load {typ}, ptr {address[1]}" + (f", align {align}" if align else ""))

    def store(self, value: Operand, address: Operand, align: int | None = None) -> None:
        """Put a value into memory."""
        self.do(f"store {value[0]} {value[1]}, ptr {address[1]}" + (f", align {align}" if align else ""))

    def advance(self, typ: str, address: Operand, count: Operand) -> Operand:
        """Return the address of an element of a type, by number."""
        return self.once(POINTER, f"getelementptr {typ}, ptr {address[1]}, {count[0]} {count[1]}")

    def frozen(self, value: Operand) -> Operand:
        """Return the same value; LLVM does not look into how it was computed."""
        return self.once(value[0], f"freeze {value[0]} {value[1]}")

    # -- control ---------------------------------------------------------------------------

    def phi(self, value: Operand, before: IrBlock) -> Phi:
        """Begin a value that is `value` if control comes from the block `before`."""
        phi = Phi((value[0], self.function.value()), [(value, before)])
        self.block.lines.append(phi)
        return phi

    def jump(self, to: IrBlock) -> None:
        """Go to a block."""
        self.do(f"br label %{to.label}")

    def branch(self, condition: Operand, then: IrBlock, otherwise: IrBlock) -> None:
        """Go to one of two blocks."""
        self.do(f"br i1 {condition[1]}, label %{then.label}, label %{otherwise.label}")

    def call(self, address: Operand, arguments: Sequence[Operand], result: str = VOID) -> Operand:
        """Call a function by its address."""
        listed = ", ".join([f"{typ} {text}" for typ, text in arguments])
        if result == VOID:
            self.do(f"call void {address[1]}({listed})")
            return VOID, ""
        return self.get(result, f"call {result} {address[1]}({listed})")
