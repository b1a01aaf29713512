"""Read a .npy array without NumPy's reader, so that nothing in it is ever unpickled or executed.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html: the magic string, two version bytes, the length
of the header (2 bytes; 4 from version 2 on), then a Python dictionary as text, then the values.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.formats.stream import FETCH
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_MAGIC: Final = b"\x93NUMPY"
_LONGEST: Final = 10_000
"""Maximum size of a header in bytes; NumPy's own limit."""
_KEYS: Final = {"descr", "fortran_order", "shape"}
_PLAIN: Final = "buifUS"
"""NumPy's letters for booleans, integers, floats and text."""
_REFUSED: Final = {
    "O": "pickled Python objects, which are never loaded",
    "c": "complex numbers",
    "V": "records",
    "M": "dates",
    "m": "time differences",
}
_CHUNK: Final = 2**20
_LAST_LETTER: Final = 0x10FFFF
"""The last Unicode code point. Larger numbers in text would fail in Python, some with a SystemError."""


@dataclass(frozen=True)
class Header:
    """The header of an array."""

    dtype: np.dtype[Any]
    fortran_order: bool
    shape: tuple[int, ...]
    length: int
    """Bytes before the first value."""

    @property
    def size(self) -> int:
        """Return the size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def header(take: Callable[[int], bytes], place: str) -> Header:
    """Read a header with `take(count)`, which returns up to `count` bytes. Raises DataError."""
    start = take(8)
    if start[:6] != _MAGIC or len(start) < 8:
        raise DataError(f"{place}: found data that is not a NumPy array", "save it with numpy.savez")
    wide = start[6] in (2, 3)
    if start[6] not in (1, 2, 3):
        raise DataError(f"{place}: found .npy version {start[6]}, expected 1, 2 or 3", "save it with numpy.savez")
    field = take(4 if wide else 2)
    count = int.from_bytes(field, "little")
    if count > _LONGEST:
        raise DataError(
            f"{place}: found a header of {display.count(count)} bytes, expected at most {display.count(_LONGEST)}",
            "arrays of numbers have a short header: save it with numpy.savez",
        )
    text = take(count)
    if len(field) < (4 if wide else 2) or len(text) < count:
        raise DataError(f"{place}: the file ends in the middle of the header", "save it again")
    dtype, fortran_order, shape = _meaning(text, place)
    return Header(dtype, fortran_order, shape, 8 + len(field) + count)


def values(file: IO[bytes], size: int, place: str) -> NDArray[Any]:
    """Return the array in a file of `size` bytes. Raises DataError, and EOFError if the file is shorter."""
    found = header(file.read, place)
    expected = size - found.length
    if found.size != expected:
        raise DataError(
            f"{place}: found {display.count(expected)} bytes of values, expected {display.count(found.size)} for "
            f"{_times(found.shape)} of {found.dtype}",
            FETCH,
        )
    buffer: NDArray[np.uint8] = np.empty(found.size, np.uint8)
    view, filled = buffer.data, 0
    while filled < len(view):
        piece = file.read(min(_CHUNK, len(view) - filled))
        if not piece:
            raise EOFError
        view[filled : filled + len(piece)] = piece
        filled += len(piece)  # at the end, the reader of an archive verifies the checksum
    if found.dtype.kind == "U" and (buffer.view(found.dtype.str[0] + "u4") > _LAST_LETTER).any():
        raise DataError(f"{place}: found text with a character outside Unicode", "save it again")
    array = buffer.view(found.dtype)
    if found.fortran_order:
        return np.ascontiguousarray(array.reshape(found.shape, order="F"))
    return array.reshape(found.shape)


def _meaning(text: bytes, place: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    damaged = DataError(f"{place}: cannot read the NumPy header", "save it with numpy.savez")
    try:
        content = ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        raise damaged from None
    if not isinstance(content, dict) or set(content) != _KEYS:
        raise damaged
    shape, fortran_order = content["shape"], content["fortran_order"]
    whole = isinstance(shape, tuple) and len(shape) <= 64 and all(type(size) is int and size >= 0 for size in shape)
    if not whole or not isinstance(fortran_order, bool):
        raise damaged
    return _dtype(content["descr"], place, damaged), fortran_order, shape


def _dtype(described: object, place: str, damaged: DataError) -> np.dtype[Any]:
    if isinstance(described, list):
        kind, text = "V", "structured"
    elif isinstance(described, str) and len(described) < 40:
        try:
            dtype = np.dtype(described)
        except (TypeError, ValueError, SyntaxError):
            raise damaged from None
        if not dtype.itemsize:
            raise damaged
        kind, text = dtype.kind, str(dtype)
    else:
        raise damaged
    if kind not in _PLAIN:
        raise DataError(
            f"{place}: found {_REFUSED.get(kind, 'no numbers')} (type {text}); expected numbers or text",
            f"save images as uint8 or float32, labels as integers or text{': y.astype(str)' * (kind == 'O')}",
        )
    return dtype


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(display.count(size) for size in shape) or "one value"
