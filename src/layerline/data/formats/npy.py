"""The header of a .npy array, read without NumPy's reader, so that nothing in it is ever unpickled or run.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html: the magic string, two bytes of version, the
length of the header (2 bytes, from version 2 on 4), then a Python dictionary as text, then the values.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable

_MAGIC: Final = b"\x93NUMPY"
_LONGEST: Final = 10_000
"""Bytes of a header; NumPy's own limit."""
_KEYS: Final = {"descr", "fortran_order", "shape"}
_PLAIN: Final = "buifUS"
"""NumPy's letters for truth values, whole numbers, floats and text."""
_REFUSED: Final = {
    "O": "Python objects, which are pickled and never read",
    "c": "complex numbers",
    "V": "values of several parts",
    "M": "dates",
    "m": "time differences",
}


@dataclass(frozen=True)
class Header:
    """What the header of an array says."""

    dtype: np.dtype[Any]
    fortran_order: bool
    shape: tuple[int, ...]
    length: int
    """Bytes before the first value."""

    @property
    def size(self) -> int:
        """Return how many bytes the values take."""
        return math.prod(self.shape) * self.dtype.itemsize


def header(take: Callable[[int], bytes], place: str) -> Header:
    """Read a header through `take(count)`, which returns up to `count` bytes. Raises DataError."""
    start = take(8)
    if start[:6] != _MAGIC or len(start) < 8:
        raise DataError(f"{place}: found bytes that are no NumPy array, expected an array", "save it with numpy.savez")
    wide = start[6] in (2, 3)
    if start[6] not in (1, 2, 3):
        raise DataError(f"{place}: found version {start[6]} of .npy, expected 1, 2 or 3", "save it with numpy.savez")
    field = take(4 if wide else 2)
    count = int.from_bytes(field, "little")
    if count > _LONGEST:
        raise DataError(
            f"{place}: found a header of {display.count(count)} bytes, expected at most {display.count(_LONGEST)}",
            "an array with plain numbers has a short one: save it with numpy.savez",
        )
    text = take(count)
    if len(field) < (4 if wide else 2) or len(text) < count:
        raise DataError(f"{place}: found the end of the array in its header, expected values", "save it anew")
    dtype, fortran_order, shape = _meaning(text, place)
    return Header(dtype, fortran_order, shape, 8 + len(field) + count)


def _meaning(text: bytes, place: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    damaged = DataError(f"{place}: found a header that cannot be read, expected NumPy's", "save it with numpy.savez")
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
            f"{place}: found {_REFUSED.get(kind, 'no plain numbers')} (type {text}), expected numbers or names",
            "save images as uint8 or float32, labels as whole numbers or text",
        )
    return dtype
