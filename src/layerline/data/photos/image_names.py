"""Read the class and split of an image from its path."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from layerline.data.part import SPLITS, SplitName
from layerline.data.photos import class_folders, split_names
from layerline.data.photos.layout_refusal import Folders, LayoutError, Refusal, Surroundings, loose
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_JUNK: Final = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
_TEXTS: Final = (
    ".txt",
    ".md",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".xml",
    ".html",
    ".htm",
    ".yaml",
    ".yml",
    ".url",
    ".log",
)
LONGEST_NAME: Final = 200


RUN: Final = frozenset(("network.cnn", "experiment.toml"))
"""Files that every run folder contains from its start; runs/folder.py writes both."""


@dataclass(frozen=True)
class FolderLayout:
    """Which folders are classes, and which split each belongs to."""

    classes: tuple[str, ...]
    of: dict[Folders, tuple[SplitName, int]]
    """Folder → split and class of its images."""
    splits: tuple[SplitName, ...]
    notes: tuple[str, ...] = ()
    top: int = 0
    """Number of outer folders that all images share."""

    def rank(self, folders: Folders, name: str) -> tuple[int, int]:  # noqa: ARG002 - LabelFile.rank needs it
        """Return the index of the split and the class of the images in a folder: the order of the data set."""
        split, label = self.of[folders]
        return SPLITS.index(split), label


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name is a leftover of the operating system or a program."""
    return name.startswith((".", "~$")) or name.lower() in _JUNK


def is_text(name: str) -> bool:
    """Return whether a file of this name is text, such as a license or a list of labels."""
    return name.lower().endswith(_TEXTS)


def is_run(names: Collection[str]) -> bool:
    """Return whether a folder with files of these names is a run folder, whose graphs are not training images."""
    return RUN.issubset(names)


def layout(
    place: str, folders: Collection[Folders], empty: Iterable[Folders] = (), context: Surroundings | None = None
) -> FolderLayout:
    """Return the classes and splits that folders stand for. Raises DataError.

    folders: those with images; empty: those without, which declare a class; context: for messages.
    """
    top = outer_folders(folders)
    inner = {path[len(top) :] for path in folders}
    firsts = {path[0] for path in inner if path}
    splits = split_names.among(firsts)
    if () in inner and len(inner) > 1:
        _check_loose(place, folders, empty, context)
    if not splits and class_folders.obstacle(inner) is None and len(inner) > 1:
        _check_not_alone(place, top)
        bare: list[tuple[SplitName, str]] = [("train", names[0]) for names in _below(top, empty, 1)]
        lone = tuple(
            f"{display.name(name)} is treated as a class, not as a split"
            for name in sorted(firsts)
            if split_names.meaning(name)
        )
        return _of_classes(place, top, {path: ("train", path[: len(top) + 1]) for path in folders}, bare, lone)
    around = {name: _around(name, inner) for name in splits}
    read = {name: of for name, of in split_names.splits_of(splits).items() if around[name] is not None}
    if () in inner or len(read) < len(firsts):
        refused = Refusal(place, top, inner, splits, read, context or Surroundings()).error()
        raise LayoutError(refused.message, refused.help)
    _check_splits(place, read)
    known: dict[Folders, tuple[SplitName, Folders]] = {}
    bare = []
    for name, split in read.items():
        outer = (*top, name, *(around[name] or ()))
        known |= {path: (split, path[: len(outer) + 1]) for path in folders if path[: len(outer)] == outer}
        bare += [(split, path[0]) for path in _below(outer, empty, 1)]
    notes = split_names.public_note(read) + _without_images(empty, top, firsts)
    return _of_classes(place, top, known, bare, notes)


def _without_images(empty: Iterable[Folders], top: Folders, filled: set[str]) -> tuple[str, ...]:
    """Return a note for each split without images, such as an empty val."""
    firsts = {path[len(top)] for path in empty if path[: len(top)] == top and len(path) > len(top)} - filled
    named = {name: split for name in sorted(firsts) if (split := split_names.split_of(name))}
    return tuple(f"{display.name(name)} contains no images, and is not used as the {named[name]} set" for name in named)


def outer_folders(folders: Collection[Folders]) -> Folders:
    """Return the outer folders that all of these share."""
    first, last = min(folders), max(folders)
    shared = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:shared]


def _around(name: str, inner: Collection[Folders]) -> Folders | None:
    """Return the folders between a split and its classes, `seg_train/seg_train/sea`; None if it has no classes.

    Such a folder is named like the split, or images, data and the like. There may be folders inside the classes.
    """
    below = [path[1:] for path in inner if path[0] == name] if () not in inner else []
    if not below:
        return None
    outer = outer_folders(below)
    if len(below) == 1:
        outer = outer[:-1]
    means = split_names.meaning(name)
    around = tuple(part for part in outer if split_names.meaning(part) == means or split_names.names_no_class(part))
    classes = [path[len(outer) :] for path in below]
    if around != outer or class_folders.obstacle(classes) is not None:
        return None
    names = {path[0] for path in classes}
    lone = len(names) == 1 and split_names.names_no_class(*names)
    return None if lone or split_names.among(names) else outer


def _below(top: Folders, folders: Iterable[Folders], depth: int) -> list[Folders]:
    """Return the folders `depth` levels below `top`, relative to it."""
    return [path[len(top) :] for path in folders if path[: len(top)] == top and len(path) == len(top) + depth]


def _check_not_alone(place: str, top: Folders) -> None:
    if any(split_names.meaning(name) not in (None, "train") for name in top[-2:]):
        raise DataError(
            f"{place}: found images only in {_path_text(top)}, but no train folder",
            "to split these images into training and test, pass that folder itself",
        )


def _check_loose(
    place: str, folders: Collection[Folders], empty: Iterable[Folders], context: Surroundings | None
) -> None:
    """Raise LayoutError if the folders can be read without the images that are next to them."""
    top = outer_folders(folders)
    try:
        rest = layout(place, [path for path in folders if path != top], empty, context)
    except DataError:
        return
    named = tuple(path[len(top)] for path in rest.of)
    raise loose(place, top, sorted(set(named)), context or Surroundings())


def _check_splits(place: str, splits: dict[str, SplitName]) -> None:
    for split in SPLITS:
        named = sorted(first for first, of in splits.items() if of == split)
        if len(named) > 1:
            raise DataError(
                f"{place}: found {' and '.join(map(display.name, named))}, expected only one {split} folder",
                "merge them into one folder",
            )
    if "train" not in splits.values():
        raise DataError(
            f"{place}: found {' and '.join(sorted(map(display.name, splits)))}, but no train folder",
            "put the training images into train/CLASS",
        )


def _of_classes(
    place: str,
    top: Folders,
    known: dict[Folders, tuple[SplitName, Folders]],
    bare: Sequence[tuple[SplitName, str]],
    notes: tuple[str, ...] = (),
) -> FolderLayout:
    """Return the layout of folders whose split and class folder are known; bare: classes without images."""
    named = [(split, path[-1]) for split, path in known.values()]
    spelled = _Spelled(_checked(place, name) for split, name in (*named, *bare) if split == "train")
    names: dict[SplitName, dict[str, Folders]] = {}
    of_folder: dict[Folders, str] = {}
    for split, path in sorted(set(known.values())):
        name = spelled.as_in_train(_checked(place, path[-1]), split)
        of_folder[path] = name
        if names.setdefault(split, {}).setdefault(name, path) != path:
            raise DataError(
                f"{place}: {split} has two folders for the class {display.name(name)}, spelled differently",
                "merge them into one folder",
            )
    with_bare = {split: set(found) for split, found in names.items()}
    for split, name in bare:
        with_bare[split].add(spelled.as_in_train(_checked(place, name), split))
    _check_alike(place, with_bare)
    classes = in_order(names["train"])
    _check_filled(place, classes, with_bare["train"])
    numbers = {name: k for k, name in enumerate(classes)}
    of = {path: (split, numbers[of_folder[folder]]) for path, (split, folder) in known.items()}
    splits = tuple(split for split in SPLITS if split in names)
    inside = _inside({path: folder for path, (_, folder) in known.items()}, top)
    return FolderLayout(classes, of, splits, notes + inside + spelled.notes, len(top))


def _inside(class_of: dict[Folders, Folders], top: Folders) -> tuple[str, ...]:
    """Return a note if there are folders inside classes. class_of: folder with images → folder of its class."""
    deeper = sorted(path for path, folder in class_of.items() if path != folder)
    if not deeper:
        return ()
    path, name = _path_text(deeper[0][len(top) :]), display.name(class_of[deeper[0]][-1])
    more = f" (and {display.counted(len(deeper) - 1, 'more folder')} inside classes)" if len(deeper) > 1 else ""
    return (f"images in {path} belong to the class {name}{more}",)


@final
class _Spelled:
    """The training classes, whose names may differ in case in other splits."""

    def __init__(self, names: Iterable[str]) -> None:
        """Store the names of the training classes."""
        self._names = set(names)
        self._respelled: dict[SplitName, list[str]] = {}

    def as_in_train(self, name: str, split: SplitName) -> str:
        """Return the training class for a folder name: the same name, or the only one that differs just in case."""
        if split == "train" or name in self._names:
            return name
        near = [other for other in self._names if other.casefold() == name.casefold()]
        if len(near) != 1:
            return name
        self._respelled.setdefault(split, []).append(f"{display.name(name)} is treated as {display.name(near[0])}")
        return near[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a note for each split with class names in different case."""
        return tuple(
            f"{split}: {pairs[0]}" + (f" (and {len(pairs) - 1} more)" if len(pairs) > 1 else "")
            for split, pairs in self._respelled.items()
        )


def _check_alike(place: str, names: dict[SplitName, set[str]]) -> None:
    """Raise DataError if a split has other classes than training."""
    for split, found in names.items():
        extra, lacking = sorted(found - names["train"]), sorted(names["train"] - found)
        if extra or lacking:
            differences = [f"has {_listed(extra)}"] * bool(extra) + [f"is missing {_listed(lacking)}"] * bool(lacking)
            raise DataError(
                f"{place}: {split} {' but '.join(differences)}; "
                f"expected the {len(names['train'])} classes of train: {_listed(sorted(names['train']))}",
                "use the same class names"
                if extra
                else f"if {split} has no images of a class, create an empty folder for it",
            )


def _check_filled(place: str, classes: tuple[str, ...], named: set[str]) -> None:
    bare = sorted(named - set(classes))
    if bare:
        raise DataError(
            f"{place}: no training images of {_listed(bare)}; expected at least one of each class",
            "remove the empty folder, or add images to it",
        )


def _checked(place: str, name: str) -> str:
    """Return a class name in Unicode NFC. Raises DataError if it is not a valid name."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{place}: the folder name {display.name(name)} is not valid UTF-8", "rename it") from None
    name = unicodedata.normalize("NFC", name)
    if not name.strip() or len(name) > LONGEST_NAME:
        raise DataError(
            f"{place}: found a class name of {len(name)} characters, expected 1 to {LONGEST_NAME}", "rename its folder"
        )
    return name


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return class names in order: numerically if all are numbers, else by code points."""
    listed = sorted(names)
    if all(name.isascii() and name.isdigit() for name in listed):
        listed.sort(key=int)
    return tuple(listed)


def _path_text(path: Folders) -> str:
    return display.name("/".join(path), 80)


def _listed(names: list[str]) -> str:
    listed = [display.name(name, 30) for name in names[:8]]
    return ", ".join(listed) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
