"""The file that a command writes: its path is checked before any work is done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from layerline.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def free(path: Path, kind: str, example: str, *, force: bool, suffix: str = "") -> Path:
    """Return a path that a file can be written to. Raises UserError.

    kind: what the file is, `a network file`; example: a name for it; suffix: the suffix that its name must have.
    """
    try:
        if path.is_dir():
            raise UserError(f"--out {path} is a folder", f"use --out {path / example}")
        if suffix and path.suffix.lower() != suffix:
            raise UserError(
                f"--out {path}: the name of {kind} must end in {suffix}", f"use --out {path.with_suffix(suffix)}"
            )
        if not path.parent.is_dir():
            raise UserError(f"--out {path}: no such folder: {path.parent}", f"create it: mkdir -p {path.parent}")
        if os.path.lexists(path) and not force:
            raise UserError(f"{path} already exists", "choose another name with --out, or replace it with --force")
    except OSError as error:  # a name too long for the disk, a folder without permission
        raise UserError(f"--out {path}: {error.strerror or error}", "choose another name") from error
    return path
