"""Atomic file writes: a stopped program, a full disk or a power failure leaves the old file intact.

The order ensures that. The bytes are written to a new temporary file in the same folder; they are flushed to the disk
and, on request, read back and compared; the temporary file is renamed in one step; and the folder is flushed, so that
the new name survives a power failure as well.
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
"""The usual permissions of a new file, from which the process's umask is subtracted."""
PRIVATE: Final = 0o600
_ENDING: Final = ".part"
_CANNOT: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EISDIR)
"""Errors of systems on which a folder cannot be opened or flushed."""


def write(
    path: Path,
    parts: Iterable[bytes | memoryview],
    *,
    mode: int = SHARED,
    verify: Callable[[Path], None] | None = None,
) -> None:
    """Write `parts` one after the other to the file `path`, atomically replacing an existing one.

    verify: is called with the temporary file once it is on the disk, and raises OSError if it is not what was written.
    Raises UserError if the folder is not writable or the disk is full; the old file is then unchanged.
    """
    pieces = list(parts)
    if not path.name:  # the current folder, which no file can replace
        raise unwritable(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
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
    """Remove temporary files left by killed processes; no process may be writing to the folder meanwhile."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f".*.[0-9]*{_ENDING}"):
            left.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError, size: int | None = None) -> UserError:
    """Return the error to raise if the system refused to write `path` with `size` bytes."""
    reason = error.strerror or str(error)
    if size is not None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        reason += f" ({display.size(size)} needed{_free(path.parent, error)})"
    return UserError(f"{path}: cannot be written: {reason}", f"{remedy(error)}, or choose another folder")


def remedy(error: OSError) -> str:
    """Return what to do about a folder that could not be written to, as the first half of a sentence."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "free some space on that disk"
        case errno.EFBIG:
            return "raise the file size limit (ulimit -f)"
        case errno.ENOENT | errno.ENOTDIR:
            return "create that folder"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "make that folder writable"
    return "check that disk"


def _free(folder: Path, error: OSError) -> str:
    """Return the free space of a full disk, as part of a sentence; for a quota or limit it would be misleading."""
    if error.errno != errno.ENOSPC:
        return ""
    with contextlib.suppress(OSError):
        if _holds_no_more_files(folder):
            return ", but the disk has no free inodes for more files"
        return f", {display.size(shutil.disk_usage(folder).free)} free"
    return ""


def _holds_no_more_files(folder: Path) -> bool:
    """Return whether the disk is out of inodes, on systems that count them. Raises OSError."""
    if not hasattr(os, "statvfs"):
        return False
    found = os.statvfs(folder)
    return found.f_files > 0 and found.f_favail == 0


def _write_new(part: Path, pieces: Sequence[bytes | memoryview], mode: int, *, forget: bool) -> None:
    """Write a new file, and flush it to the disk.

    forget: drop it from the system's cache, so that a reader reads the disk.
    """
    with contextlib.suppress(FileNotFoundError):
        part.unlink()  # left by a killed process with the same ID
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
    """Flush a folder, so that a new name in it survives a power failure, if the system supports that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
