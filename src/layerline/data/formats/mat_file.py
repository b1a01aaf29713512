"""Read the numeric arrays of a MATLAB file of version 5 to 7, without running or creating anything else in it.

MathWorks, "MAT-File Format": 128 bytes of header, then elements, each with a type and a size. An array is an element
of elements: flags, dimensions, name, values; it may be compressed by zlib. Values are in column-major order.
"""

from __future__ import annotations

import abc
import math
import os
import struct
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.data.formats.recognize import shown, unreadable
from layerline.data.formats.stream import FETCH
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

START: Final = b"MATLAB"
_HDF5: Final = b"\x89HDF"
_HEADER: Final = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How values are stored, by the type of their element."""
_CLASSES: Final = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""What the values are, by the class of their array."""
_LOGICAL, _COMPLEX = 0x0200, 0x0800
_MAX_ARRAYS: Final = 1000
_MAX_DIMENSIONS: Final = 8
_LONGEST_NAME: Final = 256
_DENSEST: Final = 1032
"""Maximum compression ratio of zlib."""
_CHUNK: Final = 2**20


@dataclass(frozen=True)
class Head:
    """The header of a numeric array."""

    name: str
    shape: tuple[int, ...]
    """As MATLAB displays it; the first index is the fastest in memory."""
    kind: str
    """The type of its values, `u1` for bytes."""


def heads(path: Path) -> dict[str, Head]:
    """Return the headers of the numeric arrays in a file. Raises DataError."""
    return {head.name: head for head, _ in _arrays(path, ())}


def arrays(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return some arrays of a file with their indices reversed: MATLAB's (H, W, C, N) is (N, C, W, H).

    Raises DataError.
    """
    return {head.name: array for head, array in _arrays(path, names) if array is not None}


def _arrays(path: Path, names: Collection[str]) -> Iterator[tuple[Head, NDArray[Any] | None]]:
    """Yield the header of every numeric array, and its values if its name is in `names`."""
    place = shown(path)
    try:
        with regular.opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            order = _order(file.read(_HEADER), place)
            at, count = _HEADER, 0
            while at + 8 <= size:
                file.seek(at)
                kind, length = struct.unpack(order + "II", file.read(8))
                count += 1
                if length > size - at - 8 or count > _MAX_ARRAYS:
                    raise DataError(f"{place}:{at}: found an element that does not fit into the file", FETCH)
                if kind in (_MATRIX, _COMPRESSED):
                    source: _Source = _Inflated(file, length) if kind == _COMPRESSED else _Stored(file, length)
                    yield from _array(_Elements(source, order, f"{place}:{at}"), kind, length, names)
                at += 8 + length
    except OSError as error:
        raise unreadable(path, error) from error


def _order(start: bytes, place: str) -> str:
    """Return the byte order of a file, by its header. Raises DataError."""
    if start.startswith((_HDF5, b"MATLAB 7.3")):
        raise DataError(
            f"{place}: found a MATLAB file of version 7.3 (HDF5), expected version 5 to 7",
            "save it in MATLAB with save(file, 'X', 'y', '-v7'), or from Python with numpy.savez(file, x=images, "
            "y=labels)",
        )
    order = {b"IM": "<", b"MI": ">"}.get(start[126:128])
    if order is None or struct.unpack(order + "H", start[124:126])[0] != 0x0100:
        raise DataError(f"{place}: found no MATLAB header of version 5 to 7", FETCH)
    return order


def _array(
    elements: _Elements, kind: int, length: int, names: Collection[str]
) -> Iterator[tuple[Head, NDArray[Any] | None]]:
    """Yield an array if it is numeric."""
    if kind == _COMPRESSED:
        kind, length = elements.tag()
    if kind != _MATRIX or not length:
        return
    flags = elements.numbers(6, 2)
    kind_of_array = flags[0] & 0xFF
    if kind_of_array not in _CLASSES or flags[0] & _COMPLEX:
        return
    shape = elements.numbers(5, _MAX_DIMENSIONS)
    name = elements.text()
    if len(shape) < 2 or min(shape) < 0:
        raise elements.wrong(f"{display.name(name)} with fewer than 2 dimensions, or a negative one")
    head = Head(name, shape, "?" if flags[0] & _LOGICAL else _CLASSES[kind_of_array])
    yield head, elements.values(head) if name in names else None


class _Source(abc.ABC):
    """The bytes of an element of the file."""

    most: int
    """Maximum number of bytes."""

    @abc.abstractmethod
    def read(self, count: int) -> bytes:
        """Return up to `count` bytes, fewer only at the end. Raises zlib.error."""


@final
class _Stored(_Source):
    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left, self.most = file, length, length

    def read(self, count: int) -> bytes:
        found = self._file.read(min(count, self._left))
        self._left -= len(found)
        return found


@final
class _Inflated(_Source):
    def __init__(self, file: IO[bytes], length: int) -> None:
        self._stored, self._unpack = _Stored(file, length), zlib.decompressobj()
        self.most = length * _DENSEST

    def read(self, count: int) -> bytes:
        pieces = []
        while count and not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._stored.read(_CHUNK)
            piece = self._unpack.decompress(packed, count)
            if not packed and not piece:
                break
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)


class _Elements:
    """The elements of which an array consists."""

    def __init__(self, source: _Source, order: str, place: str) -> None:
        self._source, self._order, self._place = source, order, place

    def tag(self) -> tuple[int, int]:
        """Return the type and size of the next element, which may not be a small one."""
        kind, length = struct.unpack(self._order + "II", self._take(8))
        return kind, length

    def numbers(self, kind: int, most: int) -> tuple[int, ...]:
        """Return the values of an element of at most `most` 32-bit numbers of a type."""
        found, content = self._small(4 * most)
        if found != kind or not content or len(content) % 4:
            raise self.wrong(f"an element of type {found}")
        return struct.unpack(f"{self._order}{len(content) // 4}{'i' if kind == 5 else 'I'}", content)

    def text(self) -> str:
        """Return the text of an element."""
        kind, content = self._small(_LONGEST_NAME)
        if kind != 1:
            raise self.wrong(f"a name of type {kind}")
        return content.decode("ascii", "backslashreplace")

    def values(self, head: Head) -> NDArray[Any]:
        """Return the values of an array, with the indices reversed."""
        start = self._take(8)
        kind, length = struct.unpack(self._order + "II", start)
        small = kind >> 16
        if small:
            kind, length = kind & 0xFFFF, small
        if kind not in _STORED:
            raise self.wrong(f"values of type {kind}")
        stored = np.dtype(self._order + _STORED[kind])
        expected = math.prod(head.shape) * stored.itemsize
        if length != expected or expected > self._source.most or length > 4 * bool(small) + self._source.most:
            raise self.wrong(f"{display.count(length)} bytes for {' × '.join(map(str, head.shape))} values of {stored}")
        if small:
            content: Any = bytearray(start[4 : 4 + length])
        else:
            content = self._filled(length, head.name)
        kind_of_array = np.dtype("f4" if head.kind == "f8" and stored.itemsize < 4 else head.kind)
        array = np.frombuffer(content, stored).astype(kind_of_array, copy=False)
        return array.reshape(head.shape[::-1])

    def wrong(self, found: str) -> DataError:
        """Return the error for something unexpected."""
        return DataError(f"{self._place}: found {found}, expected an array as MATLAB saves it", FETCH)

    def _filled(self, length: int, name: str) -> NDArray[np.uint8]:
        try:
            buffer = np.empty(length, np.uint8)
        except MemoryError as error:
            raise DataError(
                f"{self._place}: {display.name(name)} of {display.size(length)} does not fit into memory",
                "use part of the data",
            ) from error
        at = 0
        while at < length:
            piece = self._take(min(_CHUNK, length - at))
            buffer[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)
        return buffer

    def _small(self, most: int) -> tuple[int, bytes]:
        """Return the type and content of an element of at most `most` bytes, and skip what pads it to 8."""
        start = self._take(8)
        (kind,) = struct.unpack(self._order + "I", start[:4])
        if kind >> 16:
            return kind & 0xFFFF, start[4 : 4 + min(4, kind >> 16)]
        (length,) = struct.unpack(self._order + "I", start[4:])
        if length > most:
            raise self.wrong(f"an element of {display.count(length)} bytes")
        content = self._take(length)
        self._take(-length % 8)
        return kind, content

    def _take(self, count: int) -> bytes:
        try:
            found = self._source.read(count)
        except zlib.error:
            raise self.wrong("data that cannot be unpacked") from None
        if len(found) < count:
            raise self.wrong("the end of an element")
        return found
