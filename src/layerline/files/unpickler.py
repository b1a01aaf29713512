"""Read a pickle as data, without executing anything: a Dialect states what its kind of pickle may contain.

A pickle is a program for a machine with a stack (PEP 307, PEP 3154, PEP 574). Each opcode is looked up in a table of
those that the dialect supports; any other is rejected. A few names are known, and represented by the dialect's own
values: nothing is imported, called, or looked up by a name from the file. A call of such a name is a function of the
dialect, which accepts exactly the arguments that it expects.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerline.errors import UserError

_MAX_MARKS: Final = 20
_LONGEST_LINE: Final = 100
_PROTOCOLS: Final = (2, 3, 4, 5)


class PickleFault(Exception):  # noqa: N818 - a step of refusing a file, not yet an error of the user's
    """Something in a pickle that its dialect does not have: what was found, and what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        """Store both, as parts of a sentence."""
        super().__init__(found, expected)
        self.found, self.expected = found, expected


@final
@dataclass(frozen=True)
class Dialect:
    """What one kind of pickle may contain, and how it is refused."""

    purpose: str
    """What needs the opcodes, in messages: `CIFAR`."""
    names: Mapping[str, object]
    """`module name` → the value that represents it."""
    only_names: str
    """What the names are, in messages: `only NumPy's array types`."""
    call: Callable[[Any, Any], Any]
    """(what is called, its arguments) → the value. Raises PickleFault for any other call."""
    build: Callable[[Any, Any], None]
    """(a value, its state): accepts the state. Raises PickleFault for any other."""
    most_opcodes: Callable[[int], int]
    """The length of the file → the maximum number of opcodes."""
    usual_opcodes: str
    """How many there usually are, in messages."""
    refused: Callable[[str], UserError]
    """The message → the error to raise."""
    more: Mapping[int, Callable[[Unpickler], object]] | None = None
    """Opcodes besides `BASIC`."""
    keys: type | tuple[type, ...] = ()
    """The types of a dictionary's keys besides text."""
    persistent: Callable[[Any], Any] | None = None
    """(the ID of an object outside the pickle) → the value. Raises PickleFault."""


@final
class Unpickler:
    """One pickle in the bytes of a file."""

    def __init__(self, content: bytes | memoryview, place: str, dialect: Dialect, start: int = 0) -> None:
        """Prepare to read the pickle at `start`. place: the file in messages."""
        self._content = memoryview(content)
        self._place = place
        self._dialect = dialect
        self._opcodes = BASIC if dialect.more is None else {**BASIC, **dialect.more}
        self.at = start
        """The position in the file: after `load`, that of the first byte after the pickle."""
        self._start = self._step_start = start
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self, *, alone: bool = True) -> Any:
        """Return the content: dict, list, tuple, int, memoryview (text or bytes), None, bool, or the dialect's values.

        alone: whether nothing may follow it. Raises the dialect's error, with the position.
        """
        try:
            return self._load(alone=alone)
        except PickleFault as fault:
            message = f"{self._place}:{self._step_start}: found {fault.found}; expected {fault.expected}"
            raise self._dialect.refused(message) from None

    def _load(self, *, alone: bool) -> Any:
        if bytes(self._content[self._start : self._start + 1]) != b"\x80":
            raise PickleFault("data that is not a pickle", "a pickle of protocol 2 to 5 (first byte 80)")
        most = self._dialect.most_opcodes(len(self._content))
        for _ in range(most):
            self._step_start = self.at
            step = self._byte()
            if step == _STOP:
                return self._end(alone=alone)
            known = self._opcodes.get(step)
            if known is None:
                found = _FORBIDDEN.get(step, f"the opcode {step:#04x}")
                raise PickleFault(found, f"only the opcodes that {self._dialect.purpose} needs")
            known(self)
        raise PickleFault(f"more than {display.count(most)} opcodes", f"fewer ({self._dialect.usual_opcodes})")

    def _end(self, *, alone: bool) -> Any:
        if len(self._stack) != 1 or self._marks:
            raise PickleFault(f"{len(self._stack)} values at the end", "one")
        if alone and self.at != len(self._content):
            raise PickleFault(f"{display.count(len(self._content) - self.at)} bytes after the end", "none")
        return self._stack[0]

    # Reading the file.

    def take(self, count: int) -> memoryview:
        """Return the next bytes."""
        taken = self._content[self.at : self.at + count]
        if len(taken) < count:
            raise PickleFault("the end of the file", f"{display.count(count)} more bytes")
        self.at += count
        return taken

    def _byte(self) -> int:
        return self.take(1)[0]

    def number(self, fmt: str) -> Any:
        """Return the next number, in a format of `struct`."""
        (value,) = struct.unpack(fmt, self.take(struct.calcsize(fmt)))
        return value

    def _line(self) -> str:
        piece = bytes(self._content[self.at : self.at + _LONGEST_LINE])
        line, newline, _ = piece.partition(b"\n")
        if not newline:
            raise PickleFault("a name that does not end", f"one of at most {_LONGEST_LINE} characters")
        self.at += len(line) + 1
        return line.decode("utf-8", "backslashreplace")

    # Working on the stack.

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Take a value from the stack."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise PickleFault("an opcode that takes a value from an empty stack", "a value before it")
        return self._stack.pop()

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise PickleFault("an opcode that ends a group without a start", "a mark before it")
        first = self._marks.pop()
        values = self._stack[first:]
        del self._stack[first:]
        return values

    def _top(self, kind: type[Any], what: str) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise PickleFault(f"an opcode that needs {what}", f"{what} before it")
        return self._stack[-1]

    # The opcodes.

    def _protocol(self) -> None:
        version = self._byte()
        if version not in _PROTOCOLS:
            raise PickleFault(f"a pickle of protocol {version}", f"protocol {_PROTOCOLS[0]} to {_PROTOCOLS[-1]}")

    def _mark(self) -> None:
        if len(self._marks) == _MAX_MARKS:
            raise PickleFault(f"more than {_MAX_MARKS} nested groups", "fewer")
        self._marks.append(len(self._stack))

    def _put(self, index: int) -> None:
        self._memo[index] = self.pop()
        self.push(self._memo[index])

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise PickleFault(f"a reference to value {index}, which does not exist", "a reference to an earlier value")
        self.push(self._memo[index])

    def _text(self, length: int) -> None:
        if length < 0:
            raise PickleFault(f"a text of {length} bytes", "0 or more")
        self.push(self.take(length))

    def _tuple(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def _append(self) -> None:
        value = self.pop()
        self._top(list, "a list").append(value)

    def _extend(self) -> None:
        values = self._since_mark()
        self._top(list, "a list").extend(values)

    def _set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self._set(self._top(dict, "a dictionary"), [key, value])

    def _set_items(self) -> None:
        values = self._since_mark()
        self._set(self._top(dict, "a dictionary"), values)

    def _set(self, target: dict[Any, Any], values: list[Any]) -> None:
        if len(values) % 2:
            raise PickleFault("a key without a value", "pairs of keys and values")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if isinstance(key, memoryview):
                target[text_of(key)] = value
            elif isinstance(key, self._dialect.keys):
                target[key] = value
            else:
                raise PickleFault("a key that is not text", "text")

    def _global(self) -> None:
        self._name(self._line(), self._line())

    def _stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(module, memoryview) or not isinstance(name, memoryview):
            raise PickleFault("a name that is not text", "text")
        self._name(*(text_of(part[:_LONGEST_LINE]) for part in (module, name)))

    def _name(self, module: str, name: str) -> None:
        known = self._dialect.names.get(f"{module} {name}")
        if known is None:
            raise PickleFault(f"the name {display.name(f'{module}.{name}')}", self._dialect.only_names)
        self.push(known)

    def _reduce(self) -> None:
        arguments, name = self.pop(), self.pop()
        self.push(self._dialect.call(name, arguments))

    def _build(self) -> None:
        state = self.pop()
        self._dialect.build(self._top(object, "a value"), state)

    def _whole(self) -> None:
        """Push a whole number of up to 255 bytes."""
        self.push(int.from_bytes(self.take(self._byte()), "little", signed=True))

    def _persistent(self) -> None:
        assert self._dialect.persistent is not None  # noqa: S101 - a dialect with this opcode has it
        self.push(self._dialect.persistent(self.pop()))


def text_of(text: memoryview) -> str:
    """Return a text of a pickle; bytes that are not UTF-8 are escaped."""
    return bytes(text).decode("utf-8", "backslashreplace")


_STOP: Final = ord(".")
BASIC: Final[dict[int, Callable[[Unpickler], object]]] = {
    0x80: Unpickler._protocol,
    ord("}"): lambda reader: reader.push({}),
    ord("]"): lambda reader: reader.push([]),
    ord(")"): lambda reader: reader.push(()),
    ord("("): Unpickler._mark,
    ord("q"): lambda reader: reader._put(reader.number("<B")),
    ord("r"): lambda reader: reader._put(reader.number("<I")),
    ord("h"): lambda reader: reader._get(reader.number("<B")),
    ord("j"): lambda reader: reader._get(reader.number("<I")),
    ord("U"): lambda reader: reader._text(reader.number("<B")),
    ord("T"): lambda reader: reader._text(reader.number("<i")),
    ord("K"): lambda reader: reader.push(reader.number("<B")),
    ord("M"): lambda reader: reader.push(reader.number("<H")),
    ord("J"): lambda reader: reader.push(reader.number("<i")),
    ord("N"): lambda reader: reader.push(None),
    0x88: lambda reader: reader.push(True),
    0x89: lambda reader: reader.push(False),
    ord("t"): lambda reader: reader.push(tuple(reader._since_mark())),
    0x85: lambda reader: reader._tuple(1),
    0x86: lambda reader: reader._tuple(2),
    0x87: lambda reader: reader._tuple(3),
    ord("a"): Unpickler._append,
    ord("e"): Unpickler._extend,
    ord("s"): Unpickler._set_item,
    ord("u"): Unpickler._set_items,
    ord("c"): Unpickler._global,
    0x93: Unpickler._stack_global,
    0x94: lambda reader: reader._put(len(reader._memo)),
    0x95: lambda reader: reader.number("<Q"),
    0x8C: lambda reader: reader._text(reader.number("<B")),
    ord("X"): lambda reader: reader._text(reader.number("<I")),
    0x8D: lambda reader: reader._text(reader.number("<Q")),
    ord("C"): lambda reader: reader._text(reader.number("<B")),
    ord("B"): lambda reader: reader._text(reader.number("<I")),
    0x8E: lambda reader: reader._text(reader.number("<Q")),
    0x96: lambda reader: reader._text(reader.number("<Q")),
    ord("R"): Unpickler._reduce,
    ord("b"): Unpickler._build,
}
"""The opcodes that every dialect has."""
LONG1: Final = {0x8A: Unpickler._whole}
BINFLOAT: Final = {ord("G"): lambda reader: reader.push(reader.number(">d"))}
NEWOBJ: Final = {0x81: Unpickler._reduce}
"""Creates an object of a class: to a dialect, a call of its name."""
BINPERSID: Final = {ord("Q"): Unpickler._persistent}

_FORBIDDEN: Final = {
    ord("i"): "the opcode INST, which creates an object",
    ord("o"): "the opcode OBJ, which creates an object",
    0x81: "the opcode NEWOBJ, which creates an object",
    0x92: "the opcode NEWOBJ_EX, which creates an object",
    0x82: "the opcode EXT1, which looks up a name",
    0x83: "the opcode EXT2, which looks up a name",
    0x84: "the opcode EXT4, which looks up a name",
    ord("P"): "the opcode PERSID, which refers to an object outside the file",
    ord("Q"): "the opcode BINPERSID, which refers to an object outside the file",
}
"""Rejected opcodes, with their usual names, for messages."""
