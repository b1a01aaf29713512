"""`--data cifar10`: the published batches, their archive, or a copy as images, where --data-dir says."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final

from layerline.data import cifar, image_archive, image_folder
from layerline.data.cifar_batch import CLASSES
from layerline.data.recognise import shown
from layerline.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.data.decoding import Progress
    from layerline.data.part import Parts

NAME: Final = "cifar10"
_FOLDERS: Final = ("cifar10", "cifar-10", "CIFAR10", ".")
_ARCHIVE: Final = re.compile(r"cifar.?10(?!0).*\.(tar(\..z)?|t.z)", re.IGNORECASE)


def read(data_dir: Path | None, progress: Progress | None) -> Parts:
    """Return CIFAR-10 from the first place where it is. Raises DataError where there is none."""
    if data_dir is None:
        raise DataError(
            f"--data {NAME}: found no --data-dir, expected the folder that its files are in",
            f"put {_archives()} into DIR/{_FOLDERS[0]}, then add --data-dir DIR or set LAYERLINE_DATA=DIR",
        )
    if not data_dir.is_dir():
        raise DataError(f"--data-dir {shown(data_dir)}: found no folder there, expected one", "check the path")
    folders = [folder for folder in (data_dir / name for name in _FOLDERS) if folder.is_dir()]
    for folder in folders:
        batches = cifar.place_of(folder)
        if batches is not None:
            return cifar.read_folder(batches)
    for folder in folders:
        archives = sorted((path for path in folder.iterdir() if _ARCHIVE.fullmatch(path.name)), key=_preference)
        if archives:
            return _copy(image_archive.read(archives[0], progress), archives[0])
        if (folder / "train").is_dir():
            parts = image_folder.read_folder(folder, progress)
            if parts is not None:
                return _copy(parts, folder)
    raise DataError(
        f"--data {NAME}: found no files of it in {shown(data_dir)}, expected them in {shown(data_dir / _FOLDERS[0])}",
        f"put {_archives()} there, as it is or unpacked",
    )


def _copy(parts: Parts, place: Path) -> Parts:
    """Return the set, with a note where it came as image files. Raises DataError where these are of other classes."""
    if parts.splits["train"].images.order == cifar.ORDER:
        return parts
    if parts.classes != CLASSES:
        found = ", ".join((parts.classes or ())[:10])
        raise DataError(
            f"{shown(place)}: found the classes {found}, expected those of CIFAR-10: {', '.join(CLASSES)}",
            "name the path itself to train on it: --data PATH",
        )
    note = f"{shown(place)} is a copy of CIFAR-10 as image files: figures on it are not quite those of the original"
    return dataclasses.replace(parts, name=NAME, notes=(note, *parts.notes))


def _preference(path: Path) -> tuple[bool, str]:
    return path.name not in cifar.ARCHIVES, path.name


def _archives() -> str:
    return " or ".join(cifar.ARCHIVES)
