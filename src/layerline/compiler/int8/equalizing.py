"""Channels of about the same range: a tensor has one scale, so a channel with small values would have few of the 256.

The math.  ReLU, pools and means satisfy f(x / σ) = f(x) / σ for σ > 0. So if a layer with weights is followed by
another, through these alone, and nothing else reads the values in between, then each channel c may be divided by a
number σ[c]:
    w₁[c] / σ[c], b₁[c] / σ[c]      and      w₂[o, c] · σ[c]
The network computes the same. σ[c] = √(a[c] / m[c]), a the largest value of the channel and m the largest weight that
it is multiplied with: then both are √(a · m) (Nagel et al. 2019, arXiv:1906.04721, section 4.1, with ranges of values
instead of the first weights, which have a scale per filter). If w₂ has one filter per channel, its scales are free,
too, and σ = a.

ReLU6 limits all channels at 6, so a channel that reaches it keeps σ = 1. Another may be enlarged, σ < 1, to at most 6
for the largest value that was seen and an eighth more: then it is limited there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from layerline.compiler.int8.int8_steps import by_channel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.compiler.int8.int8_builder import Observation
    from layerline.compiler.int8.int8_steps import Int8Step, Int8Steps
    from layerline.layers import Conv

_PASSES: Final = frozenset({"pool", "global_max_pool", "avg_pool", "global_pool"})
_LAST: Final = frozenset({"conv", "depthwise", "fc"})
_PARTS: Final = {"conv": "weight", "depthwise": "weight", "fc": "weight", "batch_norm": "a"}
"""Kinds of layers whose outputs can be divided: the name of what is divided besides the bias."""
_MARGIN: Final = 1.125
LEAST: Final = 2.0**-12
"""Ranges below this fraction of the largest count as this: a channel that is nearly always 0 needs no resolution."""


def equalized(
    steps: Int8Steps, weights: Mapping[str, NDArray[Any]], observed: Mapping[int, Observation]
) -> tuple[dict[str, NDArray[Any]], dict[int, Observation]]:
    """Return the weights and what is observed of a network that computes the same, with equal channels where it can."""
    found, seen = dict(weights), dict(observed)
    for step in steps.steps:
        between = _between(steps, step)
        if between is None:
            continue
        values, last = between
        factors = _factors(last, found, seen[step.value], step.limit)
        for name in (_PARTS[step.node.layer.kind], "bias"):
            key = f"{step.node.path}.{name}"
            if key in found:
                found[key] = found[key] / factors.reshape(-1, *[1] * (found[key].ndim - 1))
        key = f"{last.node.path}.weight"
        found[key] = (_by_input(last, found[key], len(factors)) * _over(last, factors)).reshape(found[key].shape)
        for value in values:
            seen[value] = seen[value].divided(factors)
    return found, seen


def _between(steps: Int8Steps, first: Int8Step) -> tuple[list[int], Int8Step] | None:
    """Return the values between a layer with weights and the next one, and that; None if they cannot be divided."""
    if first.node.layer.kind not in _PARTS:
        return None
    values, step = list[int](), first
    while True:
        readers = steps.readers(step.value)
        homogeneous = step is first or step.limit is None or step.limit == float("inf")
        if len(readers) != 1 or len(readers[0].inputs) != 1 or not homogeneous:
            return None
        values.append(step.value)
        if readers[0].node.layer.kind in _LAST:
            return values, readers[0]
        if readers[0].node.layer.kind not in _PASSES:
            return None
        step = readers[0]


def _factors(
    last: Int8Step, weights: Mapping[str, NDArray[Any]], seen: Observation, limit: float | None
) -> NDArray[np.float64]:
    """Return σ of each channel of a value: 1 for the mean channel, or for those that reach a limit."""
    C = len(seen.low)
    ranges = np.maximum(np.abs(seen.low), np.abs(seen.high)).reshape(C, -1).max(1)
    factors = np.maximum(ranges, max(ranges.max() * LEAST, np.finfo(np.float32).tiny))
    if not by_channel(last.node):
        w = np.abs(_by_input(last, weights[f"{last.node.path}.weight"], C))
        largest = w.max((1, 3)).reshape(-1)
        factors = np.sqrt(factors / np.maximum(largest, max(largest.max() * LEAST, np.finfo(np.float32).tiny)))
    if limit is None or limit == float("inf"):
        return np.asarray(factors / np.exp(np.log(factors).mean()), np.float64)
    least = np.minimum(np.maximum(ranges, limit * LEAST) * _MARGIN / limit, 1)
    return np.asarray(np.clip(factors / factors.max(), least, 1), np.float64)


def _by_input(step: Int8Step, weights: NDArray[Any], channels: int) -> NDArray[np.float64]:
    """Return weights as (groups, filters, channels, …), channels being those of the input."""
    groups = _groups(step, channels)
    return np.asarray(weights, np.float64).reshape(groups, len(weights) // groups, channels // groups, -1)


def _over(step: Int8Step, factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return factors so that they multiply weights of `_by_input`."""
    return factors.reshape(_groups(step, len(factors)), 1, -1, 1)


def _groups(step: Int8Step, channels: int) -> int:
    if step.node.layer.kind == "conv":
        return cast("Conv", step.node.layer).groups
    return channels if step.node.layer.kind == "depthwise" else 1
