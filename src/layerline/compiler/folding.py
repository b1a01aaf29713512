"""BatchNorm folding: in the forward-only Program BatchNorm is a scale and a shift, usually folded into weights. A
frozen BatchNorm is one in a training, too.

After a weighted layer that has no other reader, y = (W·x + c − mean) · a + b with a = w / √(running_var + eps) is one
layer with weights W · a and bias (c − mean) · a + b. Elsewhere BatchNorm remains, with mean and a precomputed. The
folded weights are computed in float64 and rounded once, so that a prediction differs from PyTorch's eval mode only by
the rounding of the weights: at most 2⁻²⁴ of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from layerline.compiler.kernels.batch_norm import LINEAR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from layerline.network import Network, Node


def folds(network: Network, *, training: bool = False) -> dict[int, int]:
    """Return the node index of each foldable BatchNorm → the index of the layer whose weights it is folded into."""
    found = {}
    for node in _linear_norms(network, training=training):
        if node.inputs[0]:
            before = network.nodes[node.inputs[0] - 1]
            readers = [other for other in network.nodes if before.index + 1 in other.inputs]
            if before.layer.absorbs_norm and readers == [node]:
                found[node.index] = before.index
    return found


def folded_weights(
    network: Network, weights: Mapping[str, NDArray[Any]], *, training: bool = False
) -> dict[str, NDArray[np.float32]]:
    """Return a Program's parameters, from the network's weights (PyTorch names and layouts)."""
    found = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    into = folds(network, training=training)
    for node in _linear_norms(network, training=training):
        mean, a, b = _linear(node, weights)
        if node.index not in into:
            high = np.asarray(mean, np.float32)
            with np.errstate(invalid="ignore"):  # of weights that are infinite, as after a divergence
                low = mean - high
            for name, value in zip(LINEAR, (high, low, a), strict=True):
                found[f"{node.path}.{name}"] = np.asarray(value, np.float32)
            continue
        path = network.nodes[into[node.index]].path
        w = np.asarray(weights[f"{path}.weight"], np.float64)
        c = np.asarray(weights.get(f"{path}.bias", np.zeros(len(w))), np.float64)
        found[f"{path}.weight"] = (w * a.reshape(-1, *[1] * (w.ndim - 1))).astype(np.float32)
        found[f"{path}.bias"] = ((c - mean) * a + b).astype(np.float32)
    return found


def _linear_norms(network: Network, *, training: bool) -> Iterator[Node]:
    """Yield each BatchNorm that is a scale and a shift."""
    norms = (node for node in network.nodes if node.layer.kind == "batch_norm")
    return (node for node in norms if node.frozen or not training)


def _linear(node: Node, weights: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], ...]:
    """Return (mean, a, b) of a BatchNorm."""
    w, b, mean, variance = (
        np.asarray(weights[f"{node.path}.{name}"], np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    return mean, w / np.sqrt(variance + node.layer.eps), b  # type: ignore[attr-defined]  # it is a BatchNorm
