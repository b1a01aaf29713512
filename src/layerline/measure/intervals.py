"""Confidence intervals of the test scores: percentile bootstrap, computed from the confusion matrix alone.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3. A resample takes N of the N test images
with replacement. Accuracy and macro F1 depend on the counts of the confusion matrix alone, and the counts of a resample
are multinomial: N images, each in cell i with probability counts[i] / N. So the counts are drawn, not the images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.numbers import randomness
from layerline.numbers.randomness import Purpose
from layerline.runs import metrics
from layerline.system.workers import MATRICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.runs.metrics import Counts

RESAMPLES: Final = 2000
LEVEL: Final = 0.95

_SPARE: Final = 3.0
"""The Poisson draw aims this many standard deviations below N; the remaining images are drawn one by one."""
_AT_ONCE: Final = 1 << 20
"""Random numbers drawn at once."""


def intervals(confusion: Counts, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, tuple[float, float]] | None:
    """Return the 95% intervals of test_accuracy and test_macro_f1; None without images.

    confusion: (K, K), row = truth. From the 2.5% to the 97.5% quantile of the resamples' scores.
    """
    if not confusion.sum():
        return None
    with MATRICES:
        accuracy, macro_f1 = _resampled(confusion, seed, resamples)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return {
        name: (float(low), float(high))
        for name, (low, high) in (
            ("test_accuracy", np.quantile(accuracy, tails)),
            ("test_macro_f1", np.quantile(macro_f1, tails)),
        )
    }


def _resampled(confusion: Counts, seed: int, resamples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return accuracy and macro F1 of each resample, float64 (resamples,) each."""
    K, N = len(confusion), int(confusion.sum())
    rows, columns, cells = metrics.cells(confusion)
    right = np.flatnonzero(rows == columns)
    accuracy, macro_f1 = np.empty(resamples), np.empty(resamples)
    step = max(1, _AT_ONCE // (len(cells) + K + math.ceil(_SPARE * math.sqrt(N))))
    for first in range(0, resamples, step):
        numbers = np.arange(first, min(first + step, resamples))
        drawn = draw(cells, seed, numbers)
        true = np.zeros((len(numbers), K), np.int64)  # TP of each class
        true[:, rows[right]] = drawn[:, right]
        bottom = _by_class(drawn, rows, K) + _by_class(drawn, columns, K)  # 2TP + FP + FN
        f1 = np.divide(2 * true, bottom, out=np.zeros(bottom.shape), where=bottom > 0)
        accuracy[numbers] = true.sum(axis=1) / N
        macro_f1[numbers] = f1.sum(axis=1) / (bottom > 0).sum(axis=1)
    return accuracy, macro_f1


def _by_class(drawn: NDArray[np.int64], classes: NDArray[np.int64], K: int) -> NDArray[np.int64]:
    """Return the sum over the cells of each class, int64 (resamples, K); classes: that of each cell."""
    order = np.argsort(classes, kind="stable")
    there, begins = np.unique(classes[order], return_index=True)
    found = np.zeros((len(drawn), K), np.int64)
    found[:, there] = np.add.reduceat(drawn[:, order], begins, axis=1)
    return found


def draw(cells: NDArray[np.int64], seed: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cell counts of some resamples, int64 (len(numbers), len(cells)); each row sums to N = Σ cells.

    Exact, with far fewer draws than N per resample. Independent Poisson numbers with means proportional to the cells
    are, given their sum M, multinomial with M images; N − M images drawn one by one complete them. Their mean sum is
    N − 3√N; a resample whose M still exceeds N starts over and is drawn one by one. At (seed, BOOTSTRAP, image = number
    of the resample), epoch 0 holds the Poisson numbers, element = cell; epoch 1 the single images.
    """
    N = int(cells.sum())
    share = max(0.0, 1 - _SPARE / math.sqrt(N))
    u = randomness.uniform(seed, Purpose.BOOTSTRAP, image=numbers[:, None], element=np.arange(len(cells)))
    drawn = np.empty(u.shape, np.int64)
    for count in sorted(set(cells.tolist())):  # np.unique would import numpy.ma, 10 ms
        same = cells == count
        drawn[:, same] = np.searchsorted(_poisson(count * share), u[:, same], side="right")
    drawn[drawn.sum(axis=1) > N] = 0
    missing = N - drawn.sum(axis=1)
    row = np.repeat(np.arange(len(numbers)), missing)
    element = np.arange(len(row)) - np.repeat(np.cumsum(missing) - missing, missing)
    u = randomness.uniform(seed, Purpose.BOOTSTRAP, epoch=1, image=numbers[row], element=element)
    cell = np.repeat(np.arange(len(cells)), cells)[(u * N).astype(np.int64)]
    singly = np.bincount(row * len(cells) + cell, minlength=drawn.size)
    return np.asarray(drawn + singly.reshape(drawn.shape), np.int64)


def _poisson(mean: float) -> NDArray[np.float64]:
    """Return P(X ≤ k) of a Poisson number for k = 0, 1, … until it reaches 1 in float64."""
    if mean == 0:
        return np.ones(1)
    k = np.arange(math.ceil(mean + 10 * math.sqrt(mean)) + 20)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(k[1:]))])
    sums = np.cumsum(np.exp(k * math.log(mean) - mean - factorials))
    return np.asarray(sums / sums[-1], np.float64)
