"""The errors for --data that contains nothing to read: what is there, and the command that likely comes next."""

from __future__ import annotations

import itertools
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.data.formats import recognize
from layerline.data.formats.recognize import shown
from layerline.data.photos import neighbors, split_names
from layerline.errors import DataError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

NAMES: Final = "for named data sets, see layerline data list; for your own data, pass a path"
_PACKED: Final = (".tar", ".tgz", ".gz", ".xz", ".zip", ".npz")
_TABLES: Final = (".csv", ".tsv", ".txt", ".jsonl")
_MOST: Final = 1000
"""Maximum number of names in a folder that are looked at."""
_SOME: Final = 4


def blank() -> DataError:
    """Return the error for a --data without a name or path."""
    return DataError("--data: no value; expected a name or a path", f"for example --data digits; {NAMES}")


def unknown(source: str, names: Collection[str]) -> DataError:
    """Return the error for a name or path that does not exist. names: of the known data sets."""
    name = display.name(source, 200)
    path = Path(source)
    beside = _names(path.parent)
    if any(mark in source for mark in "/\\."):
        near = spelling.nearest(path.name, beside)
        there = f"; {shown(path.parent)} contains {_listed(beside)}" if beside else ""
        help_ = f"did you mean {shown(path.parent / near)}?" if near else f"check the path{there}"
        return DataError(f"--data {name}: no such file or folder", help_)
    near = spelling.nearest(source, [*names, *beside])
    return DataError(
        f"--data {name}: no file, folder or data set has this name", f"did you mean {near}?" if near else NAMES
    )


def unreadable_file(path: Path, what: str) -> DataError:
    """Return the error for a file that contains no data set. what: its type."""
    if what == "plain text" and path.suffix.lower() in _TABLES and (found := of_table(path)) is not None:
        return found
    help_ = recognize.remedy(what)
    if what.endswith(" image"):
        folder = Path(*path.parts[:-2]) if len(path.parts) > 1 else Path("..")
        help_ = (
            f"pass the folder that contains the class folders: layerline data info {shlex.quote(shown(folder))}; "
            f"to classify this image: layerline predict RUN {shlex.quote(shown(path))}"
        )
    return DataError(f"{shown(path)}: found {what}; expected an archive of images, an IDX file or an .npz file", help_)


def of_table(path: Path) -> DataError | None:
    """Return the error for a table that names image files, with the command that reads them; None if it names none."""
    found = neighbors.folder_of(path)
    if found is None:
        return None
    folder, name = found
    return DataError(
        f"{shown(path)}: found a table of file names (such as {display.name(name, 60)}), expected the images",
        f"pass their folder, and the table as labels: layerline data info {shlex.quote(shown(folder))} "
        f"--labels {shlex.quote(shown(path))}",
    )


def nothing_in(path: Path) -> DataError:
    """Return the error for a folder that contains no data set."""
    names = _names(path)
    if not names:
        help_ = f"put images into a folder for each class: {shown(path / 'cat' / '1.jpg')}"
        return DataError(f"{shown(path)}: found an empty folder, expected images arranged as class/image", help_)
    packed = [name for name in names if name.lower().endswith(_PACKED)]
    packed.sort(key=lambda name: split_names.meaning(name.split(".", 1)[0]) != "train")
    if len(packed) == 1:
        help_ = f"use the archive in it: layerline data info {shlex.quote(shown(path / packed[0]))}"
    elif packed:
        help_ = f"use one of the archives in it, such as layerline data info {shlex.quote(shown(path / packed[0]))}"
    else:
        help_ = f"arrange the images in a folder for each class: {shown(path / 'cat' / '1.jpg')}; {NAMES}"
    return DataError(
        f"{shown(path)}: found a folder with {_listed(names)}; expected images arranged as class/image, "
        "or files of a known data set",
        help_,
    )


def _names(folder: Path) -> list[str]:
    """Return some of the names in a folder, without hidden ones; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MOST)]
    except OSError:
        return []
    return sorted(name for name in names if not name.startswith("."))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(display.name(name, 30) for name in names[:_SOME]) + (", …" if len(names) > _SOME else "")
