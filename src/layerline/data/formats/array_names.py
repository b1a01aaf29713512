"""The usual names of arrays of images and labels: `x_train`, `X_train`, `train_images`, `data`, `target`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from layerline.data.part import SPLITS, SplitName
from layerline.errors import DataError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Role = Literal["images", "labels"]
Key = tuple[SplitName, Role]

HELP: Final = "save it with numpy.savez(file, x=images, y=labels), or with x_train, y_train, x_test and y_test"
_ROLES: Final[dict[str, Role]] = {
    **dict.fromkeys(("x", "image", "images", "img", "imgs", "data", "pixels"), "images"),
    **dict.fromkeys(("y", "label", "labels", "lbl", "lbls", "target", "targets"), "labels"),
}
_SPLITS: Final[dict[str, SplitName]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LETTERS: Final[dict[Role, str]] = {"images": "x", "labels": "y"}
_ENDINGS: Final[dict[SplitName, tuple[str, ...]]] = {
    "train": ("_train", ""),
    "validation": ("_validation", "_valid", "_val"),
    "test": ("_test",),
}
DOCUMENTED: Final[dict[str, Key]] = {
    letter + ending: (split, _ROLES[letter])
    for split, endings in _ENDINGS.items()
    for ending in endings
    for letter in "xy"
}
"""The names that need no note."""
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_GLUED: Final = re.compile(rf"([xy])({'|'.join(_SPLITS)})")


@dataclass(frozen=True)
class Meaning:
    """What a name says about an array."""

    split: SplitName | None
    role: Role
    rest: str
    """The other words, such as the name of the set."""


def meaning(name: str) -> Meaning | None:
    """Return what a name means; None unless exactly one word names a role, and at most one a split.

    Words are separated by punctuation, digits or capitals; case does not matter.
    """
    words: list[str] = []
    for part in _PARTS.findall(name):
        glued = _GLUED.fullmatch(part.lower())
        words += glued.groups() if glued else [part.lower()]
    roles = [_ROLES[word] for word in words if word in _ROLES]
    splits = [_SPLITS[word] for word in words if word in _SPLITS]
    if len(roles) != 1 or len(splits) > 1:
        return None
    rest = "-".join(word for word in words if word not in _ROLES and word not in _SPLITS)
    return Meaning(splits[0] if splits else None, roles[0], rest)


def set_name(path: Path) -> str:
    """Return the name of a file's set: that of its folder if the file's own only says which part it is."""
    stem = path.name.split(".")[0]
    words = [word.lower() for part in _PARTS.findall(stem) for word in _GLUED.split(part) if word]
    if not words or not all(word in _ROLES or word in _SPLITS or word.isdigit() for word in words):
        return stem or "data"
    return path.resolve().parent.name or "data"


def choose(place: str, names: Iterable[str], shapes: dict[str, tuple[int, ...]]) -> dict[Key, str]:
    """Return the array of each split and role. Raises DataError if one is missing, or two could be meant.

    shapes: of the arrays, if there are only two: then they decide if the names do not.
    """
    names = list(names)
    candidates: dict[Key, list[str]] = {}
    for name in names:
        found = meaning(name)
        if found is not None and not found.rest:
            candidates.setdefault((found.split or "train", found.role), []).append(name)
    if candidates.keys() != {("train", "images"), ("train", "labels")}:
        by_shape = _of_shapes(shapes, [name for found in candidates.values() for name in found])
        if by_shape is not None:
            return by_shape
    chosen = {key: _only(place, key, candidates) for key in candidates}
    for key in _without_labels(names, chosen):
        del chosen[key]
    _check_complete(place, names, chosen)
    return {(split, role): chosen[split, role] for split, role in sorted(chosen, key=_rank)}


def unlabeled(names: Iterable[str], chosen: dict[Key, str]) -> list[str]:
    """Return the names of images of other splits that were not chosen because they have no labels."""
    found = {name: meaning(name) for name in names if name not in chosen.values()}
    return [
        name
        for name, means in found.items()
        if means is not None
        and means.role == "images"
        and not means.rest
        and means.split not in (None, "train")
        and (means.split, "images") not in chosen
    ]


def note(place: str, chosen: dict[Key, str]) -> tuple[str, ...]:
    """Return a note about names that are not the documented ones."""
    if all(DOCUMENTED.get(name) == key for key, name in chosen.items()):
        return ()
    pairs = [
        f"{display.name(chosen[split, 'images'])} and {display.name(chosen[split, 'labels'])} as {split}"
        for split in SPLITS
        if (split, "images") in chosen
    ]
    return (f"{place}: images and labels are read from {', '.join(pairs)}",)


def listed(names: Sequence[str]) -> str:
    """Return names as displayed in messages."""
    shown = [display.name(name) for name in names[:8]]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _rank(key: Key) -> tuple[int, str]:
    return SPLITS.index(key[0]), key[1]


def _only(place: str, key: Key, candidates: dict[Key, list[str]]) -> str:
    """Return the only array of a key, or the one with a documented name, if its partner has one. Raises DataError."""
    found = candidates[key]
    if len(found) == 1:
        return found[0]
    pair = [[name for name in candidates.get((key[0], role), []) if name in DOCUMENTED] for role in _LETTERS]
    if any(len(documented) != 1 for documented in pair):
        raise DataError(
            f"{place}: found {' and '.join(map(display.name, found))}, expected only one of them as the {key[0]} "
            f"{key[1]}",
            HELP,
        )
    return next(name for name in found if name in DOCUMENTED)


def _of_shapes(shapes: dict[str, tuple[int, ...]], named: list[str]) -> dict[Key, str] | None:
    """Return images and labels if there are two arrays, of which only one can be images and only the other labels."""
    if len(shapes) != 2 or len(named) == 2:
        return None
    images = [name for name, shape in shapes.items() if len(shape) in (3, 4)]
    labels = [name for name, shape in shapes.items() if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)]
    if len(images) != 1 or len(labels) != 1 or shapes[images[0]][0] != shapes[labels[0]][0]:
        return None
    found: dict[Key, str] = {("train", "images"): images[0], ("train", "labels"): labels[0]}
    said = [(meaning(name), key) for key, name in found.items()]
    right = all(means is None or (means.split or "train", means.role) == key for means, key in said)
    return found if right else None


def _without_labels(names: list[str], chosen: dict[Key, str]) -> list[Key]:
    """Return the images of other splits that have no labels, as in competitions; none if a name may be theirs."""
    if not {("train", "images"), ("train", "labels")} <= chosen.keys():
        return []
    return [
        (split, role)
        for split, role in chosen
        if split != "train" and role == "images" and (split, "labels") not in chosen and not _near(names, split)
    ]


def _near(names: list[str], split: SplitName) -> str | None:
    """Return the name that probably means the labels of a split, misspelled."""
    return spelling.nearest(_proposed(split, "labels"), [name for name in names if name not in DOCUMENTED])


def _check_complete(place: str, names: list[str], chosen: dict[Key, str]) -> None:
    pairs: tuple[tuple[Role, Role], ...] = (("images", "labels"), ("labels", "images"))
    for split in SPLITS:
        for role, other in pairs:
            if (split, other) in chosen and (split, role) not in chosen:
                raise _missing(
                    place, names, _proposed(split, role), f" to go with {display.name(chosen[split, other])}"
                )
    if ("train", "images") not in chosen:
        raise _missing(place, names, "x_train" if chosen else "x", "")


def _proposed(split: SplitName, role: Role) -> str:
    return _LETTERS[role] if split == "train" else _LETTERS[role] + _ENDINGS[split][-1]


def _missing(place: str, names: list[str], key: str, partner: str) -> DataError:
    near = spelling.nearest(key, [name for name in names if name not in DOCUMENTED])
    hint = f"if you meant {display.name(near)}, rename it: " if near else ""
    found = f"found {listed(names)}; expected" if names else "found no array, expected"
    return DataError(f"{place}: {found} {key}{partner}", hint + HELP)
