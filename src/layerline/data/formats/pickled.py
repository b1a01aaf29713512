"""The one kind of pickle that is read, that of CIFAR-10's Python batches, by a reader that can run nothing.

The batches were written by Python 2 in protocol 2 (PEP 307): a dictionary of strings, numbers, lists, and one NumPy
array. Each step of the file is looked up in a table of what these files need; anything else is refused. Three names
are known (`numpy.core.multiarray._reconstruct`, `numpy.ndarray`, `numpy.dtype`), and they stand for marks of ours:
nothing is imported, called, or looked up by a name from the file.
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
"""A batch of 10,000 images takes about 30,000."""
_MAX_MARKS: Final = 20
_LONGEST_LINE: Final = 100
_HELP: Final = "this is not an official CIFAR-10 file, and it is not read: fetch cifar-10-binary.tar.gz instead"
_PROTOCOL: Final = 2


class _Name(enum.Enum):
    RECONSTRUCT = "numpy.core.multiarray _reconstruct"
    NDARRAY = "numpy ndarray"
    DTYPE = "numpy dtype"


@dataclass(eq=False)
class Type:
    """The element type of an array, as the file names it: `u1` is uint8."""

    name: str


@dataclass(eq=False)
class Array:
    """An array as the file holds it; nothing of it is checked but that these fields have these types."""

    shape: tuple[int, ...] = ()
    type: str = ""
    fortran_order: bool = False
    content: memoryview | None = None
    """Its bytes; None where it has none, as an array of objects."""


def load(content: bytes, place: str) -> Any:
    """Return what a pickle holds: dict, list, tuple, int, bytes, None, bool, or Array. Raises DataError."""
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
            raise self._error("no pickle of protocol 2", "one, which begins with 80 02")
        for _ in range(_MAX_STEPS):
            self._step_start = self._at
            step = self._byte()
            if step == _STOP:
                return self._end()
            known = _STEPS.get(step)
            if known is None:
                raise self._error(_FORBIDDEN.get(step, f"the step {step:#04x}"), "only the steps that CIFAR-10 needs")
            known(self)
        raise self._error(f"more than {display.count(_MAX_STEPS)} steps", "fewer, as for 10,000 images")

    def _end(self) -> Any:
        if len(self._stack) != 1 or self._marks:
            raise self._error(f"{len(self._stack)} values at the end", "one")
        if self._at != len(self._content):
            raise self._error(f"{display.count(len(self._content) - self._at)} bytes behind the end", "none")
        return self._stack[0]

    # What is read from the file.

    def _take(self, count: int) -> memoryview:
        taken = self._content[self._at : self._at + count]
        if len(taken) < count:
            raise self._error("the end of the file", f"{display.count(count)} bytes more")
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
            raise self._error("a name that does not end", f"one of at most {_LONGEST_LINE} letters")
        self._at += len(line) + 1
        return line.decode("utf-8", "backslashreplace")

    # What is done to the stack.

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self._error("a step that takes a value where there is none", "a value before it")
        return self._stack.pop()

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise self._error("a step that ends a group that was not begun", "a mark before it")
        first = self._marks.pop()
        values = self._stack[first:]
        del self._stack[first:]
        return values

    def _top(self, kind: type[Any], what: str) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise self._error(f"a step on {what} where there is none", f"{what} before it")
        return self._stack[-1]

    # The steps.

    def _protocol(self) -> None:
        version = self._byte()
        if version != _PROTOCOL:
            raise self._error(f"a pickle of protocol {version}", f"protocol {_PROTOCOL}")

    def _mark(self) -> None:
        if len(self._marks) == _MAX_MARKS:
            raise self._error(f"more than {_MAX_MARKS} groups inside each other", "fewer")
        self._marks.append(len(self._stack))

    def _put(self, index: int) -> None:
        self._memo[index] = self._pop()
        self._push(self._memo[index])

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self._error(f"a reference to value {index}, which is not there", "one to a value before it")
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
            raise self._error("a key without a value", "pairs of them")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, memoryview):
                raise self._error("a key that is no text", "text")
            target[bytes(key).decode("utf-8", "backslashreplace")] = value

    def _global(self) -> None:
        module, name = self._line(), self._line()
        try:
            self._push(_Name(f"{module} {name}"))
        except ValueError:
            raise self._error(f"the name {display.name(f'{module}.{name}')}", "no name but NumPy's array") from None

    def _reduce(self) -> None:
        arguments, name = self._pop(), self._pop()
        match name, arguments:
            case _Name.RECONSTRUCT, (_Name.NDARRAY, tuple(), memoryview()):
                self._push(Array())
            case _Name.DTYPE, (memoryview() as kind, int(), int()):
                self._push(Type(bytes(kind[:20]).decode("ascii", "backslashreplace")))
            case _:
                raise self._error("a call", "none but the making of a NumPy array")

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
                raise self._error("a state for something that takes none", "that of a NumPy array")

    def _error(self, found: str, expected: str) -> DataError:
        return DataError(f"{self._place}:{self._step_start}: found {found}, expected {expected}", _HELP)


_STOP: Final = ord(".")
_STEPS: Final[dict[int, Callable[[_PickleReader], None]]] = {
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
    ord("R"): _PickleReader._reduce,
    ord("b"): _PickleReader._build,
}
"""All that can be done, by the byte that asks for it."""

_FORBIDDEN: Final = {
    ord("i"): "the step INST, which makes an object",
    ord("o"): "the step OBJ, which makes an object",
    0x81: "the step NEWOBJ, which makes an object",
    0x92: "the step NEWOBJ_EX, which makes an object",
    0x93: "the step STACK_GLOBAL, which looks up a name",
    0x82: "the step EXT1, which looks up a name",
    0x83: "the step EXT2, which looks up a name",
    0x84: "the step EXT4, which looks up a name",
    ord("P"): "the step PERSID, which asks for an object from outside",
    ord("Q"): "the step BINPERSID, which asks for an object from outside",
}
"""What is refused anyway, with the names that people know them by."""
