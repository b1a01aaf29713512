"""Propose the --label-by that fits the names of image files: `cat.0.jpg`, `great_pyrenees_12.jpg`, `07_rain.jpg`."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAST: Final = (r"([^/_]+)_[^/]*$", r"([^/-]+)-[^/]*$")
"""Tried if no other fits: the first word."""
_PATTERNS: Final = (
    r"([^/]+)\.\d+\.",
    r"([^/]+)_\d+\.",
    r"([^/]+)-\d+\.",
    r"([^/]+) \(?\d+\)?\.",
    r"([^/\d]+)\d+\.",
    r"\d_([^/]+)\.",
    r"\d-([^/]+)\.",
    r"\d\.([^/]+)\.",
    r"\d ([^/]+)\.",
    r"\d([^/\d._ -]+)\.",
    *_LAST,
)
"""Each has the label as its group; they are tried in this order."""
_CAMERAS: Final = re.compile(
    r"(p?img|image|dscn?|dscf?|dcim|pict?|picture|photo|foto|frame|scan|screenshot|sample|file|_|-|\d)*", re.IGNORECASE
)
"""Beginnings of names that cameras and programs choose."""
_FEWEST: Final = 2
"""Minimum number of images of each class."""
_MOST_FEW: Final = 1 / 4
"""Fraction of the classes that may have fewer."""
_FEWEST_OF_NUMBERS: Final = 3
"""Images per class on average from which labels can be numbers, or some classes can have a single image."""
_DIGITS: Final = 3
_MAX_PROPOSALS: Final = 2


@dataclass(frozen=True)
class Proposal:
    """A pattern that has a match in every name, and the classes that it gives."""

    pattern: str
    classes: tuple[str, ...]


def proposals(paths: Sequence[str]) -> list[Proposal]:
    """Return the patterns that divide files into classes of several images each; two if they disagree."""
    found: list[Proposal] = []
    divisions: list[list[int]] = []
    for pattern in _PATTERNS:
        labels = _labels(paths, re.compile(pattern))
        if labels is None or (found and pattern in _LAST):
            continue
        division = _division(labels)
        if division not in divisions:
            divisions.append(division)
            found.append(Proposal(pattern, tuple(sorted(set(labels)))))
    return found[:_MAX_PROPOSALS]


def _labels(paths: Sequence[str], pattern: re.Pattern[str]) -> list[str] | None:
    """Return the label of each file; None if one has none, or the labels can hardly be classes."""
    labels = []
    for path in paths:
        match = pattern.search(path)
        if match is None:
            return None
        labels.append(match[1])
    counts = Counter(labels)
    few = sum(count < _FEWEST for count in counts.values())
    if len(counts) < 2 or few > _MOST_FEW * len(counts) or (few and len(labels) < _FEWEST_OF_NUMBERS * len(counts)):
        return None
    if all(map(_CAMERAS.fullmatch, counts)):
        numbered = all(len(label) <= _DIGITS and label.isdigit() for label in counts)
        return labels if numbered and len(labels) >= _FEWEST_OF_NUMBERS * len(counts) else None
    return labels


def _division(labels: Sequence[str]) -> list[int]:
    """Return the labels as numbers in the order in which they occur."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]
