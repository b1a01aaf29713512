"""Caches in folders of the current user, whose contents nobody else can have written.

A folder and its files must belong to the current user, and no other user may be able to write to them; symbolic links
are not followed. A file is written under a temporary name and then renamed, so that other processes see all of it or
nothing. It is not flushed to disk, so whoever reads it must be able to tell a half-written file from a complete one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

_PART: Final = ".part"
_OLD: Final = 24 * 3600 * 10**9
"""Age in nanoseconds at which an unfinished file is removed."""
_OTHERS_WRITE: Final = 0o022


class UnsafeError(OSError):
    """Others may have written to a file or folder, or it is of another kind."""

    def __init__(self, reason: str) -> None:
        """Store the reason, which is also `strerror`."""
        super().__init__(reason)
        self.strerror = reason


@final
class Unfinished:
    """A file that is being written, under a temporary name."""

    def __init__(self, folder: Path) -> None:
        """Create the file. Raises OSError."""
        handle, name = tempfile.mkstemp(_PART, ".", folder)
        self.path = Path(name)
        self.file = os.fdopen(handle, "w+b", buffering=0)

    def write(self, content: bytes | memoryview) -> None:
        """Append `content`. Raises OSError; earlier content can still be read."""
        left = memoryview(content)
        while left:
            left = left[self.file.write(left) :]

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` of the content written so far. Raises OSError."""
        return read_at(self.file.fileno(), offset, count)

    def keep(self, name: str) -> None:
        """Give the complete file its name in the folder, replacing an earlier one. Raises OSError, and stays open."""
        self.path.replace(self.path.with_name(name))
        self.file.close()

    def drop(self) -> None:
        """Remove the file, if it still has its temporary name."""
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


@final
class PrivateFolder:
    """A folder that only the current user can write to; it is created when it is needed."""

    def __init__(self, path: Path) -> None:
        """Store the path."""
        self.path = path

    def check(self) -> bool:
        """Return whether the folder exists. Raises OSError; UnsafeError if its contents cannot be trusted."""
        if not os.path.lexists(self.path):
            return False
        _check(self.path.lstat(), "a folder")
        return True

    def part(self) -> Unfinished:
        """Return a new file to write to, creating the folder if needed. Raises OSError."""
        if not self.check():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check()
        return Unfinished(self.path)

    def tidy(self, now: int) -> None:
        """Remove unfinished files that are at least a day old, left by processes that were killed. Raises OSError.

        now: the time of the file system, in nanoseconds.
        """
        for path in self.path.iterdir():
            if path.name.startswith(".") and path.name.endswith(_PART):
                with contextlib.suppress(OSError):
                    if path.lstat().st_mtime_ns < now - _OLD:
                        path.unlink()

    def limit(self, ending: str, most: int, latest: str) -> None:
        """Remove the least recently used files with this ending until all together fit in `most` bytes. Raises OSError.

        latest: the name of a file that stays.
        """
        with os.scandir(self.path) as entries:
            files = [(entry.stat(follow_symlinks=False), entry) for entry in entries if entry.name.endswith(ending)]
        total = sum(found.st_size for found, _ in files)
        for found, entry in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if total <= most:
                return
            if entry.name != latest:
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()
                total -= found.st_size

    def time(self) -> int:
        """Return the time, in nanoseconds, of the file system that the folder is or will be on. Raises OSError."""
        there = next(path for path in (self.path, *self.path.parents) if os.path.lexists(path))
        with tempfile.TemporaryFile(dir=there) as file:
            return os.fstat(file.fileno()).st_mtime_ns

    def unnamed(self) -> BinaryIO:
        """Return a new file without a name. Raises OSError."""
        return tempfile.TemporaryFile(dir=self.path, prefix=".", suffix=_PART)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading. Raises OSError; UnsafeError if it is not the current user's, or others can write to
    it."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeError("it is a symbolic link") from error
        raise
    try:
        _check(os.fstat(handle), "a file")
        file = os.fdopen(handle, "rb")
    except OSError:
        os.close(handle)
        raise
    with file:
        yield file


def _check(found: os.stat_result, what: str) -> None:
    """Raise UnsafeError if a file or folder cannot be trusted, by its kind, owner and permissions."""
    right = stat.S_ISDIR if what == "a folder" else stat.S_ISREG
    if not right(found.st_mode):
        raise UnsafeError(f"it is not {what}")
    user = getattr(os, "geteuid", None)
    if user is None:  # Windows: what is in a user's own folder is theirs
        return
    if found.st_uid != user():
        raise UnsafeError("it belongs to another user")
    if found.st_mode & _OTHERS_WRITE:
        raise UnsafeError("other users can write to it")


def read_at(handle: int, offset: int, count: int) -> bytes:
    """Return `count` bytes of an open file from `offset`. Raises OSError if it has fewer."""
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
