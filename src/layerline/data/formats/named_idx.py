"""Read `--data mnist` and `--data fashion-mnist`: four IDX files, or a copy that Keras or torchvision made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data import content
from layerline.data.fetching import catalog, library_copies
from layerline.data.formats import idx_folder, npz
from layerline.data.formats.recognize import shown
from layerline.data.part import SourceArrays
from layerline.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.data.fetching.library_copies import LibraryCopy
    from layerline.data.part import SplitName


@dataclass(frozen=True)
class Named:
    """A published set of four IDX files."""

    name: str
    folders: tuple[str, ...]
    """The subfolders of the data folder to search, in this order."""
    classes: tuple[str, ...]
    official: dict[tuple[SplitName, str], str]
    """SHA-256 of the (unpacked) files, if it is known."""

    def place(self, data_dir: Path) -> Path:
        """Return the candidate folder that has the most of this set's files."""
        folders = [data_dir / name for name in (*self.folders, ".")]
        return max(folders, key=lambda folder: len(idx_folder.present(folder)))


MNIST: Final = Named(
    "mnist",
    ("mnist", "MNIST/raw", "MNIST"),
    tuple("0123456789"),
    {
        ("train", "images"): "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ("train", "labels"): "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ("test", "images"): "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ("test", "labels"): "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)
FASHION: Final = Named(
    "fashion-mnist",
    ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist"),
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    {},
)
NAMED: Final = {named.name: named for named in (MNIST, FASHION)}


def read(named: Named, data_dir: Path | None) -> SourceArrays:
    """Return a named set: from the data folder, or else, if no folder was named, from a copy. Raises DataError."""
    folder = catalog.folder_of(named.name, data_dir)
    best = named.place(folder)
    lacking = [f"{name}.gz" for name in idx_folder.OFFICIAL if name not in idx_folder.present(best)]
    if len(lacking) == len(idx_folder.OFFICIAL):
        copied = None if data_dir is not None else _copied(named)
        if copied is None:
            raise catalog.absent(named.name, data_dir, folder, ", ".join(lacking) + " (gzipped or not)")
        return copied
    if lacking:
        raise DataError(
            f"--data {named.name}: found no {', '.join(lacking)} in {shown(best)}; all four files are needed",
            f"add {'it' if len(lacking) == 1 else 'them'}, gzipped or not",
        )
    parts = idx_folder.read(best)
    return SourceArrays(named.name, parts.splits, named.classes, official=named.official)


def place_of(named: Named, data_dir: Path) -> Path | None:
    """Return the folder with all files of a set, in a data folder; None if any is missing."""
    place = named.place(data_dir)
    return place if len(idx_folder.present(place)) == len(idx_folder.OFFICIAL) else None


def _copied(named: Named) -> SourceArrays | None:
    """Return the set from a copy with the official content; None if there is none."""
    for copy in library_copies.of(named.name):
        try:
            parts = _read_copy(named, copy)
        except DataError:  # damaged, or something else of this name: the search continues
            continue
        if parts is not None:
            return dataclasses.replace(parts, name=named.name, classes=named.classes, notes=(copy.note,))
    return None


def _read_copy(named: Named, copy: LibraryCopy) -> SourceArrays | None:
    if not named.official:
        return idx_folder.read_packed(copy.path) if copy.is_official() else None
    parts = npz.read(copy.path) if copy.path.is_file() else idx_folder.read(copy.path)
    found = {
        (split, what): content.digest(array)
        for split, part in parts.splits.items()
        for what, array in (("images", part.images.array), ("labels", part.labels.array.astype(np.uint8)))
    }
    return parts if found == named.official else None
