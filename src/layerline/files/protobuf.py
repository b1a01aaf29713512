"""The wire format of Protocol Buffers: messages are dataclasses whose fields have a number and a kind.

https://protobuf.dev/programming-guides/encoding is the definition. A message is a sequence of fields, each a key (its
number · 8 + the wire type) and a value: a varint, 4 or 8 bytes, or a length and that many bytes, which are text, bytes,
another message, or several packed numbers. Fields are written in the order of the class, so equal messages give equal
bytes. Reading executes nothing, skips fields that the class does not have, and checks every length against the bytes
that are there before anything is created for it.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Callable

M = TypeVar("M")
MOST_FIELDS: Final = 2_000_000
"""The number of fields in a file, unknown ones included."""
MOST_REPEATED: Final = 200_000
"""The number of values of a repeated field, except of numbers, unless it has another limit."""
DEEPEST: Final = 32
"""Messages in messages."""
_LONGEST_VARINT: Final = 10
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_SIZES: Final = {_EIGHT: 8, _FOUR: 4}
_KEY: Final = "protobuf"


class WireFault(ValueError):  # noqa: N818 - the public error is UserError, which names the file
    """Bytes that are not such a message, or exceed a limit."""


@final
@dataclass(frozen=True)
class WireKind:
    """How a value is stored: its wire type, and the functions between it and its bytes."""

    wire: int
    write: Callable[[Any], bytes]
    read: Callable[[Any], Any]
    """The value of what the wire type has: an int of a varint, else a memoryview."""
    packs: bool = True
    """Whether several can be packed into one field: only numbers."""


@final
@dataclass(frozen=True)
class Field:
    """A field of a message."""

    name: str
    number: int
    kind: WireKind | type[Any]
    """A message type if it is a class."""
    repeated: bool
    packed: bool
    """Whether it is written packed; both are read."""
    most: int


def one(number: int, kind: WireKind | type[Any], default: Any) -> Any:
    """Return a field of a dataclass that has one value; it is not written while it is the default."""
    return dataclasses.field(default=default, metadata={_KEY: (number, kind, False, False, 1)})


def many(number: int, kind: WireKind | type[Any], *, packed: bool = False, most: int = MOST_REPEATED) -> Any:
    """Return a field of a dataclass that has any number of values, as a tuple."""
    return dataclasses.field(default=(), metadata={_KEY: (number, kind, True, packed, most)})


@functools.cache
def _fields(message: Any) -> dict[int, Field]:
    """Return the fields of a message type by their numbers."""
    found = [Field(each.name, *each.metadata[_KEY]) for each in dataclasses.fields(message)]
    return {each.number: each for each in found}


def encoded(message: Any) -> bytes:
    """Return the bytes of a message."""
    parts: list[bytes] = []
    kind_of: Any = type(message)
    for field in _fields(kind_of).values():
        value = getattr(message, field.name)
        kind = field.kind
        if not field.repeated:
            default = kind_of.__dataclass_fields__[field.name].default
            parts += [] if value is default or value == default else _written(field, value)
        elif field.packed and value and isinstance(kind, WireKind):
            parts += _with_length(field.number, b"".join(map(kind.write, value)))
        else:
            for each in value:
                parts += _written(field, each)
    return b"".join(parts)


def _written(field: Field, value: Any) -> list[bytes]:
    if not isinstance(field.kind, WireKind):
        return _with_length(field.number, encoded(value))
    content = field.kind.write(value)
    if field.kind.wire == _LENGTH:
        return _with_length(field.number, content)
    return [_varint(field.number << 3 | field.kind.wire), content]


def _with_length(number: int, content: bytes) -> list[bytes]:
    return [_varint(number << 3 | _LENGTH), _varint(len(content)), content]


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def decoded(message: type[M], content: bytes) -> M:
    """Return the message in these bytes; bytes in it are views of them. Raises WireFault."""
    found: M = _MessageReader(content).message(message, 0, len(content), 0)
    return found


@final
class _MessageReader:
    """Reads the bytes of one file, and counts what it creates."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._view = memoryview(content)
        self._count = 0

    def message(self, kind: Any, at: int, end: int, depth: int) -> Any:
        """Return the message between two places."""
        if depth > DEEPEST:
            raise WireFault(f"messages are nested more than {DEEPEST} deep at byte {at:,d}")
        fields, values = _fields(kind), dict[str, Any]()
        lists: dict[str, list[Any]] = {}
        while at < end:
            start = at
            number, wire, value, at = self._field(at, end)
            field = fields.get(number)
            if field is None:
                continue
            if not isinstance(field.kind, WireKind):
                if wire != _LENGTH:
                    raise WireFault(f"{kind.__name__}.{field.name} is not a message at byte {start:,d}")
                found = [self.message(field.kind, value[0], value[1], depth + 1)]
            else:
                found = self._numbers(field.kind, wire, value, f"{kind.__name__}.{field.name} at byte {start:,d}")
            if not field.repeated:
                values |= {field.name: found[-1]} if found else {}
                continue
            several = lists.setdefault(field.name, [])
            several += found
            if len(several) > field.most:
                raise WireFault(f"{kind.__name__} has more than {field.most:,d} values of {field.name}")
        return kind(**values, **{name: tuple(several) for name, several in lists.items()})

    def _field(self, at: int, end: int) -> tuple[int, int, Any, int]:
        """Return number, wire type and value of the field at a place, and where the next one starts.

        The value of a varint is a number, of all others the places of its first byte and after its last.
        """
        self._count += 1
        if self._count > MOST_FIELDS:
            raise WireFault(f"it has more than {MOST_FIELDS:,d} fields")
        start = at
        key, at = self._number(at, end)
        number, wire = key >> 3, key & 7
        if not 1 <= number < 2**29:
            raise WireFault(f"{number:,d} is not the number of a field at byte {start:,d}")
        if wire == _VARINT:
            value, at = self._number(at, end)
            return number, wire, value, at
        if wire == _LENGTH:
            size, at = self._number(at, end)
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise WireFault(f"field {number} has the unknown wire type {wire} at byte {start:,d}")
        if size > end - at:
            raise WireFault(f"field {number} at byte {start:,d} declares {size:,d} bytes, but {end - at:,d} follow")
        return number, wire, (at, at + size), at + size

    def _number(self, at: int, end: int) -> tuple[int, int]:
        """Return the varint at a place, below 2⁶⁴, and the place after it."""
        content, value = self._content, 0
        for shift in range(_LONGEST_VARINT):
            if at + shift >= end:
                raise WireFault(f"it ends within a number at byte {at:,d}")
            byte = content[at + shift]
            value |= (byte & 0x7F) << 7 * shift
            if byte < 0x80:
                if value >= 2**64:
                    break
                return value, at + shift + 1
        raise WireFault(f"the number at byte {at:,d} has more than 64 bits")

    def _numbers(self, kind: WireKind, wire: int, value: Any, place: str) -> list[Any]:
        """Return the values of a field that is not a message: one, or several that are packed."""
        try:
            if wire == kind.wire:
                return [kind.read(value if wire == _VARINT else self._view[value[0] : value[1]])]
            if wire == _LENGTH and kind.packs:
                return self._packed(kind, *value)
        except ValueError as error:
            raise WireFault(f"{place}: {error}") from error
        raise WireFault(f"{place}: found wire type {wire}, expected {kind.wire}")

    def _packed(self, kind: WireKind, at: int, end: int) -> list[Any]:
        """Return numbers that are packed; each counts as a field."""
        found = []
        if kind.wire in _SIZES:
            size = _SIZES[kind.wire]
            if (end - at) % size:
                raise ValueError(f"{end - at:,d} bytes are not a whole number of values")
            self._count += (end - at) // size
            if self._count > MOST_FIELDS:
                raise ValueError(f"more than {MOST_FIELDS:,d} fields")
            return [kind.read(self._view[k : k + size]) for k in range(at, end, size)]
        while at < end:
            self._count += 1
            if self._count > MOST_FIELDS:
                raise ValueError(f"more than {MOST_FIELDS:,d} fields")
            value, at = self._number(at, end)
            found.append(kind.read(value))
        return found


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _text(content: memoryview) -> str:
    return str(content, "utf-8")


INTEGER: Final = WireKind(_VARINT, lambda value: _varint(value % 2**64), _signed)
"""int32, int64, bool and enum; a negative one has ten bytes."""
FLOAT: Final = WireKind(_FOUR, struct.Struct("<f").pack, lambda content: struct.unpack("<f", content)[0])
BYTES: Final = WireKind(_LENGTH, bytes, lambda content: content, packs=False)
"""Read as a memoryview. Packed numbers of 4 or 8 bytes can also be read as this, without an object for each."""
TEXT: Final = WireKind(_LENGTH, str.encode, _text, packs=False)
