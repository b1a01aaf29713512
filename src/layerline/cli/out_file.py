"""The file that a command writes: where it may be, looked at before any work is done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from layerline.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def free(path: Path, kind: str, example: str, *, force: bool, suffix: str = "") -> Path:
    """Return a path that a file can be written to. Raises UserError.

    kind: what the file is, `a network file`; example: a name for it; suffix: what its name must end in.
    """
    try:
        if path.is_dir():
            raise UserError(f"--out {path}: is a folder", f"use --out {path / example}")
        if suffix and path.suffix.lower() != suffix:
            raise UserError(f"--out {path}: {kind} ends in {suffix}", f"use --out {path.with_suffix(suffix)}")
        if not path.parent.is_dir():
            raise UserError(f"--out {path}: there is no folder {path.parent}", f"make it: mkdir -p {path.parent}")
        if os.path.lexists(path) and not force:
            raise UserError(f"{path}: exists already", "choose another name with --out, or replace it with --force")
    except OSError as error:  # a name too long for the disk, a folder that may not be looked into
        raise UserError(f"--out {path}: {error.strerror or error}", "choose another name") from error
    return path
