"""TRAIN: which epoch is the best, by the validation set (measurements: docs/decisions/0007-which-epoch.md)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.runs.history import EpochRow

FEW: Final = 50
"""With fewer validation images than this, a head on features may be two standard errors below its highest accuracy."""


def is_best(rule: str, seen: Sequence[EpochRow], images: int, *, features: bool = False) -> bool:
    """Return whether the last of the epochs `seen` is the best so far, by the recipe's rule.

    accuracy: its validation accuracy is within a standard error √(p(1 − p) / images) of the highest, p. A schedule that
    ends at 0 is best at its end, and a difference of a few images between two epochs is chance. With fewer than FEW
    images and a head on frozen features: within two standard errors of p̃ = (p · images + 2) / (images + 4), as in the
    interval of Agresti and Coull (1998), which is not zero where p is 1.
    loss: its validation loss is lower than all before. macro_f1: no validation macro F1 is higher.
    Without a validation set every epoch is the best so far. images: the size of the validation set. features: whether
    the network is a head on frozen features.
    """
    *before, now = _values(seen, _DECIDES[rule])
    if now is None:
        return True
    if rule == "loss":
        return all(now < each for each in before)
    highest = max([now, *before])
    spread = _spread(highest, images, few=features and images < FEW) if rule == "accuracy" else 0.0
    return bool(now >= highest - spread)


def _spread(p: float, images: int, *, few: bool) -> float:
    """Return how far below the highest accuracy, p, an epoch may be by chance."""
    if not few:
        return math.sqrt(p * (1 - p) / images)
    p = (p * images + 2) / (images + 4)
    return 2 * math.sqrt(p * (1 - p) / (images + 4))


def without_a_better(rule: str, history: Sequence[EpochRow]) -> int:
    """Return the number of epochs since the rule's metric was at its best.

    With accuracy, since it or the loss was: as long as either improves, the network is learning.
    """
    losses, scores = (_values(history, name) for name in ("validation_loss", _DECIDES[rule]))
    reached = losses.index(min(losses)) if rule != "macro_f1" else 0
    if rule != "loss":
        reached = max(reached, scores.index(max(scores)))
    return len(history) - 1 - reached


_DECIDES: Final = {"accuracy": "validation_accuracy", "loss": "validation_loss", "macro_f1": "validation_macro_f1"}


def _values(history: Sequence[EpochRow], name: str) -> list[Any]:
    return [getattr(row, name) for row in history]
