"""`--label-by REGEX`: the class of each image file from its path, instead of folders."""

from __future__ import annotations

import shlex
import unicodedata
from typing import TYPE_CHECKING, Final

from layerline.data import groups
from layerline.data.photos import split_names
from layerline.data.photos.file_labels import FileLabel, FileLabels
from layerline.data.photos.image_names import LONGEST_NAME, outer_folders
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from layerline.data.part import SplitName


_MAX_FOLDERS: Final = 4


def labels_of(paths: Sequence[str], pattern: re.Pattern[str], place: str) -> FileLabels:
    """Return the labels of files: the text matched by group 1 of the expression, or else the whole match.

    It is searched for in the path below the outer folders that all files share. Folders named like splits are these.
    Raises DataError for files without a match.
    """
    top = len(outer_folders({tuple(path.split("/")[:-1]) for path in paths}))
    inner = ["/".join(path.split("/")[top:]) for path in paths]
    command = f"layerline data info {shlex.quote(place)} --label-by {shlex.quote(pattern.pattern)}"
    splits = _splits(inner, place, command)
    of: dict[str, FileLabel] = {}
    matches = _matches(inner, pattern, command)
    for path, name, match in zip(paths, inner, matches, strict=True):
        label = unicodedata.normalize("NFC", match.strip())
        if not label or len(label) > LONGEST_NAME:
            raise DataError(
                f"--label-by {display.name(pattern.pattern)}: found a label of {len(label)} characters in "
                f"{display.name(name, 100)}, expected 1 to {LONGEST_NAME}",
                "enclose the part that is the label in parentheses",
            )
        of[path] = FileLabel(label, splits.get(name.split("/", 1)[0], "train") if splits else "train")
    notes = split_names.public_note(splits)
    found = FileLabels(of, f"label by {pattern.pattern}", "files without a label", notes=notes, top=top)
    found.check(place)
    return found


def _matches(names: Sequence[str], pattern: re.Pattern[str], command: str) -> list[str]:
    """Return what the expression matches in each name. Raises DataError if names have no match.

    command: the one that reads the data, to which an --exclude may be added.
    """
    matches = groups.search(names, pattern, "--label-by")
    lacking = [name for name, match in zip(names, matches, strict=True) if not match]
    if lacking:
        folders = {name.split("/", 1)[0] for name in lacking if "/" in name}
        others = {name.split("/", 1)[0] for name, match in zip(names, matches, strict=True) if match}
        apart = sorted(folders) if len(folders) <= _MAX_FOLDERS and not folders & others else []
        way = "every path must match; paths are relative to the folder that contains the splits"
        if apart:
            way = f"exclude them: {command} --exclude {shlex.quote(','.join(apart))}"
        raise groups.no_match("--label-by", pattern, lacking, len(names), way)
    return matches


def _splits(paths: Sequence[str], place: str, command: str) -> dict[str, SplitName]:
    """Return the split of each folder, if folders are splits. Raises DataError if only some are."""
    firsts = {path.split("/", 1)[0] if "/" in path else "" for path in paths}
    among = split_names.among(firsts)
    if not among:
        return {}
    found = split_names.splits_of(among)
    others = sorted(firsts - set(found))
    if others:
        names = ", ".join(display.name(name, 30) if name else "the top folder" for name in others[:4])
        omit = ",".join(filter(None, others)) if "train" in found.values() else ",".join(sorted(among))
        raise DataError(
            f"{place}: found images in {names} outside any split, next to {display.name(min(among), 30)}",
            f"exclude them: {command} --exclude {shlex.quote(omit)}" if omit else "move them into a split",
        )
    if "train" not in found.values():
        raise DataError(
            f"{place}: found {' and '.join(sorted(map(display.name, found)))}, but no train folder",
            "put the training images into train",
        )
    return found
