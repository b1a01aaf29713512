"""Read the pickles of CIFAR's Python batches, the only ones supported here, without executing anything.

The published batches were written by Python 2 with protocol 2: a dictionary of strings, numbers, lists, and one NumPy
array. Batches that were saved again by Python 3 have the same content in protocols 2 to 5. The only known names are
NumPy's for arrays, and the one by which Python 3 writes bytes in protocol 2; `files/unpickler.py` reads the rest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from layerline.errors import DataError
from layerline.files.unpickler import Dialect, PickleFault, Unpickler

_MAX_STEPS: Final = 100_000
_STEPS_PER_IMAGE: Final = 20
"""Further steps that a file is allowed, for every 3,072 of its bytes: an image of CIFAR-100 needs at most 14."""
_IMAGE: Final = 3072
_HELP: Final = "this is not an official CIFAR file, so it is not loaded: use cifar-10-binary.tar.gz instead"


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
    return Unpickler(content, place, _CIFAR).load()


def _call(name: Any, arguments: Any) -> Any:
    match name, arguments:
        case _Name.RECONSTRUCT, (_Name.NDARRAY, tuple(), memoryview()):
            return Array()
        case _Name.DTYPE, (memoryview() as kind, int(), int()):
            return Type(bytes(kind[:20]).decode("ascii", "backslashreplace"))
        case _Name.FROM_BUFFER, (memoryview() as content, Type() as kind, tuple() as shape, memoryview() as order):
            return Array(shape, kind.name, bytes(order[:1]) != b"C", content)
        case _Name.ENCODE, (memoryview() as text, memoryview() as coding) if bytes(coding[:7]) == b"latin1":
            return _latin(text)
    raise PickleFault("a call", "only calls that create a NumPy array")


def _latin(text: memoryview) -> memoryview:
    """Return bytes that Python 3 wrote as text in which every letter is one byte."""
    try:
        return memoryview(bytes(text).decode("utf-8").encode("latin-1"))
    except UnicodeError:
        raise PickleFault("bytes stored as text with a character above 255", "characters up to 255") from None


def _build(target: Any, state: Any) -> None:
    match target, state:
        case Type(), (int(), memoryview(), *_):
            pass  # the byte order of a type: single bytes have none, and others are refused by their name
        case Array(), (int(), tuple() as shape, Type() as kind, bool() as fortran, content) if all(
            type(size) is int for size in shape
        ):
            target.shape, target.type, target.fortran_order = shape, kind.name, fortran
            target.content = content if isinstance(content, memoryview) else None
        case _:
            raise PickleFault("state for an object that has none", "the state of a NumPy array")


_CIFAR: Final = Dialect(
    purpose="CIFAR",
    names={name.value: name for name in _Name}
    | {name.value.replace("numpy.core.", "numpy._core."): name for name in _Name},  # NumPy 2 renamed it
    only_names="only NumPy's array types",
    call=_call,
    build=_build,
    most_opcodes=lambda length: _MAX_STEPS + length // _IMAGE * _STEPS_PER_IMAGE,
    usual_opcodes="about 3 per image",
    refused=lambda message: DataError(message, _HELP),
)
