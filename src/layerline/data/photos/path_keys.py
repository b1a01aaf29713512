"""Numbers computed from names, independent of where the files are: keys for random splits, and ids of groups."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def keys(names: Iterable[str]) -> NDArray[np.uint64]:
    """Return uint64 (N,): the first 8 bytes, big-endian, of the SHA-256 of each name in UTF-8 (Unicode NFC)."""
    found = b"".join(hashlib.sha256(_plain(name)).digest()[:8] for name in names)
    return np.frombuffer(found, ">u8").astype(np.uint64)


def groups(names: Iterable[str]) -> NDArray[np.int64]:
    """Return int64 (N,), not negative: the key of each name without its lowest bit."""
    return (keys(names) >> np.uint64(1)).astype(np.int64)


def _plain(name: str) -> bytes:
    return unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
