"""How a number of images is distributed over classes, and over groups that are never split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def proportional(counts: list[int], total: int) -> list[int]:
    """Return how many images of each class add up to `total`, in proportion to `counts`: the largest remainder method.

    quota = ⌊total · count / n⌋; the rest goes to the largest remainders, the lower class first on ties. Then a class
    that has images but got none takes one from the largest quota. Computed in integers, so exact.
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
    leave: int = 1,
) -> NDArray[np.bool_]:
    """Return which images to take, in whole groups, so that each class gets about its quota.

    Each group is considered once, in the order of random numbers. It is taken if that brings the counts closer to the
    quotas: if Σ_k |taken_k − quota_k| / quota_k decreases, and at least `leave` groups of each of its classes remain.
    A class that got nothing then gets the first of its groups, provided that enough remain.
    """
    known, member = np.unique(groups, return_inverse=True)
    order = np.argsort(numbers(known.astype(np.uint64)), kind="stable")
    pairs, counts = np.unique(np.stack([member, labels]), axis=1, return_counts=True)
    edges = np.searchsorted(pairs[0], np.arange(len(known) + 1))
    weight = 1 / np.maximum(np.array(quotas, np.float64), 1)
    wanted = np.array(quotas, np.float64)
    left = np.bincount(pairs[1], minlength=len(quotas))
    taken = np.zeros(len(known), bool)
    for group in order.tolist():
        k, n = pairs[1, edges[group] : edges[group + 1]], counts[edges[group] : edges[group + 1]]
        change = np.abs(wanted[k] - n) - np.abs(wanted[k])
        if float(change @ weight[k]) < 0 and (left[k] > leave).all():
            taken[group] = True
            wanted[k] -= n
            left[k] -= 1
    _fill(labels, member, order, quotas, taken, leave)
    return taken[member]


def _fill(
    labels: NDArray[np.int32],
    member: NDArray[np.int64],
    order: NDArray[np.int64],
    quotas: list[int],
    taken: NDArray[np.bool_],
    leave: int,
) -> None:
    """Take the first group of each class that got nothing, provided that `leave` others remain."""
    for k in range(len(quotas)):
        of_class = np.unique(member[labels == k])
        if len(of_class) > leave and not taken[of_class].any():
            taken[next(group for group in order.tolist() if group in set(of_class.tolist()))] = True
