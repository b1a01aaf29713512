"""Which epoch's weights are kept: each rule against what it says of the whole course at once."""

from __future__ import annotations

import numpy as np
import pytest

from layerline.runs.history import EpochRow
from layerline.training.best import is_best, without_a_better


def row(epoch: int, loss: float | None, accuracy: float | None, macro_f1: float | None) -> EpochRow:
    return EpochRow(epoch, 1.0, 0.5, 0.5, loss, accuracy, macro_f1, 0.1, 1.0, 1.0, 1.0, best=False)


def kept(rule: str, rows: list[EpochRow], images: int) -> int:
    """Return the index of the last epoch that was the best of those before it."""
    return max(k for k in range(len(rows)) if is_best(rule, rows[: k + 1], images))


@pytest.mark.parametrize("seed", range(40))
def test_what_is_kept_is_what_the_rule_says_of_all_epochs(seed: int) -> None:
    """Told epoch by epoch, the kept one is: the last within a standard error of the highest accuracy; the first of the
    lowest loss; the last of the highest macro F1."""
    numbers = np.random.default_rng(seed)
    images = int(numbers.integers(2, 400))
    accuracy = numbers.integers(0, images + 1, 12) / images
    loss, macro_f1 = numbers.integers(1, 6, 12) / 4, numbers.integers(0, 6, 12) / 6
    rows = [row(k + 1, *map(float, figures)) for k, figures in enumerate(zip(loss, accuracy, macro_f1, strict=True))]
    p = accuracy.max()
    near = np.flatnonzero(accuracy >= p - np.sqrt(p * (1 - p) / images))
    assert kept("accuracy", rows, images) == near[-1]
    assert kept("loss", rows, images) == np.argmin(loss)
    assert kept("macro_f1", rows, images) == np.flatnonzero(macro_f1 == macro_f1.max())[-1]


@pytest.mark.parametrize("rule", ["accuracy", "loss", "macro_f1"])
def test_without_a_validation_set_the_last_is_kept(rule: str) -> None:
    """There is nothing to tell epochs apart by."""
    assert kept(rule, [row(k, None, None, None) for k in range(1, 5)], 0) == 3


def test_a_small_set_does_not_throw_the_end_away() -> None:
    """Of 30 images one more or less is chance: the loss is lowest in epoch 2, the accuracy one image higher in 3."""
    rows = [row(1, 1.2, 10 / 30, 0.3), row(2, 0.9, 14 / 30, 0.4), row(3, 1.1, 18 / 30, 0.5), row(4, 1.4, 17 / 30, 0.5)]
    assert [kept(rule, rows, 30) for rule in ("accuracy", "loss", "macro_f1")] == [3, 1, 3]


def test_an_end_that_is_worse_is_not_kept() -> None:
    """A collapse is more than an error of the highest accuracy."""
    rows = [row(1, 1.2, 0.5, 0.5), row(2, 0.9, 0.8, 0.8), row(3, 2.0, 0.6, 0.6)]
    assert kept("accuracy", rows, 1000) == 1


def test_patience_counts_from_what_got_better() -> None:
    """By accuracy, from the lowest loss or the highest accuracy, whichever came later; else from the rule's own."""
    rows = [row(1, 0.5, 0.7, 0.9), row(2, 0.4, 0.6, 0.8), row(3, 0.6, 0.6, 0.9), row(4, 0.7, 0.65, 0.7)]
    assert [without_a_better(rule, rows) for rule in ("accuracy", "loss", "macro_f1")] == [2, 2, 3]
    assert without_a_better("accuracy", [*rows, row(5, 0.7, 0.8, 0.7)]) == 0


def test_a_head_on_features_keeps_its_end_with_few_images() -> None:
    """Of 30 validation images, a lucky early epoch without a mistake does not beat a plateau two images below; an end
    that is eight images below does not count. With 50 images, or without frozen layers, the usual rule holds."""
    plateau = [1.0, *[28 / 30] * 5]
    cases = ((plateau, 30, True, 5), (plateau, 30, False, 0), (plateau, 50, True, 0), ([1.0, 22 / 30], 30, True, 0))
    for accuracies, images, features, expected in cases:
        rows = [row(k, 1.0, accuracy, 0.5) for k, accuracy in enumerate(accuracies, 1)]
        seen = [k for k in range(len(rows)) if is_best("accuracy", rows[: k + 1], images, features=features)]
        assert seen[-1] == expected, (accuracies, images, features)
