"""Files with one array each, that belong together by name: `x_train.npy` and `y_train.npy`, Kuzushiji's four `.npz`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from layerline.data.formats import archive, array_names, npy, rows
from layerline.data.formats.recognize import ZIP, shown, unreadable
from layerline.data.formats.stream import FETCH
from layerline.data.part import SPLITS, FoundArray, SourceArrays, SplitArrays, SplitName
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.data.formats.array_names import Key

NPY: Final = b"\x93NUMPY"
_SUFFIXES: Final = (".npy", ".npz")
_MAX_FILES: Final = 1000


@dataclass(frozen=True)
class _Found:
    """The files of a folder."""

    sets: dict[str, dict[Key, list[Path]]]
    """The files with one array, by the name of their set."""
    archives: list[Path]
    """The archives with several arrays."""

    def complete(self) -> list[str]:
        """Return the sets that have training images and labels."""
        return [name for name, files in self.sets.items() if {("train", "images"), ("train", "labels")} <= files.keys()]


def read_folder(folder: Path) -> SourceArrays | None:
    """Return the data set in a folder of array files; None if there is none. Raises DataError if there are several."""
    found = _found(folder)
    complete = found.complete()
    if len(complete) == 1 and not found.archives:
        return _read(found.sets[complete[0]], complete[0] or folder.resolve().name or "data", SPLITS)
    each = [*(found.sets[name]["train", "images"][0] for name in complete), *found.archives]
    if len(each) > 1:
        raise DataError(
            f"{shown(folder)}: found {display.count(len(each))} data sets, expected one",
            "pass one of them:" + "".join(f"\n    --data {shown(path)}" for path in each[:12]),
        )
    if found.archives:
        raise DataError(
            f"{shown(folder)}: found a folder, expected the .npz file in it", f"use --data {shown(each[0])}"
        )
    return None


def is_part(path: Path) -> bool:
    """Return whether a file contains one array and has a name that says which. Raises DataError."""
    return array_names.meaning(path.stem) is not None and _arrays(path) == 1


def read_file(path: Path) -> SourceArrays:
    """Return the data set of a file of images: with training images all of its files, else only this split.

    Raises DataError.
    """
    means = array_names.meaning(path.stem)
    if means is None:
        raise DataError(
            f"{shown(path)}: found a single NumPy array, but its name does not indicate images or labels",
            "name the files x_train.npy and y_train.npy, or save images and labels together: "
            "numpy.savez(file, x=images, y=labels)",
        )
    split: SplitName = means.split or "train"
    files = {**_found(path.parent).sets.get(means.rest, {}), (split, means.role): [path]}
    if means.role == "labels":
        partner = files.get((split, "images"))
        raise DataError(
            f"{shown(path)}: named like a label file, expected an image file",
            f"use --data {shown(partner[0])}" if partner else f"add the {split} images",
        )
    splits = SPLITS if split == "train" else (split,)
    notes: tuple[str, ...] = ()
    if split != "train" and ("train", "images") in files:
        notes = (f"only the {split} images are read; for the whole set: --data {shown(files['train', 'images'][0])}",)
    name = means.rest or path.resolve().parent.name or "data"
    return _read(files, name, splits, notes)


def _read(
    files: dict[Key, list[Path]], name: str, splits: tuple[SplitName, ...], notes: tuple[str, ...] = ()
) -> SourceArrays:
    parts: dict[SplitName, SplitArrays] = {}
    said = []
    for split in splits:
        images, labels = (_only(files.get((split, role), []), split, role) for role in ("images", "labels"))
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            one, lacking = (labels, "images") if images is None else (images, "labels")
            raise DataError(
                f"{shown(one) if one else name}: found no {split} {lacking} next to it",
                "add them: for x_train.npy, they are y_train.npy",
            )
        as_split: SplitName = split if splits == SPLITS else "train"
        parts[as_split] = SplitArrays(
            FoundArray(_array(images), shown(images)), FoundArray(_array(labels), shown(labels))
        )
        said.append(f"{display.name(images.name)} and {display.name(labels.name)} as {split}")
    reshaped, flat = rows.reshaped(parts)
    return SourceArrays(name, reshaped, notes=(f"images and labels are read from {', '.join(said)}", *notes, *flat))


def _only(files: list[Path], split: str, role: str) -> Path | None:
    if len(files) > 1:
        raise DataError(
            f"{shown(files[0].parent)}: found {' and '.join(display.name(path.name) for path in files[:4])}, "
            f"expected only one of them as the {split} {role}",
            "move the others elsewhere",
        )
    return files[0] if files else None


def _found(folder: Path) -> _Found:
    """Return the array files in a folder. Raises DataError."""
    sets: dict[str, dict[Key, list[Path]]] = {}
    archives = []
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    except OSError as error:
        raise unreadable(folder, error) from error
    for path in paths[:_MAX_FILES]:
        means, many = array_names.meaning(path.stem), _arrays(path)
        if many > 1:
            archives.append(path)
        elif means is not None and many == 1:
            sets.setdefault(means.rest, {}).setdefault((means.split or "train", means.role), []).append(path)
    return _Found(sets, archives)


def _arrays(path: Path) -> int:
    """Return the number of arrays in a file. Raises DataError."""
    try:
        with regular.opened(path) as file:
            start = file.read(len(NPY))
    except OSError as error:
        raise unreadable(path, error) from error
    if start == NPY:
        return 1
    if not start.startswith(ZIP):
        return 0
    with archive.open_archive(path) as (_, members):
        return len(members)


def _array(path: Path) -> NDArray[Any]:
    """Return the only array of a file. Raises DataError."""
    name = shown(path)
    try:
        with regular.opened(path) as file:
            if file.read(len(NPY)) == NPY:
                file.seek(0)
                return npy.values(file, os.fstat(file.fileno()).st_size, name)
    except OSError as error:
        raise unreadable(path, error) from error
    except EOFError as error:
        raise DataError(f"{name}: the file was truncated while it was being read", "read it again") from error
    except (MemoryError, ValueError) as error:
        raise DataError(f"{name}: the array does not fit into memory", "use part of the data") from error
    with archive.open_archive(path) as (opened, members):
        if len(members) != 1:
            raise DataError(f"{name}: found {len(members)} arrays, expected one", FETCH)
        ((_, info),) = members.items()
        return archive.read(opened, info, name)
