"""The pen that writes C99, and for vectors GCC's and Clang's extensions: all that a forward-only Program needs."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, final

from layerline.compiler.c_arithmetic import CArithmetic
from layerline.compiler.c_function import ROOT, Braces, CStatement, finished, lines, wrapped
from layerline.compiler.c_module import CModule
from layerline.compiler.c_values import ATOM, SUM, TYPES, Address, Expression, vector
from layerline.compiler.dtype import DType
from layerline.compiler.pen import FLOATS
from layerline.compiler.values import Index, Pointer, Value, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerline.compiler.machine import Machine


@dataclass(frozen=True, eq=False)
class CFunction:
    """A finished function: its name, and for each pointer argument its type and whether it is only read."""

    name: str
    pointers: tuple[tuple[DType, bool], ...]


@final
class CPen(CArithmetic):
    """Writes one function of a module."""

    function: CFunction
    inside: CModule
    symbol: str
    alone: bool
    body: Braces
    blocks: list[Braces]
    """The blocks that are open, the innermost last."""
    names: int
    """Names made so far."""
    written: set[str]
    """The pointer arguments whose memory is written to."""

    @classmethod
    def module(cls, machine: Machine) -> CModule:  # noqa: ARG003 - C is the same for all machines
        """Return an empty module."""
        return CModule()

    @classmethod
    def begin(
        cls,
        module: CModule,
        machine: Machine,
        symbol: str,
        pointers: Mapping[str, DType],
        scalars: Sequence[str],
        *,
        alone: bool = True,
    ) -> CPen:
        """Begin function `symbol` of (pointers…, scalars…)."""
        pen = cls(machine)
        pen.inside, pen.alone, pen.symbol = module, alone, symbol
        pen.body = Braces("")
        pen.blocks, pen.names, pen.written = [pen.body], 0, set()
        for name, dtype in pointers.items():
            pen.pointers[name] = Pointer(Address(name, name, pen.index(0)), dtype)
        for name in scalars:
            text = Expression(f"n_{name}" if name in pointers else name)
            pen.scalars[name] = Value(text, DType.F32 if name in FLOATS else pen.index_type, 1)
        return pen

    def make_internal(self) -> None:
        """Do nothing: all functions of a module are."""

    def end(self) -> None:
        """Finish the function."""
        finished(self.body)
        text = list(lines(self.body, 1))
        used = set(re.findall(r"\w+", "\n".join(text)))
        arguments, pointers = [], []
        for name, pointer in self.pointers.items():
            reads = name not in self.written
            restrict = "restrict " if self.alone else ""
            arguments.append(f"{'const ' * reads}{TYPES[pointer.dtype]} *{restrict}{name}")
            pointers.append((pointer.dtype, reads))
        scalars = [value.raw.text for value in self.scalars.values()]
        arguments += [f"{TYPES[value.dtype]} {value.raw.text}" for value in self.scalars.values()]
        text = [ROOT.sub(lambda root: "" if root[1] in self.written else "const ", line) for line in text]
        text += [f"    (void){name};" for name in (*self.pointers, *scalars) if name not in used]
        word = re.sub(r"\W", "_", self.symbol.partition("_")[0])
        self.function = CFunction(f"k{len(self.inside.functions)}_{word}", tuple(pointers))
        self.inside.names[self.symbol] = self.function.name
        head = wrapped(f"static void {self.function.name}({', '.join(arguments)})")
        self.inside.functions.append("\n".join([*wrapped(f"/* {self.symbol} */"), *head, "{", *text, "}", ""]))

    # -- texts ---------------------------------------------------------------------------

    def make(
        self, expression: str, dtype: DType | None, lanes: int = 1, *, movable: bool = False, whole: bool = False
    ) -> Value:
        """Declare a constant with the value of an expression, and return it."""
        name = self._name("t")
        self._add(CStatement(f"const {vector(dtype, lanes)} {name} = ", expression, name, movable=movable, whole=whole))
        return Value(Expression(name), dtype, lanes)

    def _name(self, beginning: str) -> str:
        self.names += 1
        return f"{beginning}_{self.names}"

    def _add(self, statement: CStatement) -> None:
        self.blocks[-1].body.append(statement)

    @contextmanager
    def _block(self, header: str) -> Iterator[None]:
        block = Braces(header)
        self.blocks[-1].body.append(block)
        self.blocks.append(block)
        yield
        self.blocks.pop()

    # -- control ---------------------------------------------------------------------------

    @contextmanager
    def counted(self, name: str, first: Index, last: Index, step: int) -> Iterator[Index]:
        """Write a loop over first, first + step, … below last; with constant bounds it runs at least once."""
        i, typ = self._name(name), TYPES[self.index_type]
        end = last.whole if last.whole.level == ATOM else self.make(last.whole.text, self.index_type).raw
        after = f"{i}++" if step == 1 else f"{i} += {step}"
        with self._block(f"for ({typ} {i} = {first.whole.text}; {i} < {end.text}; {after})"):
            yield Index(self, Expression(i))

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Write code that runs only if `condition` holds."""
        with self._block(f"if ({condition.raw.text})"):
            yield

    @contextmanager
    def ones(self, bits: Value, most: int) -> Iterator[Index]:
        """Write a loop over the numbers of the set bits of an i64, lowest first, ignoring bit `most` and above."""
        with self.counted("one", self.index(0), self.index(most), 1) as i:
            test = self.make(f"((uint64_t){bits.raw.atom} >> {i.whole.text} & 1)", None, movable=True)
            with self.when(test):
                yield i

    def variable(self, initial: Value) -> Variable:
        """Return a variable initialized to `initial`."""
        name = self._name("v")
        self._add(CStatement(f"{vector(initial.dtype, initial.lanes)} {name} = ", initial.raw.text, name))
        return Variable(Expression(name), initial.dtype, initial.lanes)

    def read(self, variable: Variable) -> Value:
        """Return a variable's value."""
        return self.make(variable.raw.text, variable.dtype, variable.lanes, movable=True)

    def write(self, variable: Variable, value: Value) -> None:
        """Assign to a variable."""
        name = variable.raw.text
        self._add(CStatement(f"{name} = ", value.raw.text, sets=name))

    # -- memory ---------------------------------------------------------------------------

    def at(self, pointer: Pointer, index: Index | int) -> Pointer:
        """Return the pointer advanced by `index` elements: a local pointer, unless by a constant."""
        address = self._moved(pointer, index)
        if address.offset.raw is None:
            return Pointer(address, pointer.dtype)
        name, typ = self._name(address.root), TYPES[pointer.dtype]
        self._add(CStatement(f"«{address.root}»{typ} *{name} = ", f"{address.base} + {address.offset.raw.text}", name))
        return Pointer(Address(address.root, name, self.index(address.offset.constant)), pointer.dtype)

    def load(self, pointer: Pointer, index: Index | int = 0, lanes: int = 1) -> Value:
        """Return `lanes` consecutive elements; only the element's own alignment is assumed."""
        address = self._moved(pointer, index)
        if lanes == 1:
            text = f"{address.base}[{address.offset.whole.text}]"
        else:
            text = f"{vector(pointer.dtype, lanes)}_at({address.base} + {address.offset.whole.within(SUM)})"
        return self.make(text, pointer.dtype, lanes, movable=True)

    def store(self, value: Value, pointer: Pointer, index: Index | int = 0, count: int | None = None) -> None:
        """Store the first `count` lanes (default: all), touching nothing after them."""
        address, done = self._moved(pointer, index), 0
        self.written.add(address.root)
        count = value.lanes if count is None else count
        while done < count:
            lanes = min(value.lanes, 1 << (count - done).bit_length() - 1)
            part = value if lanes == value.lanes else self.some_lanes(value, range(done, done + lanes))
            place = (address.offset + done).whole
            if lanes == 1:
                head = f"{address.base}[{place.text}] = "
            else:
                head = f"*({vector(value.dtype, lanes)}_m *)({address.base} + {place.within(SUM)}) = "
            self._add(CStatement(head, part.raw.text))
            done += lanes

    def _moved(self, pointer: Pointer, index: Index | int) -> Address:
        address: Address = pointer.raw
        return Address(address.root, address.base, address.offset + index)

    def prefetch(self, pointer: Pointer, index: Index | int) -> None:
        """Do nothing: it is a hint, for which C99 has no word."""

    def call_address(self, address: Pointer, *numbers: int) -> None:
        """Refuse: only training calls the functions of its caller."""
        _refuse(f"calls {address} with {numbers}")

    def ticks(self) -> Value:
        """Refuse: only timed Programs read the clock."""
        _refuse("reads the clock")

    def call(self, function: CFunction, arguments: Sequence[Pointer | Value | Index]) -> None:
        """Call a function written by another pen."""
        texts, pointers = [], iter(function.pointers)
        for argument in arguments:
            if isinstance(argument, Pointer):
                dtype, reads = next(pointers)
                if not reads:
                    self.written.add(argument.raw.root)
                texts.append(self._argument(argument, dtype, reads=reads))
            else:
                texts.append((argument.whole if isinstance(argument, Index) else argument.raw).text)
        self._add(CStatement("", f"{function.name}({', '.join(texts)})"))

    def _argument(self, pointer: Pointer, dtype: DType, *, reads: bool) -> str:
        """Return a pointer as an argument, cast to the type of the parameter."""
        address: Address = pointer.raw
        place = address.offset.whole
        text = address.base if place.number == 0 else f"{address.base} + {place.within(SUM)}"
        if dtype is pointer.dtype:
            return text
        return f"({'const ' * reads}{TYPES[dtype]} *){text if text == address.base else f'({text})'}"


def _refuse(what: str) -> NoReturn:
    raise TypeError(f"a Program that {what} cannot be written in C: it is not forward-only")
