"""Per-class results: the worst classes, and the pairs confused most often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.numbers import display
from layerline.runs import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.runs.metrics import Counts
    from layerline.runs.result import ClassRow


def lowest(rows: Sequence[ClassRow], most: int) -> list[int]:
    """Return the numbers of at most `most` classes, lowest F1 first; a class without an F1 comes last."""
    return sorted(range(len(rows)), key=lambda k: 2.0 if rows[k].known[2] is None else rows[k].f1)[:most]


def confused(confusion: Counts, classes: Sequence[str], most: int, longest: int) -> list[str]:
    """Return the pairs confused most often, such as `cat → dog: 8 of 100`: 8 of the 100 cats were predicted as dog.

    most: maximum number of pairs, most frequent first; longest: maximum length of a class name.
    """
    of = confusion.sum(axis=1)
    return [
        f"{display.name(classes[j], longest)} → {display.name(classes[k], longest)}: "
        f"{display.count(count)} of {display.count(int(of[j]))}"
        for j, k, count in metrics.worst(confusion, most)
    ]
