"""Find the IDX files that belong together by name: images and labels of training, validation and test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from layerline.data.formats import idx
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
    """Return the splits in a folder of IDX files. Raises DataError if half of a pair is missing, or occurs twice."""
    files = _files(folder)
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
    if "train" not in splits:
        raise DataError(
            f"{shown(folder)}: found no training images, expected {OFFICIAL[0]} and {OFFICIAL[1]}",
            "rename the files, or pass the image file: --data FILE",
        )
    return SourceArrays(folder.resolve().name or "data", splits)


def read_file(path: Path) -> SourceArrays:
    """Return the data set of an IDX image file; its labels are in the matching file in the same folder."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        idx.read(path, "images")  # errors in the file itself come first
        raise DataError(
            f"{shown(path)}: contains images, but the label file cannot be found from this name",
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
    known = (None, _split_of(path.name))
    others = [child.name for child in sorted(path.parent.iterdir()) if _split_of(child.name) not in known]
    notes = (f"{display.name(others[0])} is ignored: pass the folder to use all its files",) if others else ()
    name = key.strip("-._ ") or path.resolve().parent.name
    return SourceArrays(name, {"train": _part(path, found)}, notes=notes)


def _part(images: Path, labels: Path) -> SplitArrays:
    return SplitArrays(
        FoundArray(idx.read(images, "images"), shown(images)),
        FoundArray(idx.read(labels, "labels"), shown(labels)),
    )


def _files(folder: Path) -> dict[_Key, Path]:
    """Return the file of each split's images and labels; if a file is also present gzipped, the unpacked one."""
    files: dict[_Key, Path] = {}
    for child in sorted(folder.iterdir()):
        match, split = _NAME.fullmatch(child.name), _split_of(child.name)
        if match is None or split is None:
            continue
        key = (split, match["what"].lower())
        before = files.setdefault(key, child)
        if _plain_name(before.name) != _plain_name(child.name):
            raise DataError(
                f"{shown(folder)}: found {display.name(before.name)} and {display.name(child.name)}, "
                "expected only one of them",
                f"pass the image file: --data {shown(child)}",
            )
    return files


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
