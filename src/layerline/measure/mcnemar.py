"""McNemar's test: whether two models differ in accuracy, from the images that only one of them classifies correctly."""

from __future__ import annotations

import math


def mcnemar(only_a: int, only_b: int) -> float:
    """Return McNemar's exact two-sided p: how often a fair coin falls at least as unevenly as only_a : only_b.

        p = min(1, 2 Σ_{k ≤ m} C(n, k) ½ⁿ),    m = min(only_a, only_b),  n = only_a + only_b

    McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12: under the hypothesis that both models are equally good, an image that only one of them gets
    right is as likely A's as B's. His χ² is the approximation of this binomial tail for large n.
    """
    n, m = only_a + only_b, min(only_a, only_b)
    if 2 * m + 1 >= n:  # both tails together are all there is
        return 1.0
    term = total = 1.0  # the terms of the sum by that of k = m, downwards
    for k in range(m, 0, -1):
        term *= k / (n - k + 1)
        total += term
        if term < 1e-18 * total:
            break
    log = math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1) - n * math.log(2)
    return min(1.0, 2 * math.exp(log) * total)
