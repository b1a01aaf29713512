"""CHECK: from the text of a network file to a Network in which all shapes match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerline.network.check import notes, parse
from layerline.network.graph import Network, Node
from layerline.network.memory import training_bytes
from layerline.network.source import find, preset, presets, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Network",
    "Node",
    "find",
    "initial_weights",
    "notes",
    "parse",
    "preset",
    "presets",
    "read",
    "training_bytes",
]


def initial_weights(network: Network, seed: int, init: str = "torch") -> dict[str, NDArray[Any]]:
    """Return the initial weights by their names in `to_torch().state_dict()`; `init` is torch, he or xavier."""
    from layerline.network import start  # needs NumPy, which reading a network does not

    return start.initial_weights(network, seed, init)
