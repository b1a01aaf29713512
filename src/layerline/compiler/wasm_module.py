"""A WebAssembly module from LLVM's object file: all that a linker has to do for a single object.

LLVM's wasm32 object is itself a module: the indices in its code are already those of the object, and its relocations
only say where they are (github.com/WebAssembly/tool-conventions, Linking.md). So the imported memory and stack pointer
become defined ones, `run` is added, which calls the entry function with constant addresses, and the contents of memory
become data segments. Whatever would need more than that is refused: see `ObjectError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE: Final = 65536
"""Bytes per page of memory."""
STACK: Final = PAGE
"""The first bytes of memory: the stack, which grows down, so that an overflow leaves the memory and traps."""
RUN: Final = "run"
"""The exported function."""

_HEAD: Final = b"\0asm\1\0\0\0"
_CUSTOM, _TYPE, _IMPORT, _FUNCTION, _MEMORY, _GLOBAL, _EXPORT, _CODE, _DATA = 0, 1, 2, 3, 5, 6, 7, 10, 11
_TAKEN: Final = (_TYPE, _IMPORT, _FUNCTION, _CODE)
_ONE_FUNCTION, _ONE_TABLE, _ONE_MEMORY, _ONE_GLOBAL = range(4)
_I32, _MUTABLE, _CONSTANT, _CALL, _END = 0x7F, 1, 0x41, 0x10, 0x0B
_NO_ARGUMENTS: Final = b"\x60\0\0"
_STACK_POINTER: Final = "__stack_pointer"
_SYMBOLS, _LINKING_VERSION = 8, 2
_UNDEFINED, _NAMED = 0x10, 0x40
_SYMBOL_FUNCTION, _SYMBOL_DATA, _SYMBOL_GLOBAL, _SYMBOL_SECTION = 0, 1, 2, 3
_OF_FUNCTION, _OF_TYPE, _OF_GLOBAL = 0, 6, 7
_RELOCATED: Final = {_OF_FUNCTION: _SYMBOL_FUNCTION, _OF_GLOBAL: _SYMBOL_GLOBAL}
"""Relocations that the object has already applied: their numbers → the kind of symbol; that of types has no symbol."""


class ObjectError(ValueError):
    """An object that is damaged, or needs a linker: our bug, because the kernels use neither globals nor libraries."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What a module has in memory."""

    size: int
    """Bytes of memory, including the stack."""
    segments: Sequence[tuple[int, bytes]]
    """(address, content) of everything that is not zero at the beginning."""
    exported: Mapping[str, int]
    """Addresses that the module exports by name."""
    sections: Mapping[str, bytes]
    """Custom sections by name."""


def module(code: bytes, entry: str, arguments: Sequence[int], contents: Contents) -> bytes:
    """Return a module that imports nothing, from an object with the function `entry` of i32 arguments.

    It exports `memory`, `run` without arguments, and the global constants of `contents.exported`. Raises ObjectError.
    """
    sections, customs = _sections(code)
    symbols = _symbols(customs.get("linking", b""))
    stack_pointer = _check_imports(sections.get(_IMPORT, b"\0"))
    functions, types = _counted(sections, _FUNCTION), _counted(sections, _TYPE)
    _check_relocations(customs, sections[_CODE], symbols)
    called = [each.index for each in symbols if each.kind == _SYMBOL_FUNCTION and each.name == entry]
    if len(called) != 1:
        raise ObjectError(f"{len(called)} functions {entry}, expected 1")
    if _counted(sections, _CODE)[0] != functions[0] or called[0] >= functions[0]:
        raise ObjectError("the functions do not match their code")
    call = b"".join(b"%c%b" % (_CONSTANT, _signed(each)) for each in arguments)
    run = b"\0%b%c%b%c" % (call, _CALL, _unsigned(called[0]), _END)
    pointers = [_global(STACK, mutable=True)] if stack_pointer else []
    pages = _unsigned(-(-contents.size // PAGE))
    exports = [(RUN, _ONE_FUNCTION, functions[0]), ("memory", _ONE_MEMORY, 0)]
    exports += [(name, _ONE_GLOBAL, len(pointers) + k) for k, name in enumerate(contents.exported)]
    return b"".join(
        (
            _HEAD,
            _section(_TYPE, _appended(types, _NO_ARGUMENTS)),
            _section(_FUNCTION, _appended(functions, _unsigned(types[0]))),
            _section(_MEMORY, _vector([b"\1" + pages + pages])),
            _section(_GLOBAL, _vector([*pointers, *map(_global, contents.exported.values())])),
            _section(_EXPORT, _vector([b"%b%c%b" % (_text(name), kind, _unsigned(at)) for name, kind, at in exports])),
            _section(_CODE, _appended(_counted(sections, _CODE), _unsigned(len(run)) + run)),
            _section(_DATA, _vector([_segment(at, content) for at, content in contents.segments])),
            *(_section(_CUSTOM, _text(name) + content) for name, content in contents.sections.items()),
        )
    )


# -- reading ---------------------------------------------------------------------------


@final
class _Bytes:
    """Bytes that are read from the beginning to the end. Its methods raise ObjectError if there are too few."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self.content, self.at = content, at

    @property
    def left(self) -> int:
        return len(self.content) - self.at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ObjectError(f"{self.left} bytes at {self.at}, expected {count}")
        self.at += count
        return self.content[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def unsigned(self) -> int:
        """Return an unsigned LEB128 of at most 32 bits."""
        number = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            number |= (byte & 127) << shift
            if byte < 128:
                break
        if byte >= 128 or number >= 1 << 32:
            raise ObjectError(f"a number of more than 32 bits before {self.at}")
        return number

    def text(self) -> str:
        return self.take(self.unsigned()).decode("utf-8", "replace")


@dataclass(frozen=True)
class _Symbol:
    kind: int
    index: int
    """Of the function or global; of others 0."""
    name: str


def _sections(code: bytes) -> tuple[dict[int, bytes], dict[str, bytes]]:
    """Return the sections by number, and the custom ones by name."""
    if not code.startswith(_HEAD):
        raise ObjectError("not a WebAssembly object")
    reader = _Bytes(code, len(_HEAD))
    found: dict[int, bytes] = {}
    customs: dict[str, bytes] = {}
    while reader.left:
        number = reader.byte()
        content = reader.take(reader.unsigned())
        if number == _CUSTOM:
            custom = _Bytes(content)
            name = custom.text()
            customs[name] = content[custom.at :]
        elif number not in _TAKEN or number in found:
            raise ObjectError(f"a section of kind {number}: constant data, tables and the like need a linker")
        else:
            found[number] = content
    for number in (_TYPE, _FUNCTION, _CODE):
        if number not in found:
            raise ObjectError(f"no section of kind {number}")
    return found, customs


def _symbols(linking: bytes) -> list[_Symbol]:
    """Return the symbol table of the section `linking`."""
    reader = _Bytes(linking)
    if not linking or reader.unsigned() != _LINKING_VERSION:
        raise ObjectError(f"not an object of linking version {_LINKING_VERSION}")
    while reader.left:
        kind = reader.byte()
        content = reader.take(reader.unsigned())
        if kind == _SYMBOLS:
            table = _Bytes(content)
            return [_symbol(table) for _ in range(table.unsigned())]
    return []


def _symbol(reader: _Bytes) -> _Symbol:
    kind, flags = reader.byte(), reader.unsigned()
    if kind in (_SYMBOL_DATA, _SYMBOL_SECTION):
        if kind == _SYMBOL_SECTION:
            return _Symbol(kind, 0, str(reader.unsigned()))
        raise ObjectError(f"the data {reader.text()}: constant data needs a linker")
    index = reader.unsigned()
    name = "" if flags & _UNDEFINED and not flags & _NAMED else reader.text()
    return _Symbol(kind, index, name)


def _check_imports(content: bytes) -> bool:
    """Return whether the stack pointer is imported. Raises ObjectError for anything but that and the memory."""
    reader, stack_pointer = _Bytes(content), False
    for _ in range(reader.unsigned()):
        reader.text()
        name, kind = reader.text(), reader.byte()
        if kind == _ONE_MEMORY:
            bounded = reader.unsigned() & 1
            for _ in range(1 + bounded):
                reader.unsigned()
        elif kind == _ONE_GLOBAL and name == _STACK_POINTER and not stack_pointer:
            stack_pointer = True
            if reader.take(2) != bytes([_I32, _MUTABLE]):
                raise ObjectError("a stack pointer that is not a mutable i32")
        else:
            raise ObjectError(f"an import of kind {kind}, {name}: the module would not be self-contained")
    return stack_pointer


def _check_relocations(customs: Mapping[str, bytes], code: bytes, symbols: Sequence[_Symbol]) -> None:
    """Raise ObjectError unless all relocations are indices that the code already has."""
    for name in customs:
        if name.startswith("reloc.") and name != "reloc.CODE" and not name.startswith("reloc.debug"):
            raise ObjectError(f"a section {name}")
    if "reloc.CODE" not in customs:
        return
    reader = _Bytes(customs["reloc.CODE"])
    reader.unsigned()
    for _ in range(reader.unsigned()):
        kind, at, number = reader.byte(), reader.unsigned(), reader.unsigned()
        if kind == _OF_TYPE:
            continue
        if kind not in _RELOCATED or number >= len(symbols) or symbols[number].kind != _RELOCATED[kind]:
            raise ObjectError(f"a relocation of kind {kind} at {at} of the code: an address needs a linker")
        found, expected = _Bytes(code, at).unsigned(), symbols[number].index
        if found != expected:
            raise ObjectError(f"the index {found} at {at} of the code, expected {expected} of {symbols[number].name}")


def _counted(sections: Mapping[int, bytes], number: int) -> tuple[int, bytes]:
    """Return the number of items in a section, and their bytes."""
    reader = _Bytes(sections[number])
    return reader.unsigned(), reader.content[reader.at :]


# -- writing ---------------------------------------------------------------------------


def _unsigned(number: int) -> bytes:
    """Return an unsigned LEB128."""
    content = bytearray()
    while number >= 128:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])


def _signed(number: int) -> bytes:
    """Return a nonnegative signed LEB128: the highest bit of its last byte, its sign, is 0."""
    content = bytearray()
    while number >= 64:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])


def _text(text: str) -> bytes:
    content = text.encode()
    return _unsigned(len(content)) + content


def _vector(items: Sequence[bytes]) -> bytes:
    return _unsigned(len(items)) + b"".join(items)


def _appended(items: tuple[int, bytes], item: bytes) -> bytes:
    return _unsigned(items[0] + 1) + items[1] + item


def _section(number: int, content: bytes) -> bytes:
    return bytes([number]) + _unsigned(len(content)) + content


def _global(value: int, *, mutable: bool = False) -> bytes:
    return bytes([_I32, int(mutable), _CONSTANT]) + _signed(value) + bytes([_END])


def _segment(address: int, content: bytes) -> bytes:
    return b"\0%c%b%c%b%b" % (_CONSTANT, _signed(address), _END, _unsigned(len(content)), content)
