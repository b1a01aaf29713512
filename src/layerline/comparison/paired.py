"""Paired comparison of two models on the same images: the difference in accuracy and macro F1, and its significance.

Only the images on which the two differ matter: one that is easy or hard for both does not show which is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, final

import numpy as np

from layerline.measure.mcnemar import mcnemar
from layerline.numbers import randomness
from layerline.numbers.randomness import Purpose
from layerline.runs import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.runs.metrics import Scores

LEVEL: Final = 0.05
"""The significance level: a difference is significant if its p-value is below this."""
POWER: Final = 0.8
"""The power of the test with `images_needed` images, if the difference is as large as it appears."""
DRAWS: Final = 2000
_FEWEST: Final = 6
"""With fewer discordant images, no difference is significant: 2 · ½⁵ > 0.05."""
_AT_ONCE: Final = 2**15
"""Random numbers per round of the bootstrap, few enough for a core's cache."""


@dataclass(frozen=True)
class Difference:
    """A score of B minus that of A, with a 95% interval."""

    value: float
    low: float
    high: float
    p: float
    """The probability of a difference at least this large if both models are equally good."""

    @property
    def significant(self) -> bool:
        """Whether p is below 0.05 and the interval excludes 0."""
        return self.p < LEVEL and not self.low <= 0 <= self.high

    @property
    def better(self) -> str:
        """Return A or B, or an empty text if they are equal."""
        return "B" if self.value > 0 else "A" if self.value < 0 else ""


@dataclass(frozen=True, eq=False)
class Paired:
    """Two models, A and B, on the same images."""

    images: int
    a: Scores
    b: Scores
    only_a: int
    """Images that only A classifies correctly."""
    only_b: int
    """Images that only B classifies correctly."""
    alike: int
    """Images with the same prediction of both, correct or not."""
    accuracy: Difference
    """Its p is that of McNemar's exact two-sided test of `only_a` against `only_b`."""
    macro_f1: Difference
    """Its p is that of a permutation test."""
    needed: int | None
    """Images needed to make this difference in accuracy significant; None if it already is, or if it is 0."""
    draws: int
    """Draws of the bootstrap and of the permutation test."""


def paired(
    truth: NDArray[np.int64],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    K: int,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Paired:
    """Return the comparison of predictions `a` and `b` for the same images; all int64 (N,), classes 0 … K−1, N ≥ 1."""
    right_a, right_b = a == truth, b == truth
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    N = len(truth)
    accuracy = accuracy_difference(N, only_a, only_b)
    return Paired(
        images=N,
        a=metrics.of_tallies(metrics.tallies(truth, a, K)),
        b=metrics.of_tallies(metrics.tallies(truth, b, K)),
        only_a=only_a,
        only_b=only_b,
        alike=int((a == b).sum()),
        accuracy=accuracy,
        macro_f1=macro_f1_difference(truth, a, b, K, seed=seed, draws=draws),
        needed=None if accuracy.significant else images_needed(N, only_a, only_b),
        draws=draws,
    )


def accuracy_difference(N: int, only_a: int, only_b: int) -> Difference:
    """Return the accuracy of B minus that of A on N images, with its 95% interval and McNemar's p.

        d' ± 1.96 √((only_a + only_b + 1 − (only_b − only_a)² / (N + 2))) / (N + 2),    d' = (only_b − only_a) / (N + 2)

    Agresti and Min 2005, "Simple improved confidence intervals for comparing matched proportions", Statistics in
    Medicine 24: Wald's interval after ½ is added to each of the four counts (both right, one, the other, none).
    """
    difference = only_b - only_a
    center = difference / (N + 2)
    half = _z(LEVEL / 2) * math.sqrt(only_a + only_b + 1 - difference**2 / (N + 2)) / (N + 2)
    return Difference(difference / N, max(-1.0, center - half), min(1.0, center + half), mcnemar(only_a, only_b))


def images_needed(N: int, only_a: int, only_b: int) -> int | None:
    """Return the number of images needed to show the difference, in the proportions of these N; None if it is 0.

        n = (z_0.975 √ψ + z_0.8 √(ψ − δ²))² / δ²,    ψ = (only_a + only_b) / N,  δ = (only_b − only_a) / N

    Connor 1987, "Sample size for testing differences in proportions for the paired-sample design", Biometrics 43:
    with that many images, McNemar's test at 5% has a power of 80%. At least enough for six discordant images.
    """
    if only_a == only_b:
        return None
    psi, delta = (only_a + only_b) / N, (only_b - only_a) / N
    n = (_z(LEVEL / 2) * math.sqrt(psi) + _z(1 - POWER) * math.sqrt(psi - delta**2)) ** 2 / delta**2
    return math.ceil(max(n, _FEWEST / psi))


def macro_f1_difference(
    truth: NDArray[np.int64],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    K: int,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Difference:
    """Return the macro F1 of B minus that of A, with a 95% interval by bootstrap and p by permutation.

    Interval: Efron 1979, "Bootstrap methods: another look at the jackknife". Draw i takes N images with replacement,
    image ⌊N u⌋ with u the `uniform` number at (seed, COMPARE, epoch 0, image i, element 0 … N−1), with the
    predictions of both models. It extends from the 2.5% to the 97.5% quantile of the draws' differences.

    p: Yeh 2000, "More accurate tests for the statistical significance of result differences". Draw i exchanges the
    predictions of A and B for the images where u < ½, at epoch 1, element 0 … N−1. p = (1 + n) / (1 + draws), n the
    draws whose absolute difference is at least the observed one. If A and B differ on only four images, the bootstrap
    alone might call the difference significant; together with p it cannot, and neither can McNemar's test.
    """
    counted = _Cells(truth, a, b, K)
    value = float(counted.difference(counted.sizes[None, :])[0])
    resampled, exchanged = np.empty(draws), np.empty(draws)
    N = len(truth)
    step = max(1, _AT_ONCE // N)
    for first in range(0, draws, step):
        numbers = np.arange(first, min(first + step, draws))[:, None]
        u = randomness.uniform(seed, Purpose.COMPARE, image=numbers, element=np.arange(N))
        drawn = counted.count(counted.cell_of[(u * N).astype(np.int64)])
        resampled[first : first + len(numbers)] = counted.difference(drawn)
        u = randomness.uniform(seed, Purpose.COMPARE, epoch=1, image=numbers, element=counted.differing)
        swapped = counted.count(np.where(u < 0.5, counted.cell_of[counted.differing], -1))
        exchanged[first : first + len(numbers)] = counted.difference(counted.sizes, swapped)
    low, high = np.quantile(resampled, [LEVEL / 2, 1 - LEVEL / 2])
    as_large = int((np.abs(exchanged) >= abs(value) * (1 - 1e-12)).sum())  # up to the rounding of sums
    return Difference(value, float(low), float(high), (1 + as_large) / (1 + draws))


@final
class _Cells:
    """Images by (truth, a, b), which determine the macro F1 of both models."""

    def __init__(self, truth: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64], K: int) -> None:
        cells, cell_of = np.unique(np.stack([truth, a, b]), axis=1, return_inverse=True)
        self.cell_of = np.asarray(cell_of, np.int64).reshape(-1)
        """The cell of each image, int64 (N,)."""
        self.differing = np.flatnonzero(a != b)
        """The images for which the predictions of A and B differ."""
        self._U = cells.shape[1]
        self.sizes = np.bincount(self.cell_of, minlength=self._U)
        """Images of each cell, (U,)."""
        self._of_truth, *self._of = (np.eye(K)[labels] for labels in cells)

    def count(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how often each cell occurs in each row of `cells`, (rows, U); -1 is not a cell."""
        rows = len(cells)
        places = cells + 1 + (self._U + 1) * np.arange(rows)[:, None]
        return np.bincount(places.ravel(), minlength=(self._U + 1) * rows).reshape(rows, -1)[:, 1:]

    def difference(self, sizes: NDArray[np.int64], swapped: NDArray[np.int64] | int = 0) -> NDArray[np.float64]:
        """Return B's macro F1 minus A's for rows of cell sizes; in `swapped` images, A and B are exchanged."""
        a, b = self._of
        kept = sizes - swapped
        return self._macro_f1(kept, b, swapped, a) - self._macro_f1(kept, a, swapped, b)

    def _macro_f1(
        self,
        kept: NDArray[np.int64],
        predicted: NDArray[np.float64],
        swapped: NDArray[np.int64] | int,
        other: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the macro F1 of each row, float64; counts are integers, so they are exact."""
        rows = np.broadcast_to(swapped, kept.shape)
        right = kept @ (self._of_truth * predicted) + rows @ (self._of_truth * other)
        bottom = kept @ (self._of_truth + predicted) + rows @ (self._of_truth + other)  # 2TP + FP + FN
        f1 = np.divide(2 * right, bottom, out=np.zeros_like(bottom), where=bottom > 0)
        return np.asarray(f1.sum(axis=1) / (bottom > 0).sum(axis=1), np.float64)


def _z(tail: float) -> float:
    """Return the normal quantile with probability `tail` above it."""
    return NormalDist().inv_cdf(1 - tail)
