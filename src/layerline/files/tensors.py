"""A file of tensors: safetensors with text metadata and a SHA-256 of every byte.

docs/model-file.md, "Bytes" and "Digest", is the definition. The bytes depend only on the content: equal content gives
equal files. (The header is written here because the safetensors package, 0.8, writes the keys of `__metadata__` in a
different order each time.) Reading checks the digest before anything else, and executes nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import UserError
from layerline.files import regular, whole
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
}
_OTHERS_DTYPES: Final = DTYPES | {"F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
"""The types that are read from files of other programs."""
MOST_TENSORS: Final = 400_000
"""Enough for a checkpoint with the most layers: each with a BatchNorm's five tensors in up to eight copies."""
LARGEST_HEADER: Final = 100_000_000
"""Bytes, the maximum that the safetensors package reads."""
_METADATA: Final = "__metadata__"
_BEFORE_DIGEST: Final = b'{"__metadata__":{"sha256":"'
DIGEST_AT: Final = 8 + len(_BEFORE_DIGEST)
DIGEST_LENGTH: Final = 64
_BLANK: Final = b"0" * DIGEST_LENGTH
_ENDS: Final = 1 << 16
"""Bytes inspected at both ends of a file of another kind."""
_PIECE: Final = 1 << 16
"""Bytes read at a time when a file is compared with what was written."""


@dataclass(frozen=True, eq=False)
class Tensors:
    """The content of a file."""

    arrays: dict[str, NDArray[Any]]
    """Read-only views of the file's bytes."""
    metadata: dict[str, str]
    """The metadata without the digest."""
    digest: str
    """SHA-256 of the file, in hexadecimal."""


class FileError(UserError):
    """A file of tensors that cannot be read: another kind of file, truncated, changed, or inconsistent."""


def write(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str],
    *,
    mode: int = whole.SHARED,
    verify: bool = False,
) -> str:
    """Write a file atomically, and return its SHA-256 (hex).

    arrays: float32, float64 or int64. mode: the file's permissions. verify: read it back from the disk and compare
    before it gets its name. Raises UserError if it cannot be written.
    """
    stored = {name: np.asarray(array, _dtype(name, array)[1], order="C") for name, array in arrays.items()}
    header = _header(stored, metadata)
    found = hashlib.sha256(header)
    for array in stored.values():
        found.update(_bytes(array))
    digest = found.hexdigest()
    signed = header[:DIGEST_AT] + digest.encode("ascii") + header[DIGEST_AT + DIGEST_LENGTH :]

    def check(part: Path) -> None:
        if not _holds(part, digest):
            raise OSError(errno.EIO, "what is on the disk is not what was written")

    whole.write(path, _parts(signed, stored), mode=mode, verify=check if verify else None)
    return digest


def read(path: Path, most: int = MOST_TENSORS) -> Tensors:
    """Return the content of a file written by `write`. Raises FileError if it is not exactly such a file.

    most: the maximum number of tensors.
    """
    try:
        content = _content(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    claimed = content[DIGEST_AT : DIGEST_AT + DIGEST_LENGTH]
    digest = digest_of(content)
    if digest.encode("ascii") != claimed:
        raise FileError(f"{path}: the content does not match its SHA-256", "it was changed or truncated: copy it again")
    try:
        arrays, metadata = _parsed(content, most)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{path}: {error}", "the file was not written by Layerline, or was changed since") from error
    return Tensors(arrays, metadata, digest)


def _content(path: Path) -> bytes:
    """Return the bytes of a file that starts like ours; of any other, only enough is read to identify its kind."""
    with regular.opened(path) as file:
        start = file.read(DIGEST_AT + DIGEST_LENGTH)
        if not start:
            raise FileError(f"{path} is empty", "copy it again")
        if len(start) == DIGEST_AT + DIGEST_LENGTH and start[8:DIGEST_AT] == _BEFORE_DIGEST:
            file.seek(0)
            return file.read()
        start += file.read(_ENDS)
        file.seek(max(file.tell(), file.seek(0, 2) - _ENDS))
        kind = foreign(start, file.read())
    helps = "only model files written by Layerline can be loaded; it was not read any further"
    if start.startswith(_ONNX):
        helps = f"a model is made of it by layerline import {shlex.quote(str(path))}"
    raise FileError(f"{path}: {kind or 'not a file written by Layerline'}", helps)


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes, with the digits of the stored digest replaced by zeros."""
    found = hashlib.sha256(content[:DIGEST_AT] + _BLANK)
    found.update(memoryview(content)[DIGEST_AT + DIGEST_LENGTH :])
    return found.hexdigest()


def signed(content: bytes) -> bytes:
    """Return a file's bytes with the stored digest updated to match them."""
    return content[:DIGEST_AT] + digest_of(content).encode("ascii") + content[DIGEST_AT + DIGEST_LENGTH :]


def _holds(path: Path, digest: str) -> bool:
    """Return whether a file has this digest, and stores it; it is read in pieces to save memory."""
    with path.open("rb", buffering=0) as file:
        found = hashlib.sha256(file.read(DIGEST_AT) + _BLANK)
        claimed = file.read(DIGEST_LENGTH)
        while piece := file.read(_PIECE):
            found.update(piece)
    return claimed == digest.encode("ascii") and found.hexdigest() == digest


_ONNX: Final = b"\x08"
_FOREIGN: Final = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5, as written by Keras)"),
    (b"GGUF", "a GGUF file"),
    (b"\0asm", "a WebAssembly module (.wasm)"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"\x80\x02", "a pickle, which can run arbitrary code when it is read (.pt, .pkl)"),
    (b"\x80\x03", "a pickle, which can run arbitrary code when it is read (.pkl)"),
    (b"\x80\x04", "a pickle, which can run arbitrary code when it is read (.pkl)"),
    (b"\x80\x05", "a pickle, which can run arbitrary code when it is read (.pkl)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"<", "an HTML or XML page"),
    (_ONNX, "an ONNX file, judging by its first byte"),
)
_IN_ZIP: Final = (
    (b"data.pkl", "a PyTorch file (.pt), which contains a pickle"),
    (b"model.weights.h5", "a Keras file (.keras)"),
    (b".npy", "a NumPy .npz file"),
)


def foreign(start: bytes, end: bytes = b"") -> str | None:
    """Return the kind of a file by its first and last bytes, None if unknown. Nothing in it is interpreted."""
    if start.startswith(b"PK\x03\x04"):
        kinds = (kind for sign, kind in _IN_ZIP if sign in start or sign in end)  # a zip lists its files at its end
        return next(kinds, "a zip file")
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite file (.tflite)"
    if start[8:10] == b'{"':
        return "a safetensors file written or changed by another program"
    return next((kind for sign, kind in _FOREIGN if start.startswith(sign)), None)


def _parsed(content: bytes, most: int) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return arrays and metadata of a file with the right digest. Raises ValueError for what `write` never writes."""
    header, body = _split(content, most)
    entries = _entries(header)
    metadata = entries.pop(_METADATA)
    _check_count(len(entries), most)
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata is not text")
    del metadata["sha256"]
    return _arrays(entries, body, DTYPES), metadata


def foreign_arrays(content: bytes, place: str, most: int) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file of another program, in the order of its header: float32, or int64.

    place: the file in messages; most: the maximum number of tensors. Raises FileError.
    """
    try:
        header, body = _split(content, most)
        entries = _entries(header)
        entries.pop(_METADATA, None)
        _check_count(len(entries), most)
        stored = _arrays(dict(sorted(entries.items(), key=lambda entry: _start(*entry))), body, _OTHERS_DTYPES)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{place}: {error}", "download or copy it again, or convert it to float32") from error
    return {name: _converted(stored[name], str(entry["dtype"])) for name, entry in entries.items()}


def from_bfloat16(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return bfloat16 numbers, given as uint16, exactly as float32: they are its upper halves."""
    return (np.array(values, np.uint32, order="C") << np.uint32(16)).view(np.float32)


def _converted(array: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return a tensor of another program's file as float32, or int64."""
    if kind == "BF16":
        return from_bfloat16(array)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which is refused where it is used
        return array.astype(np.int64 if kind == "I64" else np.float32, copy=False)


def _split(content: bytes, most: int) -> tuple[bytes, memoryview]:
    """Return the header and the bytes after it. Raises ValueError if their lengths or the header are impossible."""
    length = int.from_bytes(content[:8], "little")
    if length > min(LARGEST_HEADER, len(content) - 8):
        raise ValueError(
            f"its first 8 bytes declare a header of {length:,d} bytes, but only {len(content) - 8:,d} follow"
        )
    header = content[8 : 8 + length]
    _check_count(header.count(b'"data_offsets"'), most)  # before Python objects are created for them
    return header, memoryview(content)[8 + length :]


def _start(name: str, entry: Any) -> tuple[int, int]:
    """Return the offsets of a tensor, by which a file's tensors are sorted. Raises ValueError if there are none."""
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(offset) is int for offset in offsets):
        raise ValueError(f"tensor {display.name(name)}: not described by dtype, shape and data_offsets")
    return offsets[0], offsets[1]


def _arrays(
    entries: Mapping[str, Any], body: memoryview, dtypes: Mapping[str, np.dtype[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the tensors, which follow each other without gaps. Raises ValueError."""
    arrays, end = {}, 0
    for name, entry in entries.items():
        arrays[name], end = _array(name, body, entry, end, dtypes)
    if end != len(body):
        raise ValueError(f"{len(body) - end:,d} bytes belong to no tensor")
    return arrays


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise ValueError(f"it holds {count:,d} tensors; at most {most:,d} are allowed")


def _entries(header: bytes) -> dict[str, Any]:
    """Return the header as a dictionary. Raises ValueError if it is not JSON or has duplicate names."""
    try:
        text = header.decode("utf-8")
        found: dict[str, Any] = json.loads(text, object_pairs_hook=_unique)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"its header is not JSON text ({error})") from error
    return found


def _array(
    name: str, body: memoryview, entry: Any, start: int, dtypes: Mapping[str, np.dtype[Any]]
) -> tuple[NDArray[Any], int]:
    """Return a tensor, and the start of the next one: they follow each other without gaps."""
    place = f"tensor {display.name(name)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{place}: not described by dtype, shape and data_offsets")
    kind, shape, offsets = str(entry["dtype"]), entry["shape"], entry["data_offsets"]
    if kind not in dtypes:
        raise ValueError(f"{place}: found dtype {display.name(kind)}, expected one of {', '.join(dtypes)}")
    dtype = dtypes[kind]
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{place}: its shape is not a list of whole numbers")
    end = start + math.prod(shape) * dtype.itemsize
    if offsets != [start, end] or end > len(body):
        expected = f"[{start}, {end}]" if end <= len(body) else f"at most {len(body):,d} bytes"
        raise ValueError(f"{place}: found offsets {display.name(str(offsets))}; expected {expected}")
    return np.frombuffer(body[start:end], dtype).reshape(shape), end


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header has a duplicate name")
    return found


def _header(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the file up to the first tensor, with zeros for the digest, padded with spaces to a multiple of 8."""
    entries: dict[str, Any] = {_METADATA: {"sha256": _BLANK.decode(), **metadata}}
    offset = 0
    for name, array in arrays.items():
        entries[name] = {
            "dtype": _dtype(name, array)[0],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(entries, separators=(",", ":"), allow_nan=False).encode("ascii")
    text += b" " * (-len(text) % 8)
    if not text.startswith(_BEFORE_DIGEST) or len(text) > LARGEST_HEADER:
        raise ValueError("the header does not have its fixed form")
    return len(text).to_bytes(8, "little") + text


def _parts(header: bytes, arrays: Mapping[str, NDArray[Any]]) -> Iterator[bytes | memoryview]:
    yield header
    for array in arrays.values():
        yield _bytes(array)


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _dtype(name: str, array: NDArray[Any]) -> tuple[str, np.dtype[Any]]:
    for word, dtype in DTYPES.items():
        if array.dtype == dtype:
            return word, dtype
    raise ValueError(f"{name}: {array.dtype} cannot be stored in a file of tensors, only {', '.join(DTYPES)}")
