"""Groups: images of one patient, one series or one place, which stay in the same split."""

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
"""Seconds that a search in another process may take; 100,000 names and an ordinary expression take less than 1."""
_MOST_SQUARES: Final = 10**9
"""Up to this sum of squared name lengths, an expression with one repetition is searched in this process."""
_EXAMPLES: Final = {"--group-by": r"patient(\d+)", "--label-by": r"([a-z]+)_\d"}
_SEARCH: Final = """
import json, re, sys
pattern, names = json.loads(sys.stdin.buffer.read())
wanted = re.compile(pattern)
found = map(wanted.search, names)
print(json.dumps([(match[1] if wanted.groups else match[0]) or "" if match else "" for match in found]))
"""


def near(group_by: str | None) -> Literal["near", "none"] | None:
    """Return the keyword in --group-by, `near` (keep near copies together) or `none`; None for an expression."""
    return "near" if group_by == "near" else "none" if group_by == "none" else None


def pattern(text: str | None, option: str = "--group-by") -> re.Pattern[str] | None:
    """Return the regular expression in an option. Raises DataError if it is not valid."""
    if text is None:
        return None
    flag = f"{option} {display.name(str(text))}"
    try:
        return re.compile(str(text))
    except (re.error, OverflowError, RecursionError) as error:
        raise DataError(
            f"{flag}: not a valid regular expression: {error}", f"use an expression such as {_EXAMPLES[option]}"
        ) from None


def of_names(names: Sequence[str], wanted: re.Pattern[str]) -> NDArray[np.int64]:
    """Return the group of each name: the text matched by group 1 of the expression, or else the whole match.

    Raises DataError for names without a match: images that belong together may be among them.
    """
    matches = search(names, wanted, "--group-by")
    lacking = [name for name, match in zip(names, matches, strict=True) if not match]
    if lacking:
        way = "every path must match; paths are relative to the folder that contains the classes or splits"
        raise no_match("--group-by", wanted, lacking, len(names), way)
    return path_keys.groups(f"group {match}" for match in matches)


def no_match(flag: str, wanted: re.Pattern[str], lacking: Sequence[str], count: int, way: str) -> DataError:
    """Return the error for names, of a number of them, that an expression does not match."""
    some = ", ".join(display.name(name, 60) for name in lacking[:_SHOWN]) + (", …" * (len(lacking) > _SHOWN))
    return DataError(
        f"{flag} {display.name(wanted.pattern)}: {display.count(len(lacking))} of "
        f"{display.count(count)} paths do not match: {some}",
        way,
    )


def search(names: Sequence[str], wanted: re.Pattern[str], option: str) -> list[str]:
    """Return the text matched by group 1 of the expression in each name, or else the whole match; "" without a match.

    With one repetition and no alternatives, a search takes at most the square of a name's length in steps. Other
    expressions, such as `(x|x)*y`, may take practically forever, and nothing in this process could stop them: they run
    in a separate process with a time limit.
    """
    squares = sum(len(name) ** 2 for name in names)
    if _is_simple(wanted.pattern) and squares <= _MOST_SQUARES:
        found = map(wanted.search, names)
        return [(match[1] if wanted.groups else match[0]) or "" if match else "" for match in found]
    flag = f"{option} {display.name(wanted.pattern)}"
    simpler = f"use fewer repetitions, such as {_EXAMPLES[option]}"
    if not sys.executable or getattr(sys, "frozen", False):
        raise DataError(f"{flag}: found several repetitions; without a Python interpreter only one is allowed", simpler)
    given = json.dumps([wanted.pattern, list(names)]).encode()
    command = [sys.executable, "-I", "-S", "-c", _SEARCH]
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=LONGEST, check=True)  # noqa: S603
    except subprocess.TimeoutExpired:
        count = display.count(len(names))
        raise DataError(f"{flag}: the search in {count} names did not finish within {LONGEST:g} s", simpler) from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise DataError(f"{flag}: the search in a separate process failed: {error}", simpler) from error
    matches: list[str] = json.loads(done.stdout)
    return matches


def _is_simple(written: str) -> bool:
    """Return whether an expression has at most one repetition, and no alternatives that it could repeat."""
    repetitions = sum(map(written.count, "*+?{"))
    return repetitions == 0 or (repetitions == 1 and "|" not in written)


def check_apart(sets: Mapping[SplitName, ImageSet]) -> tuple[str, ...]:
    """Return a note for each split that came with the data and shares groups with training."""
    notes = []
    train = sets["train"].groups
    for split in ("validation", "test"):
        other = sets[split].groups if split in sets else None
        if train is not None and other is not None:
            both = np.intersect1d(train, other)
            if len(both):
                count = f"{display.counted(len(both), 'group')} of {split} {'is' if len(both) == 1 else 'are'}"
                notes.append(f"{count} also in train, in the data's own splits: {split} scores will be too optimistic")
    return tuple(notes)
