"""Groups: images of one patient, one series, one place, which stay on one side of every cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import numpy as np

from layerline import figures
from layerline.data import path_keys
from layerline.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet
    from layerline.data.part import SplitName

_SHOWN = 3


def near(group_by: str | None) -> Literal["near", "none"] | None:
    """Return the word of --group-by that is no regular expression: keep near copies together, or nothing."""
    return "near" if group_by == "near" else "none" if group_by == "none" else None


def pattern(group_by: str | None) -> re.Pattern[str] | None:
    """Return the regular expression of --group-by. Raises DataError where it is none."""
    if group_by is None:
        return None
    asked = f"--group-by {figures.name(str(group_by))}"
    try:
        return re.compile(str(group_by))
    except (re.error, OverflowError, RecursionError) as error:
        raise DataError(
            f"{asked}: found no regular expression ({error}), expected one", r"such as patient(\d+)"
        ) from None


def of_names(names: Sequence[str], wanted: re.Pattern[str]) -> NDArray[np.int64]:
    """Return the group of each name: what group 1 of the expression matches in it, or else all that is matched.

    Raises DataError for names without a match: images that belong together may be among them.
    """
    asked = f"--group-by {figures.name(wanted.pattern)}"
    found, lacking = list[str](), list[str]()
    for name in names:
        match = wanted.search(name)
        if match is None or not (match[1] if wanted.groups else match[0]):
            lacking.append(name)
        else:
            found.append(f"group {match[1] if wanted.groups else match[0]}")
    if lacking:
        some = ", ".join(figures.name(name, 60) for name in lacking[:_SHOWN]) + (", …" * (len(lacking) > _SHOWN))
        raise DataError(
            f"{asked}: found no match in {figures.count(len(lacking))} of {figures.count(len(names))} names: {some}",
            "it is searched for in the path below the folder of the classes or splits, and each must have it",
        )
    return path_keys.groups(found)


def check_apart(sets: Mapping[SplitName, ImageSet]) -> tuple[str, ...]:
    """Return a note for each split that the data brought and that shares groups with training."""
    notes = []
    train = sets["train"].groups
    for split in ("validation", "test"):
        other = sets[split].groups if split in sets else None
        if train is not None and other is not None:
            both = np.intersect1d(train, other)
            if len(both):
                count = "1 group" if len(both) == 1 else f"{figures.count(len(both))} groups"
                notes.append(f"{count} of {split} also in train, as the data has it: its figures will look too good")
    return tuple(notes)
