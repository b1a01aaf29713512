"""The cache folder of decoded images, so that the next run need not decode them again.

Cached data is verified before it is used. A cache file is called `<quick>-<content>.images`: `quick` is a digest of the
names and sizes of the image files and of the options, `content` a digest of their bytes. The file starts with the
pixels, followed by metadata as JSON, then by the length and SHA-256 of the metadata. The metadata includes the SHA-256
of every 8 MiB block of pixels; all are verified, on all cores, before the first pixel is used. `files.private` has what
makes the folder safe. A file that fails any check is ignored and recreated. After a power failure, the digests of a
half-written file do not match.

The pixels are read into memory. If they would take more than half of the free memory, they are copied to an unnamed
temporary file in the same folder, and that file is mapped. The cache file itself is never mapped: if it were truncated,
access to the next pixel would kill the process (SIGBUS), and nothing in Python could prevent that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.files.private import PrivateFolder, UnsafeError, opened, read_at
from layerline.network.memory import free_bytes
from layerline.system.cores import cores
from layerline.system.workers import spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.files.private import Unfinished

ENDING: Final = ".images"
_SEEN: Final = ".seen"
BLOCK: Final = 2**23
_MAGIC: Final = b"layerline images 1\n"
_LENGTH: Final = 8
_DIGEST: Final = 32
_TAIL: Final = _LENGTH + _DIGEST + len(_MAGIC)
_MAX_METADATA: Final = 2**30


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """Decoded images from a verified cache file."""

    pixels: NDArray[Any]
    """uint8 or uint16, read-only."""
    metadata: dict[str, Any]
    bytes: int


class Cache:
    """The cache folder. `refused` is the reason why it is not used, None if it is used."""

    def __init__(self, folder: Path) -> None:
        """Store the path; the folder is created only when it is needed."""
        self.folder = folder
        self._private = PrivateFolder(folder)
        self.now = 0
        """The time of `begin`, in nanoseconds, by the clock of the file system."""
        self.refused: str | None = None
        self._begun = False

    def begin(self) -> None:
        """Record the file system's time and, if the folder exists, check who may write to it."""
        if self._begun:
            return
        self._begun = True
        try:
            there = self._private.check()
            self.now = self._private.time()
            if there:
                self._private.tidy(self.now)
        except OSError as error:
            self.refused = error.strerror or str(error)

    def part(self) -> Unfinished:
        """Return a new file to write to, creating the folder if needed. Raises OSError."""
        self.begin()
        if self.refused is None:
            try:
                return self._private.part()
            except UnsafeError as error:
                self.refused = error.strerror
        raise OSError(self.refused)

    def find(self, quick: str, content: Callable[[list[str]], str]) -> CacheEntry | None:
        """Return the cached images of files with this digest, None if there are none that can be trusted.

        content: returns the digest of the files' bytes; called, with the content digests in the cache, only if there
            are any for `quick`.
        """
        self.begin()
        if self.refused is not None:
            return None
        try:
            names = [path.name for path in self.folder.iterdir() if path.name.endswith(ENDING)]
        except OSError:
            return None
        known = [name.removesuffix(ENDING).removeprefix(f"{quick}-") for name in names if name.startswith(f"{quick}-")]
        if not known:
            return None
        wanted = content(known)
        return _opened(self.folder / f"{quick}-{wanted}{ENDING}") if wanted in known else None

    def keep(self, part: Unfinished, metadata: dict[str, Any], quick: str, content: str) -> CacheEntry:
        """Append the metadata to the pixels in `part`, then rename it. Raises OSError; then nothing is stored."""
        size = os.fstat(part.file.fileno()).st_size
        pixels, blocks = _taken(part.file.fileno(), size, self.folder)
        whole = {**metadata, "blocks": blocks}
        text = json.dumps(whole, separators=(",", ":")).encode()
        part.write(text)
        part.write(len(text).to_bytes(_LENGTH, "big") + hashlib.sha256(text).digest() + _MAGIC)
        total = os.fstat(part.file.fileno()).st_size
        part.keep(f"{quick}-{content}{ENDING}")
        return CacheEntry(_shaped(pixels, whole), whole, total)

    def note(self, quick: str, content: str, metadata: Any) -> None:
        """Store a small JSON note next to the cached images; failures are ignored."""
        text = json.dumps(metadata, separators=(",", ":")).encode()
        with contextlib.suppress(OSError):
            part = self.part()
            try:
                part.write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
                part.keep(f"{quick}-{content}{_SEEN}")
            finally:
                part.drop()

    def noted(self, quick: str, content: str) -> Any:
        """Return a stored note; None if there is none that can be trusted."""
        try:
            with opened(self.folder / f"{quick}-{content}{_SEEN}") as file:
                size = os.fstat(file.fileno()).st_size
                digest, _, text = read_at(file.fileno(), 0, min(size, _MAX_METADATA)).partition(b"\n")
            return json.loads(text) if hashlib.sha256(text).hexdigest().encode() == digest else None
        except (OSError, ValueError):
            return None


def _opened(path: Path) -> CacheEntry | None:
    """Return the images in a cache file, None if it fails any check."""
    try:
        with opened(path) as file:
            handle = file.fileno()
            size = os.fstat(handle).st_size
            tail = read_at(handle, size - _TAIL, _TAIL) if size > _TAIL else b""
            length = int.from_bytes(tail[:_LENGTH], "big")
            start = size - _TAIL - length
            if not tail.endswith(_MAGIC) or not 0 < length < _MAX_METADATA or start <= 0:
                return None
            text = read_at(handle, start, length)
            if hashlib.sha256(text).digest() != tail[_LENGTH : _LENGTH + _DIGEST]:
                return None
            metadata = json.loads(text)
            if int(np.prod(metadata["shape"], dtype=object)) * np.dtype(metadata["type"]).itemsize != start:
                return None
            pixels, blocks = _taken(handle, start, path.parent)
            return CacheEntry(_shaped(pixels, metadata), metadata, size) if blocks == metadata["blocks"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _taken(handle: int, size: int, folder: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the first `size` bytes of a file, and the SHA-256 (hex) of each block. Raises OSError.

    The bytes are a private copy: later changes to the file do not affect them.
    """
    if size <= free_bytes() // 2:
        buffer = np.empty(size, np.uint8)
        return buffer, _digests(handle, size, buffer)
    with PrivateFolder(folder).unnamed() as copy:
        for start in range(0, size, BLOCK):
            copy.write(read_at(handle, start, min(BLOCK, size - start)))
        copy.flush()
        mapped = mmap.mmap(copy.fileno(), size, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, np.uint8, size), _digests(copy.fileno(), size)


def _shaped(pixels: NDArray[np.uint8], metadata: dict[str, Any]) -> NDArray[Any]:
    """Return bytes as the images described by the metadata, read-only."""
    shaped: NDArray[Any] = pixels.view(np.dtype(metadata["type"])).reshape(metadata["shape"])
    shaped.flags.writeable = False
    return shaped


def _digests(handle: int, size: int, buffer: NDArray[np.uint8] | None = None) -> list[str]:
    """Return the SHA-256 (hex) of each block of the first `size` bytes, in threads if the platform has `pread`.

    buffer: receives the bytes, if given.
    """

    def one(start: int) -> str:
        block = read_at(handle, start, min(BLOCK, size - start))
        if buffer is not None:
            buffer[start : start + len(block)] = np.frombuffer(block, np.uint8)
        return hashlib.sha256(block).hexdigest()

    return spread(one, range(0, size, BLOCK), cores() if hasattr(os, "pread") else 1)


def digest_of(part: Unfinished, header: bytes, start: int, stop: int) -> tuple[str, int, int]:
    """Return the SHA-256 (hex) of `header` and bytes of a part, and the smallest and largest of these bytes."""
    found, low, high = hashlib.sha256(header), 255, 0
    for offset in range(start, stop, BLOCK):
        block = part.read(offset, min(BLOCK, stop - offset))
        found.update(block)
        values = np.frombuffer(block, np.uint8)
        low, high = min(low, int(values.min())), max(high, int(values.max()))
    return found.hexdigest(), low, high
