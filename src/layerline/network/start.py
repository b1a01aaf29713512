"""The initial weights of a network: drawn from a seed, or those of an earlier training."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from layerline.numbers import randomness

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from layerline.layers import Weight
    from layerline.network.graph import Network, Node


@final
@dataclass(frozen=True, eq=False)
class Start:
    """Weights to start from (a warm start), instead of weights drawn from the seed."""

    digest: str
    """SHA-256 (hex) of the names, types, shapes and bytes of the weights: see `digest`."""
    weights: Mapping[str, NDArray[Any]] | None
    """With the names and layouts of `to_torch().state_dict()`; the others are drawn by the seed. None if a checkpoint
    has newer ones to resume from."""
    source: str | None = None
    """The run folder, model file or backbone, as typed; None for a model in memory."""
    epoch: int | None = None
    """The epoch of its run that the weights are from, if known."""
    module: str | None = None
    """The class of the PyTorch module that the weights are from (`from_torch`)."""
    title: str | None = None
    """What the weights are, if they are pretrained ones: `EfficientNet-Lite0 (ImageNet)`."""
    head: int | None = None
    """The index of the first node that starts with random weights, as do all after it; None: there is none."""

    def fresh(self, network: Network) -> tuple[Node, ...]:
        """Return the layers with weights that start with random ones."""
        return () if self.head is None else tuple(node for node in network.nodes[self.head :] if node.weights)

    def backbone(self, network: Network) -> int:
        """Return how many nodes come before the head: the layers that are new, or else the last one with weights."""
        last = next((node.index for node in reversed(network.nodes) if node.weights), 0)
        return last if self.head is None else self.head

    @property
    def text(self) -> str:
        """Return where the weights are from: `runs/a (epoch 9)`, `LeNet (PyTorch)`."""
        if self.module is not None:
            return f"{self.module} (PyTorch)"
        if self.title is not None:
            return self.title
        epoch = "" if self.epoch is None else f" (epoch {self.epoch})"
        return f"{self.source or 'a model in memory'}{epoch}"


def digest(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 (hex) of weights: per array a line `name type shape`, then its bytes, little-endian."""
    import numpy as np

    found = hashlib.sha256()
    for name, array in weights.items():
        found.update(f"{name} {array.dtype.name} {'x'.join(map(str, array.shape))}\n".encode())
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


def initial_weights(network: Network, seed: int, init: str = "torch") -> dict[str, NDArray[Any]]:
    """Return the initial weights with the names and layouts of `to_torch().state_dict()`, float32.

    torch:  weights and biases uniform in ± 1/√fan_in (Kaiming uniform with a = √5, the default of PyTorch's layers)
    he:     weights normal with standard deviation √(2/fan_in) (He et al. 2015, arXiv:1502.01852, eq. 10); biases 0
    xavier: weights uniform in ± √(6/(fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16); biases 0

    Element k of a layer's concatenated arrays is drawn at (seed, INIT, layer=the node's index, element=k), in float64,
    then rounded. BatchNorm starts at weight 1, bias 0, mean 0, variance 1; its count (int64) at 0.
    """
    import numpy as np

    weights: dict[str, NDArray[Any]] = {}
    for node in network.nodes:
        first = 0
        for name, weight in node.weights.items():
            elements = np.arange(first, first + weight.size, dtype=np.uint64)
            values = _values(weight, init, seed, node.index, elements)
            weights[name] = values.reshape(weight.shape).astype(weight.dtype)
            first += weight.size
    return weights


def _values(weight: Weight, init: str, seed: int, layer: int, elements: NDArray[np.uint64]) -> NDArray[np.float64]:
    import numpy as np

    if weight.start != "drawn" or (init != "torch" and len(weight.shape) == 1):
        return np.full(weight.size, 1.0 if weight.start == "ones" else 0.0)
    if init == "he":
        deviation = math.sqrt(2 / weight.fan_in)
        return deviation * randomness.normal(seed, randomness.Purpose.INIT, layer=layer, element=elements)
    bound = 1 / math.sqrt(weight.fan_in) if init == "torch" else math.sqrt(6 / (weight.fan_in + _fan_out(weight)))
    drawn = randomness.uniform(seed, randomness.Purpose.INIT, layer=layer, element=elements)
    return (2.0 * drawn - 1.0) * bound


def _fan_out(weight: Weight) -> int:
    """Return the number of outputs that one input of a weight (O, …, R, S) feeds: O · R · S, as PyTorch counts."""
    O, _, *kernel = weight.shape
    return O * math.prod(kernel)
