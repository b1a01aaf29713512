"""Find the IDX files that belong together by name: images and labels of training, validation and test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from layerline.data.formats import emnist, idx
from layerline.data.formats.recognize import shown, unreadable
from layerline.data.part import SPLITS, FoundArray, SourceArrays, SplitArrays, SplitName
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

OFFICIAL: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_NAME: Final = re.compile(r"(?P<before>.*?)(?P<what>images|labels)[-.]idx\d(?P<type>-\w+)?(\.gz)?", re.IGNORECASE)
_SPLITS: Final[dict[str, SplitName]] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "t10k": "test",
    "test": "test",
}
_Key = tuple[SplitName, str]


def present(folder: Path) -> set[str]:
    """Return the official files present in a folder, gzipped or not, with `-` or `.` before `idx`."""
    try:
        here = {child.name for child in folder.iterdir()} if folder.is_dir() else set()
    except OSError as error:
        raise unreadable(folder, error) from error
    return {name for name in OFFICIAL if any(way in here for way in _ways(name))}


def is_one(folder: Path) -> bool:
    """Return whether the folder contains an IDX file, by name."""
    try:
        return any(_NAME.fullmatch(child.name) for child in folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from error


def read(folder: Path) -> SourceArrays:
    """Return the splits in a folder of IDX files of one set. Raises DataError.

    Half of a pair missing, a file twice, and files of several sets are errors.
    """
    sets = _sets(folder)
    if len(sets) > 1:
        raise _several(folder, sets)
    name, files = next(iter(sets.items())) if sets else ("", {})
    splits = _splits(folder, files)
    if "train" not in splits:
        raise DataError(
            f"{shown(folder)}: found no training images, expected {OFFICIAL[0]} and {OFFICIAL[1]}",
            "rename the files, or pass the image file: --data FILE",
        )
    return emnist.settled(SourceArrays(folder.resolve().name or "data", splits), name, folder)


def read_packed(folder: Path) -> SourceArrays:
    """Return the set of the four official files, gzipped, even if they are also unpacked. Raises DataError."""
    train, test = (
        _part(folder / f"{images}.gz", folder / f"{labels}.gz") for images, labels in (OFFICIAL[:2], OFFICIAL[2:])
    )
    return SourceArrays(folder.name, {"train": train, "test": test})


def _splits(folder: Path, files: dict[_Key, Path]) -> dict[SplitName, SplitArrays]:
    splits: dict[SplitName, SplitArrays] = {}
    for split in SPLITS:
        images, labels = files.get((split, "images")), files.get((split, "labels"))
        if images and labels:
            splits[split] = _part(images, labels)
            continue
        alone = images or labels
        if alone:
            raise DataError(
                f"{shown(folder)}: found {display.name(alone.name)} without its {'labels' if images else 'images'}",
                f"add {_partner_name(alone.name)}",
            )
    return splits


def _several(folder: Path, sets: dict[str, dict[_Key, Path]]) -> DataError:
    """Return the error for a folder with several sets: each has its own `--data`, the file of its training images."""
    starts = [files["train", "images"] for files in sets.values() if ("train", "images") in files]
    names = ", ".join(display.name(name, 40) for name in list(sets)[:8])
    each = "".join(f"\n    --data {shown(path)}" for path in starts[:8])
    return DataError(
        f"{shown(folder)}: found {display.count(len(sets))} data sets ({names}), expected one",
        f"pass the training images of one; its other files are found automatically:{each}"
        if starts
        else "add their training images",
    )


def read_file(path: Path) -> SourceArrays:
    """Return the data set of an IDX image file; its labels are in the matching file in the same folder.

    Training images bring the validation and test files of the same set along; other images are read alone.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        idx.read(path, "images")  # errors in the file itself come first
        raise DataError(
            f"{shown(path)}: the name of the label file cannot be derived from the name of this image file",
            "name the files NAME-images-idx3-ubyte and NAME-labels-idx1-ubyte, gzipped or not",
        )
    if match["what"].lower() == "labels":
        raise DataError(
            f"{shown(path)}: named like a label file, expected an image file",
            f"pass the image file, {_partner_name(path.name)}, or the folder",
        )
    key, found = _label_key(match), None
    for child in sorted(path.parent.iterdir()):
        other = _NAME.fullmatch(child.name)
        if other and other["what"].lower() == "labels" and _label_key(other) == key:
            found = child if found is None or found.suffix == ".gz" else found
    if found is None:
        raise DataError(
            f"{shown(path)}: found no labels for these images, expected {_partner_name(path.name)}",
            "put it in the same folder",
        )
    if _split_of(path.name) == "train":
        return _whole(path, match, found)
    known = (None, _split_of(path.name))
    others = [child.name for child in sorted(path.parent.iterdir()) if _split_of(child.name) not in known]
    notes = (f"{display.name(others[0])} is ignored: to use all files, pass the folder",) if others else ()
    name = key.strip("-._ ") or path.resolve().parent.name
    parts = SourceArrays(name, {"train": _part(path, found)}, notes=notes)
    return emnist.settled(parts, _set_of(match), path.parent)


def _whole(path: Path, match: re.Match[str], labels: Path) -> SourceArrays:
    """Return the set of a file of training images, with its validation and test files if they are in the folder."""
    of_set = _set_of(match)
    files: dict[_Key, Path] = {}
    for child in sorted(path.parent.iterdir()):
        other, split = _NAME.fullmatch(child.name), _split_of(child.name)
        if other is not None and split not in (None, "train") and _set_of(other) == of_set:
            files.setdefault((split, other["what"].lower()), child)
    splits: dict[SplitName, SplitArrays] = {"train": _part(path, labels), **_splits(path.parent, files)}
    notes: tuple[str, ...] = ()
    if len(splits) > 1:
        more = ", ".join(display.name(files[split, "images"].name) for split in splits if split != "train")
        notes = (f"{more}: read as {' and '.join(split for split in splits if split != 'train')}",)
    name = of_set or _label_key(match).strip("-._ ") or path.resolve().parent.name
    return emnist.settled(SourceArrays(name, splits, notes=notes), of_set, path.parent)


def _part(images: Path, labels: Path) -> SplitArrays:
    return SplitArrays(
        FoundArray(idx.read(images, "images"), shown(images)),
        FoundArray(idx.read(labels, "labels"), shown(labels)),
    )


def _sets(folder: Path) -> dict[str, dict[_Key, Path]]:
    """Return the file of each split's images and labels, by set; if a file is also gzipped, the unpacked one.

    Files without the name of a set belong to the only named one.
    """
    sets: dict[str, dict[_Key, Path]] = {}
    for child in sorted(folder.iterdir()):
        match, split = _NAME.fullmatch(child.name), _split_of(child.name)
        if match is None or split is None:
            continue
        key = (split, match["what"].lower())
        before = sets.setdefault(_set_of(match), {}).setdefault(key, child)
        if _plain_name(before.name) != _plain_name(child.name):
            raise _twice(folder, before, child)
    if "" in sets and len(sets) == 2:
        unnamed = sets.pop("")
        ((name, files),) = sets.items()
        for key in unnamed.keys() & files.keys():
            raise _twice(folder, files[key], unnamed[key])
        sets = {name: {**files, **unnamed}}
    return sets


def _twice(folder: Path, one: Path, other: Path) -> DataError:
    return DataError(
        f"{shown(folder)}: found {display.name(one.name)} and {display.name(other.name)}, expected only one of them",
        f"pass the image file: --data {shown(other)}",
    )


def _set_of(match: re.Match[str]) -> str:
    """Return the name of the set that a file belongs to: `emnist-letters`; empty if the name is only of a split."""
    words = re.split(r"[-._ ]+", match["before"].lower())
    return "-".join(word for word in words if word and word not in _SPLITS)


def _split_of(name: str) -> SplitName | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    words = re.split(r"[-._ ]+", match["before"].lower())
    return next((_SPLITS[word] for word in words if word in _SPLITS), None)


def _plain_name(name: str) -> str:
    """Return a name without irrelevant differences: `.gz`, and `.` or `-` before `idx`."""
    return name.removesuffix(".gz").replace(".idx", "-idx")


def _label_key(match: re.Match[str]) -> str:
    return match["before"].lower()


def _partner_name(name: str) -> str:
    """Return the name of the label file for an image file, or of the image file for a label file."""
    if "images" in name:
        return display.name(name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1"), 200)
    return display.name(name.replace("labels", "images").replace("idx1", "idx3"), 200)


def _ways(name: str) -> tuple[str, ...]:
    dotted = name.replace("-idx", ".idx")
    return name, f"{name}.gz", dotted, f"{dotted}.gz"
