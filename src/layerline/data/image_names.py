"""What the path of an image says: its class, its split, or that it is none."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline import figures
from layerline.data.part import SPLITS, SplitName
from layerline.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

Folders = tuple[str, ...]
"""The folders an image is in, outermost first."""

SPLIT_NAMES: Final[dict[str, SplitName]] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_JUNK: Final = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
_TEXTS: Final = (".txt", ".md", ".csv", ".tsv", ".json", ".xml", ".html", ".htm", ".yaml", ".yml", ".url", ".log")
LONGEST_NAME: Final = 200
_LAYOUT: Final = "bring them into class/image or split/class/image, where split is train, val or test"


@dataclass(frozen=True)
class Layout:
    """Which folders are classes, and of which split."""

    classes: tuple[str, ...]
    of: dict[Folders, tuple[SplitName, int]]
    """The split and the class of the images in a folder."""
    splits: tuple[SplitName, ...]
    notes: tuple[str, ...] = ()
    top: int = 0
    """How many outer folders there are around all of it."""

    def rank(self, folders: Folders, name: str) -> tuple[int, int]:  # noqa: ARG002 - a file of labels asks for it
        """Return the split's place and the class of the images in a folder: the order in which they are kept."""
        split, label = self.of[folders]
        return SPLITS.index(split), label


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name is one that systems and programs leave behind."""
    return name.startswith((".", "~$")) or name.lower() in _JUNK


def is_text(name: str) -> bool:
    """Return whether a file of this name is something beside the images: a licence, a list of labels."""
    return name.lower().endswith(_TEXTS)


def layout(place: str, folders: Collection[Folders], empty: Iterable[Folders] = ()) -> Layout:
    """Return what the folders with images in them mean. Raises DataError.

    folders: those with images; empty: those without, which say that a class is there.
    """
    top = _common(folders)
    inner = {path: path[len(top) :] for path in folders}
    depths = {len(path) for path in inner.values()}
    firsts = {path[0] for path in inner.values() if path}
    splits = {first: SPLIT_NAMES[first.lower()] for first in firsts if first.lower() in SPLIT_NAMES}
    if depths == {1} and len(splits) < len(firsts):
        _check_not_alone(place, top)
        bare: list[tuple[SplitName, str]] = [("train", names[0]) for names in _below(top, empty, 1)]
        return _of_classes(place, len(top), {path: ("train", path[-1]) for path in folders}, bare)
    if depths == {2} and len(splits) == len(firsts):
        _check_splits(place, splits)
        known = {path: (splits[names[0]], names[1]) for path, names in inner.items()}
        bare = [(splits[first], name) for first, name in _below(top, empty, 2) if first in splits]
        return _of_classes(place, len(top), known, bare)
    raise _no_layout(place, folders, inner, depths)


def _common(folders: Collection[Folders]) -> Folders:
    """Return the outer folders that all share."""
    first, last = min(folders), max(folders)
    shared = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:shared]


def _below(top: Folders, folders: Iterable[Folders], depth: int) -> list[Folders]:
    """Return the folders that are so deep below `top`, without it."""
    return [path[len(top) :] for path in folders if path[: len(top)] == top and len(path) == len(top) + depth]


def _check_not_alone(place: str, top: Folders) -> None:
    if top and SPLIT_NAMES.get(top[-1].lower(), "train") != "train":
        raise DataError(
            f"{place}: found images in {_shown(top)} alone, expected some in train, too",
            "name the folder itself to cut it into training and test",
        )


def _check_splits(place: str, splits: dict[str, SplitName]) -> None:
    for split in SPLITS:
        named = sorted(first for first, of in splits.items() if of == split)
        if len(named) > 1:
            raise DataError(
                f"{place}: found {' and '.join(map(figures.name, named))}, expected one {split} set",
                "move them into one folder",
            )
    if "train" not in splits.values():
        raise DataError(
            f"{place}: found {' and '.join(sorted(map(figures.name, splits)))}, expected train beside it",
            "put the training images into train/CLASS",
        )


def _no_layout(place: str, folders: Collection[Folders], inner: dict[Folders, Folders], depths: set[int]) -> DataError:
    if len(folders) == 1:
        only = _shown(next(iter(folders)))
        where = f"all in one folder, {only}" if only else "that are in no folder of a class"
        return DataError(f"{place}: found images {where}, expected a folder for each class", _LAYOUT)
    if depths == {1}:
        names = " and ".join(sorted(_shown(path) for path in folders))
        return DataError(f"{place}: found images right in {names}, expected a folder for each class there", _LAYOUT)
    if depths == {2}:
        wrong = sorted(path[0] for path in inner.values() if path[0].lower() not in SPLIT_NAMES)[0]
        return DataError(
            f"{place}: found images in folders of {figures.name(wrong)}, expected only train, val and test", _LAYOUT
        )
    shallow, deep = min(inner, key=lambda path: (len(path), path)), max(inner, key=lambda path: (len(path), path))
    first = _shown(shallow) or "no folder"
    return DataError(f"{place}: found images in {first} and in {_shown(deep)}, expected all at one depth", _LAYOUT)


def _of_classes(
    place: str, top: int, known: dict[Folders, tuple[SplitName, str]], bare: Sequence[tuple[SplitName, str]]
) -> Layout:
    """Return the layout of folders whose split and class are known; bare: classes that are there without images."""
    names: dict[SplitName, dict[str, Folders]] = {}
    for path, (split, name) in sorted(known.items()):
        before = names.setdefault(split, {}).setdefault(_checked(place, name), path)
        if before != path:
            raise DataError(
                f"{place}: found two folders of the class {figures.name(name)} in {split}, written differently",
                "bring their images into one folder",
            )
    with_bare = {split: set(found) for split, found in names.items()}
    for split, name in bare:
        with_bare[split].add(_checked(place, name))
    _check_alike(place, with_bare)
    classes = in_order(names["train"])
    _check_filled(place, classes, with_bare["train"])
    numbers = {name: k for k, name in enumerate(classes)}
    of = {path: (split, numbers[_checked(place, name)]) for path, (split, name) in known.items()}
    return Layout(classes, of, tuple(split for split in SPLITS if split in names), _similar(classes), top)


def _check_alike(place: str, names: dict[SplitName, set[str]]) -> None:
    """Refuse splits whose classes are not those of training."""
    for split, found in names.items():
        extra, lacking = sorted(found - names["train"]), sorted(names["train"] - found)
        if extra or lacking:
            differences = [_listed(extra)] * bool(extra) + [f"no {_listed(lacking)}"] * bool(lacking)
            raise DataError(
                f"{place}: found in {split} {' and '.join(differences)}, "
                f"expected the {len(names['train'])} classes of train: {_listed(sorted(names['train']))}",
                "spell the classes alike" if extra else "make an empty folder where a class has no images",
            )


def _check_filled(place: str, classes: tuple[str, ...], named: set[str]) -> None:
    bare = sorted(named - set(classes))
    if bare:
        raise DataError(
            f"{place}: found no training image of {_listed(bare)}, expected at least one of each class",
            "remove the empty folder, or put images into it",
        )


def _checked(place: str, name: str) -> str:
    """Return the name of a class, its accents written in one way. Raises DataError where it cannot be one."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(
            f"{place}: found the folder {figures.name(name)}, whose name is not UTF-8, expected text", "rename it"
        ) from None
    name = unicodedata.normalize("NFC", name)
    if not name.strip() or len(name) > LONGEST_NAME:
        raise DataError(
            f"{place}: found a class name of {len(name)} letters, expected 1 to {LONGEST_NAME}", "rename its folder"
        )
    return name


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return classes in order: as numbers where all are, else by their letters' code points."""
    listed = sorted(names)
    if all(name.isascii() and name.isdigit() for name in listed):
        listed.sort(key=int)
    return tuple(listed)


def _similar(classes: tuple[str, ...]) -> tuple[str, ...]:
    seen: dict[str, str] = {}
    notes = []
    for name in classes:
        before = seen.setdefault(name.casefold(), name)
        if before != name:
            notes.append(f"{figures.name(before)} and {figures.name(name)} are two classes")
    return tuple(notes)


def _shown(path: Folders) -> str:
    return figures.name("/".join(path), 80)


def _listed(names: list[str]) -> str:
    shown = [figures.name(name, 30) for name in names[:8]]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
