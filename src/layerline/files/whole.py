"""A file that is there whole or not at all: a stopped program, a full disk or a loss of power leaves the old one.

The order makes it so. The bytes go to a temporary file in the same folder, which was not there before; they are flushed
to the disk, and where that is asked for, read again and compared; the temporary file takes the name in one step; and
the folder is flushed, so that the name outlives a loss of power as well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import TYPE_CHECKING, Final

from layerline.errors import UserError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

SHARED: Final = 0o666
"""The permissions of a file as other programs make one: the process's mask takes from them."""
PRIVATE: Final = 0o600
_ENDING: Final = ".part"
_CANNOT: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EISDIR)
"""What systems answer on which a folder cannot be opened or flushed."""


def write(
    path: Path,
    parts: Iterable[bytes | memoryview],
    *,
    mode: int = SHARED,
    verify: Callable[[Path], None] | None = None,
) -> None:
    """Write `parts` one behind the other as the file `path`, in place of the one that may be there.

    verify: is given the temporary file once it is on the disk, and raises OSError where it is not what was written.
    Raises UserError where the folder cannot be written or the disk is full; the old file is then as it was.
    """
    pieces = list(parts)
    part = path.with_name(f".{path.name}.{os.getpid()}{_ENDING}")
    try:
        _write_new(part, pieces, mode, forget=verify is not None)
        if verify is not None:
            verify(part)
        part.replace(path)
        flush_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(path, error, sum(len(piece) for piece in pieces)) from error
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of processes that were killed; nobody may be writing to the folder meanwhile."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f".*.[0-9]*{_ENDING}"):
            left.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError, size: int | None = None) -> UserError:
    """Return the error to raise where the system refused to write `path`, which was to have so many bytes."""
    reason = error.strerror or str(error)
    if size is not None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        reason += f" ({display.size(size)} needed{_free(path.parent, error)})"
    return UserError(f"{path}: cannot be written: {reason}", f"{remedy(error)}, or choose another one")


def remedy(error: OSError) -> str:
    """Return what to do about the folder that something could not be written to, as the first half of a sentence."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "free some space on the disk of that folder"
        case errno.EFBIG:
            return "raise the limit on the size of files (ulimit -f) for that folder"
        case errno.ENOENT | errno.ENOTDIR:
            return "make that folder"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "make that folder writable"
    return "check the disk of that folder"


def _free(folder: Path, error: OSError) -> str:
    """Return how much a full disk still has, as part of a sentence; a quota or a limit leaves more than can be used."""
    if error.errno != errno.ENOSPC:
        return ""
    with contextlib.suppress(OSError):
        if _holds_no_more_files(folder):
            return ", and the disk holds no more files: it has no free inode"
        return f", {display.size(shutil.disk_usage(folder).free)} free"
    return ""


def _holds_no_more_files(folder: Path) -> bool:
    """Return whether there is no room for a name more, on systems that count them. Raises OSError."""
    if not hasattr(os, "statvfs"):
        return False
    found = os.statvfs(folder)
    return found.f_files > 0 and found.f_favail == 0


def _write_new(part: Path, pieces: Sequence[bytes | memoryview], mode: int, *, forget: bool) -> None:
    """Write a file that is not there, and flush it to the disk.

    forget: the system is to keep none of it in memory, so that who reads it reads the disk.
    """
    with contextlib.suppress(FileNotFoundError):
        part.unlink()  # left by a killed process that had our number
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode)
    with os.fdopen(handle, "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(handle)
        if forget and hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def flush_folder(folder: Path) -> None:
    """Flush a folder itself, so that a new name in it outlives a loss of power, where the system can do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
