"""What is next to a folder of images, for messages about it: tables that name its files, and folders like it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.data.photos import image_format, label_table, split_names
from layerline.errors import DataError
from layerline.files import regular

if TYPE_CHECKING:
    from collections.abc import Sequence

_TABLES: Final = (".csv", ".tsv", ".txt", ".jsonl")
_MOST: Final = 1000
"""Maximum number of names in a folder that are looked at."""
_MOST_TABLES: Final = 20
_SAMPLE: Final = 20
"""Names of a table whose files must exist."""
_START: Final = 2**16
"""Bytes of a table in which names of images are searched for."""


def table_of(parent: Path, images: Sequence[str]) -> Path | None:
    """Return the table in the folder around images that names several of them; None if there is none, or several."""
    names = [name.rpartition(".")[0].encode("utf-8", "surrogateescape") for name in images]
    tables = [path for path in _entries(parent) if path.name.lower().endswith(_TABLES)][:_MOST_TABLES]
    found = [path for path in tables if sum(name in start for start in [_start(path)] for name in names if name) > 1]
    return found[0] if len(found) == 1 else None


def are_classes(parent: Path) -> bool:
    """Return whether all folders in a folder contain images, and none is named like a split: probably classes."""
    folders = [path for path in _entries(parent) if path.is_dir()]
    return len(folders) > 1 and all(_has_images(path) and not split_names.meaning(path.name) for path in folders)


def folder_of(table: Path) -> tuple[Path, str] | None:
    """Return the folder whose files a table names, and the first name; None if it names none.

    Its paths are absolute, or relative to the folder of the table, to one in that, or to the current folder.
    """
    try:
        lines = [cells for _, cells in label_table.read(table).lines]
    except DataError:
        return None  # it is not a table
    around = [table.parent, Path(), *(path for path in _entries(table.parent) if path.is_dir())]
    for column in range(len(lines[0]) if len(lines) > 1 else 0):
        names = [cells[column].replace("\\", "/") for cells in lines[1:] if cells[column]]
        some = names[:: max(1, len(names) // _SAMPLE)]
        for base in around if some else ():
            if all(_is_image(base / name) for name in some):
                shared = os.path.commonpath([Path(name).parent for name in names]) if _even(names) else ""
                return base / shared, names[0]
    return None


def _even(names: Sequence[str]) -> bool:
    """Return whether all paths are absolute, or none is: only those have a common folder."""
    return len({Path(name).is_absolute() for name in names}) == 1


def _is_image(path: Path) -> bool:
    try:
        return path.is_file() and path.name.lower().endswith(image_format.EXPECTED)
    except (OSError, ValueError):
        return False  # a cell that cannot be a path


def _has_images(folder: Path) -> bool:
    return any(path.name.lower().endswith(image_format.EXPECTED) for path in _entries(folder))


def _start(path: Path) -> bytes:
    try:
        with regular.opened(path) as file:
            return file.read(_START)
    except OSError:
        return b""  # a table that cannot be read is not proposed


def _entries(folder: Path) -> list[Path]:
    """Return some of the paths in a folder, in order; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MOST)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]
