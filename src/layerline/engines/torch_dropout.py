"""Dropout as a PyTorch module with our random numbers, which depend on the image and not on the order of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, final

import numpy as np
import torch
from torch import nn

from layerline.engines.torch_philox import dropout_keep

if TYPE_CHECKING:
    from layerline.layers import Dropout, Dropout2d
    from layerline.network import Network, Node


@final
class KeyedDropout(nn.Module):
    """y = x · float32(1 / (1 − p)) where `dropout_keep` is true, else 0; in evaluation y = x."""

    def __init__(self, node: Node, p: float, seed: int) -> None:
        """Store the key of the random numbers, except for the batch."""
        super().__init__()
        self._layer, self._p, self._seed = node.index, p, seed
        self._shape = mask_shape(node)
        self._epoch, self._images = 0, torch.zeros(0, dtype=torch.int64)

    def set_batch(self, epoch: int, images: torch.Tensor) -> None:
        """Set the image indices of the next batch, int64 on the device, and its epoch (from 1)."""
        self._epoch, self._images = epoch, images

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the batch with some elements zeroed and the others scaled up."""
        if not self.training:
            return x
        keep = dropout_keep(self._seed, self._epoch, self._images, self._layer, self._shape, self._p)
        dtype = torch.promote_types(x.dtype, torch.float32)  # bfloat16 would round the factor
        return x * (keep.to(dtype) * float(np.float32(1 / (1 - self._p))))


def mask_shape(node: Node) -> tuple[int, ...]:
    """Return the shape of what is drawn for an image: a number an element, of Dropout2d a number a channel."""
    return (node.shape[0], 1, 1) if node.layer.kind == "dropout2d" else node.shape


def put_keyed_dropout(module: nn.Sequential, network: Network, seed: int) -> list[KeyedDropout]:
    """Replace every nn.Dropout and nn.Dropout2d of `network.to_torch()` that is not frozen with a KeyedDropout; return
    these."""
    put = []
    for node in network.nodes:
        if node.layer.kind in ("dropout", "dropout2d") and not node.frozen:
            parent, _, name = node.path.rpartition(".")
            new = KeyedDropout(node, cast("Dropout | Dropout2d", node.layer).p, seed)
            setattr(module.get_submodule(parent), name, new)
            put.append(new)
    return put
