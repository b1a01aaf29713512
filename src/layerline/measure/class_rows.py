"""A test class by class: which classes are the worst, and which are confused most often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.numbers import display
from layerline.runs import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.runs.metrics import Counts
    from layerline.runs.result import ClassRow


def lowest(rows: Sequence[ClassRow], most: int) -> list[int]:
    """Return the numbers of at most so many classes, those with the lowest F1 first; without one it comes last."""
    return sorted(range(len(rows)), key=lambda k: 2.0 if rows[k].known[2] is None else rows[k].f1)[:most]


def confused(confusion: Counts, classes: Sequence[str], most: int, longest: int) -> list[str]:
    """Return the pairs confused most often, `cat → dog: 8 of 100`, truth → prediction and of the images of the truth.

    most: how many at most, the most frequent first; longest: letters of a class's name.
    """
    of = confusion.sum(axis=1)
    return [
        f"{display.name(classes[j], longest)} → {display.name(classes[k], longest)}: "
        f"{display.count(count)} of {display.count(int(of[j]))}"
        for j, k, count in metrics.worst(confusion, most)
    ]
