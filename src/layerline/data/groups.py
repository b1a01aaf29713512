"""Groups: images of one patient, one series, one place, which stay on one side of every cut."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from layerline.data.photos import path_keys
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet
    from layerline.data.part import SplitName

_SHOWN: Final = 3
LONGEST: Final = 20.0
"""Seconds that a search may take in another process: 100,000 names and an ordinary expression take below 1."""
_MOST_SQUARES: Final = 10**9
"""Sum of the squares of the names' lengths up to which an expression with one repetition is searched for right here."""
_SEARCH: Final = """
import json, re, sys
pattern, names = json.loads(sys.stdin.buffer.read())
wanted = re.compile(pattern)
found = map(wanted.search, names)
print(json.dumps([(match[1] if wanted.groups else match[0]) or "" if match else "" for match in found]))
"""


def near(group_by: str | None) -> Literal["near", "none"] | None:
    """Return the word of --group-by that is no regular expression: keep near copies together, or nothing."""
    return "near" if group_by == "near" else "none" if group_by == "none" else None


def pattern(group_by: str | None) -> re.Pattern[str] | None:
    """Return the regular expression of --group-by. Raises DataError where it is none."""
    if group_by is None:
        return None
    asked = f"--group-by {display.name(str(group_by))}"
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
    asked = f"--group-by {display.name(wanted.pattern)}"
    matches = _matches(names, wanted)
    lacking = [name for name, match in zip(names, matches, strict=True) if not match]
    if lacking:
        some = ", ".join(display.name(name, 60) for name in lacking[:_SHOWN]) + (", …" * (len(lacking) > _SHOWN))
        raise DataError(
            f"{asked}: found no match in {display.count(len(lacking))} of {display.count(len(names))} names: {some}",
            "it is searched for in the path below the folder of the classes or splits, and each must have it",
        )
    return path_keys.groups(f"group {match}" for match in matches)


def _matches(names: Sequence[str], wanted: re.Pattern[str]) -> list[str]:
    """Return what group 1 of the expression matches in each name, or else all that is matched; "" without a match.

    With one repetition and no choice, a search takes at most the square of a name's length in steps. With more, such as
    `(x|x)*y`, it may take longer than anybody can wait for, and nothing in this process could stop it: another one does
    it, for a time.
    """
    squares = sum(len(name) ** 2 for name in names)
    if _is_simple(wanted.pattern) and squares <= _MOST_SQUARES:
        found = map(wanted.search, names)
        return [(match[1] if wanted.groups else match[0]) or "" if match else "" for match in found]
    asked = f"--group-by {display.name(wanted.pattern)}"
    simpler = r"repeat less in it, such as patient(\d+)"
    if not sys.executable or getattr(sys, "frozen", False):
        raise DataError(f"{asked}: found several repetitions, expected one in a program without Python", simpler)
    given = json.dumps([wanted.pattern, list(names)]).encode()
    command = [sys.executable, "-I", "-S", "-c", _SEARCH]
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=LONGEST, check=True)  # noqa: S603
    except subprocess.TimeoutExpired:
        count = display.count(len(names))
        raise DataError(
            f"{asked}: found no end of the search in {count} names after {LONGEST:g} s, expected one", simpler
        ) from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise DataError(f"{asked}: cannot be searched for in another process: {error}", simpler) from error
    matches: list[str] = json.loads(done.stdout)
    return matches


def _is_simple(written: str) -> bool:
    """Return whether an expression has at most one repetition, and no choice that it could repeat."""
    repetitions = sum(map(written.count, "*+?{"))
    return repetitions == 0 or (repetitions == 1 and "|" not in written)


def check_apart(sets: Mapping[SplitName, ImageSet]) -> tuple[str, ...]:
    """Return a note for each split that the data brought and that shares groups with training."""
    notes = []
    train = sets["train"].groups
    for split in ("validation", "test"):
        other = sets[split].groups if split in sets else None
        if train is not None and other is not None:
            both = np.intersect1d(train, other)
            if len(both):
                count = display.counted(len(both), "group")
                notes.append(f"{count} of {split} also in train, as the data has it: its figures will look too good")
    return tuple(notes)
