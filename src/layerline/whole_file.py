"""A file that is there whole or not at all: what a stopped program or a full disk leaves is the old file."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write `parts` one behind the other as the file `path`, in place of the one that may be there.

    They go to `.<name>.part` in the same folder, are flushed to the disk, and take the name in one step.
    Raises UserError where the folder cannot be written or the disk is full; the old file is then as it was.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            for piece in parts:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _settle(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def unwritable(path: Path, error: OSError) -> UserError:
    """Return the error to raise where the system refused to write `path`."""
    return UserError(
        f"{path}: cannot be written: {error.strerror or error}", "free some space, or choose another folder"
    )


def _settle(folder: Path) -> None:
    """Flush the folder itself, so that the new name outlives a loss of power; not every system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
