"""CHECK: from the text of a network file to a Network in which everything fits."""

from __future__ import annotations

from layerline.network.graph import Network, Node

__all__ = ["Network", "Node"]
