"""Whether the first folder of each image's path is its class, although there are folders inside.

    cat/1.jpg  cat/phone/2.jpg  dog/3.jpg        yes: some images are directly in their class
    cat/a/1.jpg  dog/a/2.jpg                     yes: each class has a single folder
    cat/phone/2021/1.jpg  cat/web/2.jpg  …       yes, if the other classes have the same folders at different depths
    animals/cat/1.jpg  vehicles/car/2.jpg …      unclear: either level may be the classes
    fold0/cat/1.jpg  fold1/cat/2.jpg             no: folds of a cross-validation
    cat/train/1.jpg  cat/test/2.jpg              no: splits belong around the classes
    cat/images/1.png  cat/masks/1.png            no: masks are not images; the same for images/cat and masks/cat

Where two readings are possible, the folders are refused, with a command for each (`layout_refusal`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from layerline.data.photos import split_names

if TYPE_CHECKING:
    from collections.abc import Collection

    from layerline.data.photos.layout_refusal import Folders

Obstacle = Literal["outside", "folds", "splits", "masks", "levels"]

_FOLD: Final = re.compile(r"([a-z]+[-_ ]?)?folds?[-_. ]?\d+", re.IGNORECASE)
_MASKS: Final = re.compile(
    r"(.*[\W_])?(masks?|labels?|annotations?|ground[\W_]?truths?|gts?|segmentations?)", re.IGNORECASE
)


def are_folds(names: Collection[str]) -> bool:
    """Return whether all names, at least two, are those of folds: fold0, fold1."""
    return len(names) > 1 and all(_FOLD.fullmatch(name) for name in names)


def masks_among(names: Collection[str]) -> list[str]:
    """Return the names of folders that contain masks or labels instead of images."""
    return sorted(name for name in names if _MASKS.fullmatch(name))


def obstacle(paths: Collection[Folders]) -> Obstacle | None:
    """Return why the first folder of each path is not its class; None if it is."""
    if () in paths:
        return "outside"
    firsts = {path[0] for path in paths}
    if are_folds(firsts):
        return "folds"
    inside = {name for path in paths for name in path[1:]}
    if any(split_names.meaning(name) for name in inside):
        return "splits"
    boxes = firsts if inside and all(map(split_names.names_no_class, firsts)) else set()
    if masks_among(inside | boxes):
        return "masks"
    return "levels" if containers(paths) else None


def containers(paths: Collection[Folders]) -> list[str]:
    """Return the first folders that may contain classes: no images of their own, but several folders of equal depth.

    Unless all are of one depth, a folder of the same name in another first folder shows that it is not a class.
    """
    direct = {path[0] for path in paths if len(path) == 1}
    inner: dict[str, set[str]] = {}
    depths: dict[str, set[int]] = {}
    for path in paths:
        depths.setdefault(path[0], set()).add(len(path))
        if len(path) > 1:
            inner.setdefault(path[0], set()).add(path[1])
    even = len(set().union(*depths.values())) == 1

    def shared(name: str) -> bool:
        return any(inner[name] & names for other, names in inner.items() if other != name)

    unclear = (name for name in inner if len(inner[name]) > 1 and len(depths[name]) == 1)
    return sorted(name for name in unclear if name not in direct and (even or not shared(name)))
