"""Read `--data cifar10`: the published batches, their archive, or a copy as image files, in the data folder.

If it is not there, copies of Keras or torchvision are looked for; and so it is with CIFAR-100, as published.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final

from layerline.data.fetching import catalog, library_copies
from layerline.data.formats import cifar, cifar100
from layerline.data.formats.cifar_batch import CLASSES
from layerline.data.formats.recognize import shown
from layerline.data.photos import image_archive, image_folder
from layerline.errors import DataError
from layerline.files import user_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerline.data.part import SourceArrays
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.image_options import ImageOptions

NAME: Final = "cifar10"
NAMES_100: Final = ("cifar100", "cifar-100")
_FOLDERS: Final = ("cifar10", "cifar-10", "CIFAR10", ".")
_ARCHIVE: Final = re.compile(r"cifar.?10(?!0).*\.(tar(\..z)?|t.z)", re.IGNORECASE)


def read(data_dir: Path | None, options: ImageOptions, progress: Progress | None) -> SourceArrays:
    """Return CIFAR-10 from the first place where it is found. Raises DataError if there is none."""
    folder = catalog.folder_of(NAME, data_dir)
    place = place_of(folder)
    if place is None:
        copied = None if data_dir is not None else _copied(NAME, cifar.read_folder)
        if copied is not None:
            return copied
        raise catalog.absent(NAME, data_dir, folder, f"{' or '.join(cifar.ARCHIVES)} (packed or unpacked)")
    if place.is_file():
        return _copy(image_archive.read(place, options, progress), place)
    if cifar.place_of(place) is not None:
        return cifar.read_folder(place)
    parts = image_folder.read_folder(place, options, progress)
    if parts is None:
        raise DataError(f"{shown(place)}: found no images in train", "put them into train/CLASS")
    return _copy(parts, place)


def read_100(data_dir: Path | None) -> SourceArrays:
    """Return CIFAR-100 from the data folder, or from a copy. Raises DataError if there is none."""
    folder = data_dir or catalog.default_folder()
    for place in (folder / "cifar100", folder) if folder is not None else ():
        found = cifar100.place_of(place)
        if found is not None:
            return cifar100.read_folder(found)
    copied = None if data_dir is not None else _copied("cifar100", cifar100.read_folder)
    if copied is not None:
        return copied
    where = "" if folder is None else f" in {user_folder.shown(folder)}"
    raise DataError(
        f"--data cifar100: found no folder cifar-100-python{where}",
        "download cifar-100-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html, "
        "then pass --data cifar-100-python.tar.gz",
    )


def _copied(name: str, reader: Callable[[Path], SourceArrays]) -> SourceArrays | None:
    """Return a set from a copy of Keras or torchvision with the official content; None if there is none."""
    for copy in library_copies.of(name):
        if copy.is_official():
            parts = reader(copy.path)
            return dataclasses.replace(parts, notes=(copy.note, *parts.notes))
    return None


def place_of(data_dir: Path) -> Path | None:
    """Return the first place in a data folder from which CIFAR-10 can be read: batches, an archive, image files."""
    folders = [folder for folder in (data_dir / name for name in _FOLDERS) if folder.is_dir()]
    for folder in folders:
        batches = cifar.place_of(folder)
        if batches is not None:
            return batches
    for folder in folders:
        archives = [path for path in folder.iterdir() if _ARCHIVE.fullmatch(path.name)]
        if archives:
            return min(archives, key=_preference)
        if (folder / "train").is_dir():
            return folder
    return None


def _copy(parts: SourceArrays, place: Path) -> SourceArrays:
    """Return the data set, with a note if it comes from image files. Raises DataError if these have other classes."""
    if parts.splits["train"].images.order == cifar.ORDER:
        return parts
    if parts.classes != CLASSES:
        found = ", ".join((parts.classes or ())[:10])
        raise DataError(
            f"{shown(place)}: found the classes {found}; expected the CIFAR-10 classes: {', '.join(CLASSES)}",
            "to use this data set, pass its path: --data PATH",
        )
    note = f"{shown(place)} is a copy of CIFAR-10 as image files: scores may differ slightly from those on the original"
    return dataclasses.replace(parts, name=NAME, notes=(note, *parts.notes))


def _preference(path: Path) -> tuple[bool, str]:
    return path.name not in cifar.ARCHIVES, path.name
