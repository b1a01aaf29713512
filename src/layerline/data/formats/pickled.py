"""Read the pickles of CIFAR's Python batches, the only ones supported, without executing anything.

The published batches were written by Python 2 with protocol 2 (PEP 307): a dictionary of strings, numbers, lists, and
one NumPy array. Batches that were saved again by Python 3 have the same content in protocols 2 to 5 (PEP 3154, PEP
574). Each opcode is looked up in a table of those that these files need; any other is rejected. A few names are known
(NumPy's for arrays, and the one by which Python 3 writes bytes in protocol 2) and represented by an enum: nothing is
imported, called, or looked up by a name from the file.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_STEPS: Final = 100_000
_STEPS_PER_IMAGE: Final = 20
"""Further steps that a file is allowed, for every 3,072 of its bytes: an image of CIFAR-100 needs at most 14."""
_IMAGE: Final = 3072
_MAX_MARKS: Final = 20
_LONGEST_LINE: Final = 100
_HELP: Final = "this is not an official CIFAR file, so it is not loaded: use cifar-10-binary.tar.gz instead"
_PROTOCOLS: Final = (2, 3, 4, 5)


class _Name(enum.Enum):
    RECONSTRUCT = "numpy.core.multiarray _reconstruct"
    NDARRAY = "numpy ndarray"
    DTYPE = "numpy dtype"
    FROM_BUFFER = "numpy.core.numeric _frombuffer"
    ENCODE = "_codecs encode"


@dataclass(eq=False)
class Type:
    """The element type of an array, as named in the file: `u1` is uint8."""

    name: str


@dataclass(eq=False)
class Array:
    """An array as stored in the file; only the types of these fields are checked."""

    shape: tuple[int, ...] = ()
    type: str = ""
    fortran_order: bool = False
    content: memoryview | None = None
    """The bytes; None if there are none, as for an array of objects."""


def load(content: bytes, place: str) -> Any:
    """Return the content of a pickle: dict, list, tuple, int, memoryview, None, bool, or Array. Raises DataError."""
    return _PickleReader(content, place).load()


class _PickleReader:
    def __init__(self, content: bytes, place: str) -> None:
        self._content = memoryview(content)
        self._place = place
        self._at = 0
        self._step_start = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        if bytes(self._content[:1]) != b"\x80":
            raise self._error("data that is not a pickle", "a pickle of protocol 2 to 5 (first byte 80)")
        most = _MAX_STEPS + len(self._content) // _IMAGE * _STEPS_PER_IMAGE
        for _ in range(most):
            self._step_start = self._at
            step = self._byte()
            if step == _STOP:
                return self._end()
            known = _STEPS.get(step)
            if known is None:
                raise self._error(_FORBIDDEN.get(step, f"the opcode {step:#04x}"), "only the opcodes that CIFAR needs")
            known(self)
        raise self._error(f"more than {display.count(most)} opcodes", "fewer (about 3 per image)")

    def _end(self) -> Any:
        if len(self._stack) != 1 or self._marks:
            raise self._error(f"{len(self._stack)} values at the end", "one")
        if self._at != len(self._content):
            raise self._error(f"{display.count(len(self._content) - self._at)} bytes after the end", "none")
        return self._stack[0]

    # Reading the file.

    def _take(self, count: int) -> memoryview:
        taken = self._content[self._at : self._at + count]
        if len(taken) < count:
            raise self._error("the end of the file", f"{display.count(count)} more bytes")
        self._at += count
        return taken

    def _byte(self) -> int:
        return self._take(1)[0]

    def _number(self, fmt: str) -> int:
        (value,) = struct.unpack(fmt, self._take(struct.calcsize(fmt)))
        return int(value)

    def _line(self) -> str:
        piece = bytes(self._content[self._at : self._at + _LONGEST_LINE])
        line, newline, _ = piece.partition(b"\n")
        if not newline:
            raise self._error("a name that does not end", f"one of at most {_LONGEST_LINE} characters")
        self._at += len(line) + 1
        return line.decode("utf-8", "backslashreplace")

    # Working on the stack.

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self._error("an opcode that takes a value from an empty stack", "a value before it")
        return self._stack.pop()

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise self._error("an opcode that ends a group without a start", "a mark before it")
        first = self._marks.pop()
        values = self._stack[first:]
        del self._stack[first:]
        return values

    def _top(self, kind: type[Any], what: str) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise self._error(f"an opcode that needs {what}", f"{what} before it")
        return self._stack[-1]

    # The opcodes.

    def _protocol(self) -> None:
        version = self._byte()
        if version not in _PROTOCOLS:
            raise self._error(f"a pickle of protocol {version}", f"protocol {_PROTOCOLS[0]} to {_PROTOCOLS[-1]}")

    def _mark(self) -> None:
        if len(self._marks) == _MAX_MARKS:
            raise self._error(f"more than {_MAX_MARKS} nested groups", "fewer")
        self._marks.append(len(self._stack))

    def _put(self, index: int) -> None:
        self._memo[index] = self._pop()
        self._push(self._memo[index])

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self._error(f"a reference to value {index}, which does not exist", "a reference to an earlier value")
        self._push(self._memo[index])

    def _text(self, length: int) -> None:
        if length < 0:
            raise self._error(f"a text of {length} bytes", "0 or more")
        self._push(self._take(length))

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _append(self) -> None:
        value = self._pop()
        self._top(list, "a list").append(value)

    def _extend(self) -> None:
        values = self._since_mark()
        self._top(list, "a list").extend(values)

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set(self._top(dict, "a dictionary"), [key, value])

    def _set_items(self) -> None:
        values = self._since_mark()
        self._set(self._top(dict, "a dictionary"), values)

    def _set(self, target: dict[str, Any], values: list[Any]) -> None:
        if len(values) % 2:
            raise self._error("a key without a value", "pairs of keys and values")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, memoryview):
                raise self._error("a key that is not text", "text")
            target[bytes(key).decode("utf-8", "backslashreplace")] = value

    def _global(self) -> None:
        self._name(self._line(), self._line())

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(module, memoryview) or not isinstance(name, memoryview):
            raise self._error("a name that is not text", "text")
        self._name(*(bytes(part[:_LONGEST_LINE]).decode("utf-8", "backslashreplace") for part in (module, name)))

    def _name(self, module: str, name: str) -> None:
        try:
            self._push(_Name(f"{module.replace('numpy._core.', 'numpy.core.')} {name}"))  # NumPy 2 renamed it
        except ValueError:
            raise self._error(f"the name {display.name(f'{module}.{name}')}", "only NumPy's array types") from None

    def _reduce(self) -> None:
        arguments, name = self._pop(), self._pop()
        match name, arguments:
            case _Name.RECONSTRUCT, (_Name.NDARRAY, tuple(), memoryview()):
                self._push(Array())
            case _Name.DTYPE, (memoryview() as kind, int(), int()):
                self._push(Type(bytes(kind[:20]).decode("ascii", "backslashreplace")))
            case _Name.FROM_BUFFER, (memoryview() as content, Type() as kind, tuple() as shape, memoryview() as order):
                self._push(Array(shape, kind.name, bytes(order[:1]) != b"C", content))
            case _Name.ENCODE, (memoryview() as text, memoryview() as coding) if bytes(coding[:7]) == b"latin1":
                self._push(self._latin(text))
            case _:
                raise self._error("a call", "only calls that create a NumPy array")

    def _latin(self, text: memoryview) -> memoryview:
        """Return bytes that Python 3 wrote as text in which every letter is one byte."""
        try:
            return memoryview(bytes(text).decode("utf-8").encode("latin-1"))
        except UnicodeError:
            raise self._error("bytes stored as text with a character above 255", "characters up to 255") from None

    def _build(self) -> None:
        state = self._pop()
        target = self._top(object, "a value")
        match target, state:
            case Type(), (int(), memoryview(), *_):
                pass  # the byte order of a type: single bytes have none, and others are refused by their name
            case Array(), (int(), tuple() as shape, Type() as kind, bool() as fortran, content) if all(
                type(size) is int for size in shape
            ):
                target.shape, target.type, target.fortran_order = shape, kind.name, fortran
                target.content = content if isinstance(content, memoryview) else None
            case _:
                raise self._error("state for an object that has none", "the state of a NumPy array")

    def _error(self, found: str, expected: str) -> DataError:
        return DataError(f"{self._place}:{self._step_start}: found {found}; expected {expected}", _HELP)


_STOP: Final = ord(".")
_STEPS: Final[dict[int, Callable[[_PickleReader], object]]] = {
    0x80: _PickleReader._protocol,
    ord("}"): lambda reader: reader._push({}),
    ord("]"): lambda reader: reader._push([]),
    ord(")"): lambda reader: reader._push(()),
    ord("("): _PickleReader._mark,
    ord("q"): lambda reader: reader._put(reader._number("<B")),
    ord("r"): lambda reader: reader._put(reader._number("<I")),
    ord("h"): lambda reader: reader._get(reader._number("<B")),
    ord("j"): lambda reader: reader._get(reader._number("<I")),
    ord("U"): lambda reader: reader._text(reader._number("<B")),
    ord("T"): lambda reader: reader._text(reader._number("<i")),
    ord("K"): lambda reader: reader._push(reader._number("<B")),
    ord("M"): lambda reader: reader._push(reader._number("<H")),
    ord("J"): lambda reader: reader._push(reader._number("<i")),
    ord("N"): lambda reader: reader._push(None),
    0x88: lambda reader: reader._push(True),
    0x89: lambda reader: reader._push(False),
    ord("t"): lambda reader: reader._push(tuple(reader._since_mark())),
    0x85: lambda reader: reader._tuple(1),
    0x86: lambda reader: reader._tuple(2),
    0x87: lambda reader: reader._tuple(3),
    ord("a"): _PickleReader._append,
    ord("e"): _PickleReader._extend,
    ord("s"): _PickleReader._set_item,
    ord("u"): _PickleReader._set_items,
    ord("c"): _PickleReader._global,
    0x93: _PickleReader._stack_global,
    0x94: lambda reader: reader._put(len(reader._memo)),
    0x95: lambda reader: reader._number("<Q"),
    0x8C: lambda reader: reader._text(reader._number("<B")),
    ord("X"): lambda reader: reader._text(reader._number("<I")),
    0x8D: lambda reader: reader._text(reader._number("<Q")),
    ord("C"): lambda reader: reader._text(reader._number("<B")),
    ord("B"): lambda reader: reader._text(reader._number("<I")),
    0x8E: lambda reader: reader._text(reader._number("<Q")),
    0x96: lambda reader: reader._text(reader._number("<Q")),
    ord("R"): _PickleReader._reduce,
    ord("b"): _PickleReader._build,
}
"""The supported opcodes."""

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
