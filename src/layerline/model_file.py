"""The trained model as a file: safetensors, with all that prediction needs in its header and a SHA-256 over every byte.

docs/model-file.md is the definition. The bytes depend on nothing but the model: equal models give equal files. (The
header is written here because the safetensors package, 0.8, puts the keys of `__metadata__` in a new order each time.)
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import whole_file
from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.data.dataset import Scaling

FORMAT_VERSION: Final = 1
_DTYPES: Final[dict[str, np.dtype[Any]]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
_BEFORE_DIGEST: Final = b'{"__metadata__":{"sha256":"'
_DIGEST_AT: Final = 8 + len(_BEFORE_DIGEST)
_DIGEST_LENGTH: Final = 64
_LONGEST_HEADER: Final = 100_000_000


@dataclass(frozen=True)
class Card:
    """What a model file says of its weights: enough to build the network again and to feed it."""

    network_name: str
    network: str
    """The text of the network file."""
    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    scaling: Scaling
    versions: Mapping[str, str]
    """Package → version, `layerline` among them."""


def save(path: Path, weights: Mapping[str, NDArray[Any]], card: Card) -> str:
    """Write the model file, whole or not at all, and return its SHA-256 (hex).

    weights: float32 (or int64) arrays under the names and in the layouts and order of `to_torch().state_dict()`.
    Raises UserError where the file cannot be written.
    """
    arrays = {name: np.asarray(array, _dtype(name, array)[1], order="C") for name, array in weights.items()}
    header = _header(arrays, card)
    digest = hashlib.sha256(header)
    for array in arrays.values():
        digest.update(_bytes(array))
    text = digest.hexdigest()
    signed = header[:_DIGEST_AT] + text.encode("ascii") + header[_DIGEST_AT + _DIGEST_LENGTH :]
    whole_file.write(path, _parts(signed, arrays))
    return text


def read_weights(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the weights and the header's metadata of a file that `save` wrote; the digest is checked before anything.

    Raises UserError where the file is cut short, changed, or not one of ours.
    """
    data = path.read_bytes()
    claimed = data[_DIGEST_AT : _DIGEST_AT + _DIGEST_LENGTH]
    if data[8:_DIGEST_AT] != _BEFORE_DIGEST or len(claimed) < _DIGEST_LENGTH:
        raise UserError(f"{path}: not a model file of layerline")
    found = hashlib.sha256(data[:_DIGEST_AT])
    found.update(b"0" * _DIGEST_LENGTH)
    found.update(memoryview(data)[_DIGEST_AT + _DIGEST_LENGTH :])
    if found.hexdigest().encode("ascii") != claimed:
        raise UserError(f"{path}: the content does not match its SHA-256", "it was changed or cut short: copy it again")
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata: dict[str, str] = header.pop("__metadata__")
    body = memoryview(data)[8 + length :]
    return {name: _array(body, entry) for name, entry in header.items()}, metadata


def _header(arrays: Mapping[str, NDArray[Any]], card: Card) -> bytes:
    """Return the file up to the first weight, with zeros for the digest, padded by spaces to a multiple of 8."""
    entries: dict[str, Any] = {"__metadata__": {"sha256": "0" * _DIGEST_LENGTH, **_metadata(card)}}
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
    if not text.startswith(_BEFORE_DIGEST) or len(text) > _LONGEST_HEADER:
        raise ValueError("the header of the model file is not what its format says")
    return len(text).to_bytes(8, "little") + text


def _metadata(card: Card) -> dict[str, str]:
    """Return the card as the strings of `__metadata__`; what is not a string is JSON text."""
    scaling = {"scale": [float(x) for x in card.scaling.scale], "shift": [float(x) for x in card.scaling.shift]}
    return {
        "format": "layerline",
        "format_version": str(FORMAT_VERSION),
        "network_name": card.network_name,
        "network": card.network,
        "input_shape": json.dumps([int(size) for size in card.input_shape]),
        "classes": json.dumps(list(card.classes)),
        "scaling": json.dumps(scaling, allow_nan=False),
        "versions": json.dumps(dict(sorted(card.versions.items()))),
    }


def _parts(header: bytes, arrays: Mapping[str, NDArray[Any]]) -> Iterator[bytes | memoryview]:
    yield header
    for array in arrays.values():
        yield _bytes(array)


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _dtype(name: str, array: NDArray[Any]) -> tuple[str, np.dtype[Any]]:
    for word, dtype in _DTYPES.items():
        if array.dtype == dtype:
            return word, dtype
    raise ValueError(f"{name}: {array.dtype} has no place in a model file (float32 and int64 have)")


def _array(body: memoryview, entry: Mapping[str, Any]) -> NDArray[Any]:
    start, end = entry["data_offsets"]
    dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
    if end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError("the shape and the length of a weight disagree")
    return np.frombuffer(body[start:end], dtype).reshape(shape).copy()
