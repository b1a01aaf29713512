"""A file that somebody named or handed on, opened only where it is one.

A named pipe is waited for by whoever opens it, a device may never end, a link may lead to either. So every file is
opened here, without waiting, and looked at once it is open: what is not a regular file is not read.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

_PIECE: Final = 2**16
_KINDS: Final = (
    (stat.S_ISFIFO, "it is a pipe, not a file"),
    (stat.S_ISCHR, "it is a device, not a file"),
    (stat.S_ISBLK, "it is a device, not a file"),
    (stat.S_ISSOCK, "it is a socket, not a file"),
)


def opened(path: Path) -> BufferedReader:
    """Open a file to read, following links. Raises OSError, also where it is a folder, a pipe, a device or a socket."""
    try:
        return open(path, "rb", opener=_without_waiting)
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, str(error)) from error


def content(path: Path, most: int) -> bytes | None:
    """Return the bytes of a file, None where there are more than `most`: then no more than that is read.

    Raises OSError as `opened` does.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            return None
        found = file.read(size + 1)
        while more := file.read(_PIECE):  # it grows, or is one of the system's, which have no size
            found += more
            if len(found) > most:
                return None
    return None if len(found) > most else found


def _without_waiting(path: str, flags: int) -> int:
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(handle).st_mode
    reason = next((what for is_one, what in _KINDS if is_one(mode)), None)
    if reason is not None:
        os.close(handle)
        raise OSError(errno.EINVAL, reason)
    return handle
