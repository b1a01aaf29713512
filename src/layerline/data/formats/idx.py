"""Read IDX, the format of MNIST: a big-endian header with type and dimensions, then the values; gzipped or not.

http://yann.lecun.com/exdb/mnist: bytes 0 and 1 are zero, byte 2 is the type, byte 3 is the number D of dimensions,
followed by D sizes of 4 bytes each, then the data, in which the last dimension varies fastest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from layerline.data.formats import recognize
from layerline.data.formats.stream import FETCH, Stream, counted, open_stream
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Role = Literal["images", "labels"]

TYPES: Final = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_DIMENSIONS: Final[dict[Role, tuple[int, ...]]] = {"images": (3, 4), "labels": (1,)}
_SHAPES: Final[dict[Role, str]] = {"images": "save images as (N, H, W)", "labels": "save labels as (N,)"}
_MAGIC: Final[dict[Role, int]] = {"images": 2051, "labels": 2049}
_OTHER: Final[dict[Role, Role]] = {"images": "labels", "labels": "images"}
_LARGEST_MACHINE: Final = 2**62


def read(path: Path, role: Role) -> NDArray[Any]:
    """Return the array of an IDX file: images (N, H, W), (N, C, H, W) or (N, H, W, C), or labels (N,).

    Raises DataError if anything is wrong with the file, before allocating memory if the header shows it.
    """
    with open_stream(path) as stream:
        dtype, shape = _header(stream, role)
        count = math.prod(shape) * dtype.itemsize
        start = stream.at
        _check_size(stream, shape, start, count)
        try:
            buffer = np.empty(count, np.uint8)
        except (MemoryError, ValueError) as error:
            raise DataError(
                f"{stream.name}: {role} of {display.size(count)} do not fit into memory",
                "use a machine with more memory, or part of the data",
            ) from error
        if stream.fill(buffer.data) < count:
            raise _cut_off(stream, start + count, f"{_times(shape)} values")
        stream.close_end()
    return buffer.view(dtype).reshape(shape)


def _header(stream: Stream, role: Role) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.take(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise _not_idx(stream, magic, role)
    code, dimensions = magic[2], magic[3]
    if code not in TYPES:
        known = ", ".join(f"0x{known:02X}" for known in TYPES)
        raise DataError(f"{stream.name}:2: found type 0x{code:02X}, expected one of {known}", FETCH)
    if dimensions in _DIMENSIONS[_OTHER[role]]:
        number = int.from_bytes(magic, "big")
        raise DataError(
            f"{stream.name}:0: found a header for {_OTHER[role]} ({number}), expected one for {role} ({_MAGIC[role]})",
            "the image and label files are swapped: swap their names",
        )
    if dimensions not in _DIMENSIONS[role]:
        known = " or ".join(map(str, _DIMENSIONS[role]))
        raise DataError(
            f"{stream.name}:3: found {display.counted(dimensions, 'dimension')}, expected {known} for {role}",
            _SHAPES[role],
        )
    sizes = stream.take(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _cut_off(stream, 4 + 4 * dimensions, f"a header with {display.counted(dimensions, 'size')}")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if 0 in shape:
        at = 4 + 4 * shape.index(0)
        raise DataError(f"{stream.name}:{at}: found shape {_times(shape)}, expected sizes of at least 1", FETCH)
    return np.dtype(TYPES[code]), shape


def _not_idx(stream: Stream, magic: bytes, role: Role) -> DataError:
    """Return the error for a file that does not start like IDX."""
    what = recognize.kind(magic + stream.take(300))
    expected = f"expected an IDX file of {role} (first bytes {_MAGIC[role].to_bytes(4, 'big').hex(' ')})"
    if what is None and len(magic) < 4:
        return _cut_off(stream, 4, "an IDX header")
    if what is None and magic[2:] == b"\0\0" and magic[1] in TYPES and 0 < magic[0] <= 8:
        return DataError(
            f"{stream.name}:0: found {magic.hex(' ')}, which looks little-endian; {expected}",
            "the header has the wrong byte order: write it big-endian",
        )
    packed = f" in {stream.packed}" if stream.packed else ""
    found = f"{magic.hex(' ')}, which is not IDX;" if what is None else f"{what}{packed},"
    return DataError(f"{stream.name}:0: found {found} {expected}", recognize.remedy(what))


def _check_size(stream: Stream, shape: tuple[int, ...], start: int, count: int) -> None:
    if start + count > stream.most or count > _LARGEST_MACHINE:
        turned = tuple(int.from_bytes(size.to_bytes(4, "little"), "big") for size in shape)
        looks = math.prod(turned) * count // math.prod(shape) + start <= stream.most
        raise DataError(
            f"{stream.name}:{start}: found {stream.content}, but the header and {_times(shape)} values need "
            f"{display.count(start + count)}",
            f"the sizes look little-endian ({_times(turned)}): write the header big-endian" if looks else FETCH,
        )


def _cut_off(stream: Stream, expected: int, what: str) -> DataError:
    return DataError(
        f"{stream.name}:{stream.at}: the file ends after {counted(stream.at)}, "
        f"expected {display.count(expected)} for {what}",
        FETCH,
    )


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(display.count(size) for size in shape)
