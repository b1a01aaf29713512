"""Opening of files named by users: only regular files are read.

Opening a named pipe may block, a device may never end, and a link may lead to either. So every file is opened here
without blocking, and checked once it is open: anything but a regular file is refused.
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
    """Open a file for reading, following links. Raises OSError, also if it is a folder, pipe, device or socket."""
    try:
        return open(path, "rb", opener=_without_waiting)
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, str(error)) from error


def content(path: Path, most: int) -> bytes | None:
    """Return the bytes of a file, None if there are more than `most`; no more than that is read.

    Raises OSError as `opened` does.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            return None
        found = file.read(size + 1)
        while more := file.read(_PIECE):  # it grows, or is a system file, which has no size
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
