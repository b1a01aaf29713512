"""How a number of images is spread over classes."""

from __future__ import annotations


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
