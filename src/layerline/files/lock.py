"""One process at a time in a folder: the system holds the lock, and releases it however the process ends."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, final

from layerline.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


@final
class FolderLock:
    """The lock of a folder; it creates no file. On a system without `flock` it does nothing."""

    def __init__(self, folder: Path) -> None:
        """Acquire the lock. Raises UserError if another process holds it or the folder cannot be opened."""
        self._handle: int | None = None
        try:
            import fcntl
        except ImportError:
            return
        try:
            self._handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise UserError(
                    f"{folder}: another training is writing to it",
                    "wait until it has finished, or stop it, then try again",
                ) from error
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS):  # file systems that cannot lock
                raise UserError(f"{folder}: cannot be opened: {error.strerror}") from error

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.close(self._handle)
            self._handle = None
