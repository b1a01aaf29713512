"""The fingerprint of a data set: SHA-256 of its content, however it was packed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet
    from layerline.data.part import SplitName

_CODES: Final = {"uint8": 0x08, "int32": 0x0C, "float32": 0x0D}


def digest(array: NDArray[Any]) -> str:
    """Return SHA-256 (hex) of an array as an IDX file stores it: header, then the values in memory order.

    So the digest of uint8 images that came as IDX is that of the (unpacked) file. Values wider than a byte are hashed
    as little-endian.
    """
    last = array.ndim == 4 and not array.flags.c_contiguous
    ordered = array.transpose(0, 2, 3, 1) if last else array
    shape = (array.shape[0], *array.shape[2:]) if array.ndim == 4 and array.shape[1] == 1 else ordered.shape
    content = hashlib.sha256(header(shape, array.dtype.name))
    values = np.ascontiguousarray(ordered, ordered.dtype.newbyteorder("<"))
    content.update(values.reshape(-1).view(np.uint8).data)
    return content.hexdigest()


def header(shape: tuple[int, ...], dtype: str = "uint8") -> bytes:
    """Return the header of an IDX file of this shape and type."""
    return bytes([0, 0, _CODES[dtype], len(shape)]) + np.array(shape, ">u4").tobytes()


def digests(
    sets: Mapping[SplitName, ImageSet], classes: tuple[str, ...], known: Mapping[SplitName, str]
) -> dict[tuple[SplitName, str], str]:
    """Return the digests of the images and labels of each split; labels of at most 256 classes are hashed as uint8.

    known: digests of images that need not be recomputed.
    """
    narrow = np.uint8 if len(classes) <= 256 else np.int32
    found: dict[tuple[SplitName, str], str] = {}
    for split, part in sets.items():
        found[split, "images"] = known.get(split) or digest(part.images)
        found[split, "labels"] = digest(part.labels.astype(narrow))
    return found


def fingerprint(found: Mapping[tuple[SplitName, str], str], classes: tuple[str, ...], last_for_test: int) -> str:
    """Return SHA-256 (hex) of lines with the digests, the class names, and the size of a conventional test set."""
    lines = [f"{split} {what} {found[split, what]}" for split, what in found]
    lines.append("classes " + json.dumps(classes))
    lines.append(f"last for test {last_for_test}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
