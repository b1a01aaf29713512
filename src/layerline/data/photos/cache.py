"""A folder of decoded images that were kept, so that the next start need not decode them again.

What is kept is believed only after it was looked through. A file there is `<quick>-<content>.images`: `quick` is a
digest of the names and sizes of the image files and of what was asked of them, `content` one of their bytes. It holds
the pixels from its first byte on, then facts about them as JSON, then the facts' length and SHA-256. Among the facts is
the SHA-256 of every block of 8 MiB of pixels; all are compared before the first pixel is used, on all cores. The folder
and its files must belong to who runs this, and nobody else may be able to write to them; a link is not followed. What
does not hold is not used, and made anew.

A file is written under another name and then renamed, so that others see all of it or nothing. It is not flushed to
the disk: what a loss of power leaves half written has other digests.

The pixels are read into memory. Where they would take more than half of what is free, they are copied to a file without
a name in the same folder, and that is mapped. The file itself is never mapped: if somebody cut it short, the next pixel
that is looked at would end the process (SIGBUS), and nothing in Python could prevent that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.network.memory import free_bytes
from layerline.system.cores import cores
from layerline.system.workers import spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

ENDING: Final = ".images"
_SEEN: Final = ".seen"
_PART: Final = ".part"
BLOCK: Final = 2**23
_MAGIC: Final = b"layerline images 1\n"
_LENGTH: Final = 8
_DIGEST: Final = 32
_TAIL: Final = _LENGTH + _DIGEST + len(_MAGIC)
_MAX_METADATA: Final = 2**30
_OLD: Final = 24 * 3600 * 10**9
"""Nanoseconds after which a file that was never finished is removed."""
_OTHERS_WRITE: Final = 0o022


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """Decoded images in a file that was looked through."""

    pixels: NDArray[Any]
    """uint8 or uint16, read-only."""
    metadata: dict[str, Any]
    bytes: int


class Unfinished:
    """A file that is being written, under a name that nobody looks for."""

    def __init__(self, folder: Path) -> None:
        """Make the file. Raises OSError."""
        handle, name = tempfile.mkstemp(_PART, ".", folder)
        self.path = Path(name)
        self.file = os.fdopen(handle, "w+b", buffering=0)

    def write(self, content: bytes | memoryview) -> None:
        """Write behind what is there. Raises OSError; what was written before can still be read."""
        left = memoryview(content)
        while left:
            left = left[self.file.write(left) :]

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes of what was written. Raises OSError."""
        return _at(self.file.fileno(), offset, count)

    def drop(self) -> None:
        """Remove the file, where it still has this name."""
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


class Cache:
    """The folder. `refused` says why it is not used, where it is not."""

    def __init__(self, folder: Path) -> None:
        """Keep where it is; nothing is made before it is needed."""
        self.folder = folder
        self.now = 0
        """The time when it was begun, in nanoseconds, by the clock that files are stamped with."""
        self.refused: str | None = None
        self._begun = False

    def begin(self) -> None:
        """Look what time it is, and who may write to the folder where it is there; it is made when it is needed."""
        if self._begun:
            return
        self._begun = True
        try:
            there = os.path.lexists(self.folder)
            if there:
                self.refused = _unsafe(self.folder.lstat(), "a folder")
            if self.refused is None:
                self.now = _time_at(self.folder)
                if there:
                    self._tidy()
        except OSError as error:
            self.refused = error.strerror or str(error)

    def part(self) -> Unfinished:
        """Return a new file to write to. Raises OSError."""
        self.begin()
        if self.refused is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.refused = _unsafe(self.folder.lstat(), "a folder")
        if self.refused is not None:
            raise OSError(self.refused)
        return Unfinished(self.folder)

    def find(self, quick: str, content: Callable[[list[str]], str]) -> CacheEntry | None:
        """Return what is kept of files with this digest, None where there is nothing, or nothing to be trusted.

        content: gives the digest of the files' bytes, and is asked only where that may be there: with those that are.
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
        """Put facts behind the pixels in `part` and give it its name. Raises OSError; nothing is then kept."""
        size = os.fstat(part.file.fileno()).st_size
        pixels, blocks = _taken(part.file.fileno(), size, self.folder)
        whole = {**metadata, "blocks": blocks}
        text = json.dumps(whole, separators=(",", ":")).encode()
        part.write(text)
        part.write(len(text).to_bytes(_LENGTH, "big") + hashlib.sha256(text).digest() + _MAGIC)
        total = os.fstat(part.file.fileno()).st_size
        part.path.replace(self.folder / f"{quick}-{content}{ENDING}")
        part.file.close()
        return CacheEntry(_shaped(pixels, whole), whole, total)

    def note(self, quick: str, content: str, metadata: Any) -> None:
        """Write down something small beside what is kept; whether that works does not matter."""
        text = json.dumps(metadata, separators=(",", ":")).encode()
        with contextlib.suppress(OSError):
            part = self.part()
            try:
                part.write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
                part.file.close()
                part.path.replace(self.folder / f"{quick}-{content}{_SEEN}")
            finally:
                part.drop()

    def noted(self, quick: str, content: str) -> Any:
        """Return what was written down so; None where there is nothing to be trusted."""
        try:
            with _safely(self.folder / f"{quick}-{content}{_SEEN}") as file:
                size = os.fstat(file.fileno()).st_size
                digest, _, text = _at(file.fileno(), 0, min(size, _MAX_METADATA)).partition(b"\n")
            return json.loads(text) if hashlib.sha256(text).hexdigest().encode() == digest else None
        except (OSError, ValueError):
            return None

    def _tidy(self) -> None:
        """Remove what a program that was killed left behind a day ago or earlier."""
        for path in self.folder.iterdir():
            if path.name.startswith(".") and path.name.endswith(_PART):
                with contextlib.suppress(OSError):
                    if path.lstat().st_mtime_ns < self.now - _OLD:
                        path.unlink()


def _opened(path: Path) -> CacheEntry | None:
    """Return the images in a file, None where it is not what was written there once."""
    try:
        with _safely(path) as file:
            handle = file.fileno()
            size = os.fstat(handle).st_size
            tail = _at(handle, size - _TAIL, _TAIL) if size > _TAIL else b""
            length = int.from_bytes(tail[:_LENGTH], "big")
            start = size - _TAIL - length
            if not tail.endswith(_MAGIC) or not 0 < length < _MAX_METADATA or start <= 0:
                return None
            text = _at(handle, start, length)
            if hashlib.sha256(text).digest() != tail[_LENGTH : _LENGTH + _DIGEST]:
                return None
            metadata = json.loads(text)
            if int(np.prod(metadata["shape"], dtype=object)) * np.dtype(metadata["type"]).itemsize != start:
                return None
            pixels, blocks = _taken(handle, start, path.parent)
            return CacheEntry(_shaped(pixels, metadata), metadata, size) if blocks == metadata["blocks"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextlib.contextmanager
def _safely(path: Path) -> Iterator[Any]:
    """Open a file to read, where it belongs to us alone. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    with os.fdopen(handle, "rb") as file:
        reason = _unsafe(os.fstat(handle), "a file")
        if reason:
            raise OSError(reason)
        yield file


def _time_at(folder: Path) -> int:
    """Return the time of the disk that a folder is on, or will be, in nanoseconds. Leaves nothing. Raises OSError."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    with tempfile.TemporaryFile(dir=there) as file:
        return os.fstat(file.fileno()).st_mtime_ns


def _unsafe(found: os.stat_result, what: str) -> str | None:
    """Return why something is not to be trusted by what it is and who may write to it, None where it is."""
    right = stat.S_ISDIR if what == "a folder" else stat.S_ISREG
    if not right(found.st_mode):
        return f"it is not {what}"
    user = getattr(os, "geteuid", None)
    if user is None:  # Windows: what is in a user's own folder is theirs
        return None
    if found.st_uid != user():
        return "it belongs to somebody else"
    return "others may write to it" if found.st_mode & _OTHERS_WRITE else None


def _at(handle: int, offset: int, count: int) -> bytes:
    """Return bytes of an open file. Raises OSError where it has fewer."""
    pieces, left = [], count
    while left:
        piece = _pread(handle, left, offset + count - left)
        if not piece:
            raise OSError("the file is shorter than it was")
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _pread(handle: int, count: int, offset: int) -> bytes:
    pread = getattr(os, "pread", None)
    if pread is not None:
        found: bytes = pread(handle, count, offset)
        return found
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, count)


def _taken(handle: int, size: int, folder: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the first `size` bytes of a file, and SHA-256 (hex) of every block of them. Raises OSError.

    They are the process's own from then on: what becomes of the file changes none of them.
    """
    if size <= free_bytes() // 2:
        buffer = np.empty(size, np.uint8)
        return buffer, _digests(handle, size, buffer)
    with tempfile.TemporaryFile(dir=folder, prefix=".", suffix=_PART) as copy:
        for start in range(0, size, BLOCK):
            copy.write(_at(handle, start, min(BLOCK, size - start)))
        copy.flush()
        mapped = mmap.mmap(copy.fileno(), size, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, np.uint8, size), _digests(copy.fileno(), size)


def _shaped(pixels: NDArray[np.uint8], metadata: dict[str, Any]) -> NDArray[Any]:
    """Return bytes as the images that the facts tell of, read-only."""
    shaped: NDArray[Any] = pixels.view(np.dtype(metadata["type"])).reshape(metadata["shape"])
    shaped.flags.writeable = False
    return shaped


def _digests(handle: int, size: int, buffer: NDArray[np.uint8] | None = None) -> list[str]:
    """Return SHA-256 (hex) of every block of the first `size` bytes; threads where several can read at once.

    held: where they are put, if anywhere.
    """

    def one(start: int) -> str:
        block = _at(handle, start, min(BLOCK, size - start))
        if buffer is not None:
            buffer[start : start + len(block)] = np.frombuffer(block, np.uint8)
        return hashlib.sha256(block).hexdigest()

    return spread(one, range(0, size, BLOCK), cores() if hasattr(os, "pread") else 1)


def digest_of(part: Unfinished, header: bytes, start: int, stop: int) -> tuple[str, int, int]:
    """Return SHA-256 (hex) of `header` and bytes of a part, and the smallest and the largest of these bytes."""
    found, low, high = hashlib.sha256(header), 255, 0
    for offset in range(start, stop, BLOCK):
        block = part.read(offset, min(BLOCK, stop - offset))
        found.update(block)
        values = np.frombuffer(block, np.uint8)
        low, high = min(low, int(values.min())), max(high, int(values.max()))
    return found.hexdigest(), low, high
