"""How a number of images is spread over classes, and over groups that are not taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def proportional(counts: list[int], total: int) -> list[int]:
    """Return how many of each class make `total` of sum(counts), in proportion: the method of the largest remainder.

    quota = ⌊total · count / n⌋; what is left goes to the largest remainders, the lower class first on ties. Then a
    class that has images but got none takes one from the largest quota. Whole numbers throughout, so exact.
    """
    n = sum(counts)
    if not 0 <= total <= n:
        raise ValueError(f"{total} of {n}")
    if not n:
        return [0] * len(counts)
    quotas = [total * count // n for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda k: (-(total * counts[k] % n), k))
    for k in by_remainder[: total - sum(quotas)]:
        quotas[k] += 1
    for k, count in enumerate(counts):
        largest = max(range(len(quotas)), key=lambda j: quotas[j])
        if count and not quotas[k] and quotas[largest] > 1:
            quotas[largest] -= 1
            quotas[k] = 1
    return quotas


def whole_groups(
    labels: NDArray[np.int32],
    groups: NDArray[np.int64],
    quotas: list[int],
    numbers: Callable[[NDArray[np.uint64]], NDArray[np.uint64]],
) -> NDArray[np.bool_]:
    """Return which images to take, groups being taken whole, so that each class gets about its quota.

    Groups are looked at once, by their random number. One is taken where that brings the counts nearer to the quotas:
    where Σ_k |taken_k − quota_k| / quota_k becomes less. A class of which nothing is taken then gets the first of its
    groups, where it has others.
    """
    known, member = np.unique(groups, return_inverse=True)
    order = np.argsort(numbers(known.astype(np.uint64)), kind="stable")
    pairs, counts = np.unique(np.stack([member, labels]), axis=1, return_counts=True)
    edges = np.searchsorted(pairs[0], np.arange(len(known) + 1))
    weight = 1 / np.maximum(np.array(quotas, np.float64), 1)
    wanted = np.array(quotas, np.float64)
    taken = np.zeros(len(known), bool)
    for group in order.tolist():
        k, n = pairs[1, edges[group] : edges[group + 1]], counts[edges[group] : edges[group + 1]]
        change = np.abs(wanted[k] - n) - np.abs(wanted[k])
        if float(change @ weight[k]) < 0:
            taken[group] = True
            wanted[k] -= n
    _fill(labels, member, order, quotas, taken)
    return taken[member]


def _fill(
    labels: NDArray[np.int32],
    member: NDArray[np.int64],
    order: NDArray[np.int64],
    quotas: list[int],
    taken: NDArray[np.bool_],
) -> None:
    """Take, for a class of which nothing is taken, the first of its groups, where it has others."""
    for k in range(len(quotas)):
        of_class = np.unique(member[labels == k])
        if len(of_class) > 1 and not taken[of_class].any():
            taken[next(group for group in order.tolist() if group in set(of_class.tolist()))] = True
