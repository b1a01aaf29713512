"""Dropout as a PyTorch module with our random numbers, which depend on the image and not on the order of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, final

import numpy as np
import torch
from torch import nn

from layerline.numbers.randomness import dropout_keep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.layers import Dropout, Dropout2d
    from layerline.network import Network, Node


@final
class KeyedDropout(nn.Module):
    """y = x · float32(1 / (1 − p)) where `randomness.dropout_keep` is true, else 0; in evaluation y = x."""

    def __init__(self, node: Node, p: float, seed: int) -> None:
        """Store the key of the random numbers, except for the batch."""
        super().__init__()
        self._layer, self._p, self._seed = node.index, p, seed
        self._shape = mask_shape(node)
        self._epoch, self._images = 0, np.zeros(0, np.int64)

    def set_batch(self, epoch: int, images: NDArray[np.int64]) -> None:
        """Set the image indices of the next batch, and its epoch (from 1)."""
        self._epoch, self._images = epoch, images

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the batch with some elements zeroed and the others scaled up."""
        if not self.training:
            return x
        keep = dropout_keep(self._seed, self._epoch, self._images, self._layer, self._shape, self._p)
        return x * torch.from_numpy(keep * np.float32(1 / (1 - self._p))).to(x.dtype)


def mask_shape(node: Node) -> tuple[int, ...]:
    """Return the shape of what is drawn for an image: a number an element, of Dropout2d a number a channel."""
    return (node.shape[0], 1, 1) if node.layer.kind == "dropout2d" else node.shape


def put_keyed_dropout(module: nn.Sequential, network: Network, seed: int) -> list[KeyedDropout]:
    """Replace every nn.Dropout and nn.Dropout2d of `network.to_torch()` with a KeyedDropout; return these."""
    put = []
    for node in network.nodes:
        if node.layer.kind in ("dropout", "dropout2d"):
            parent, _, name = node.path.rpartition(".")
            new = KeyedDropout(node, cast("Dropout | Dropout2d", node.layer).p, seed)
            setattr(module.get_submodule(parent), name, new)
            put.append(new)
    return put
