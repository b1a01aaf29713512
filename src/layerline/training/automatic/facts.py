"""The input of the rules: numbers about the data and the network, no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.network import Network
    from layerline.network.start import Start


@dataclass(frozen=True)
class Facts:
    """The facts about a network and a data set that a recipe depends on."""

    shape: tuple[int, int, int]
    """(C, H, W) of an image."""
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    """Training images of each class."""
    filters: bool
    """Whether the network has filters that are trained."""
    uses_batch: bool
    """Whether a layer needs the mean and variance of a batch in training."""
    multiply_adds: int
    """Per image, forward."""
    frozen: bool = False
    """Whether the network begins with frozen layers."""
    tuned: bool = False
    """Whether layers of a pretrained backbone are trained further."""

    @classmethod
    def of(cls, network: Network, data: Dataset, start: Start | None = None) -> Facts:
        """Return the facts about a network and its data. start: the weights that it starts with."""
        counts = np.bincount(data.train.labels, minlength=len(data.classes))
        uses_batch = any(node.layer.uses_batch and not node.frozen for node in network.nodes)
        pretrained = any(node.frozen for node in network.nodes) or (start is not None and start.title is not None)
        tuned = network.trains_backbone and pretrained
        of_network = (network.has_filters, uses_batch, network.multiply_adds, network.frozen_end > 0, tuned)
        return cls(data.shape, data.classes, tuple(counts.tolist()), *of_network)

    @property
    def images(self) -> int:
        """Return the number of training images."""
        return sum(self.counts)

    @property
    def imbalance(self) -> float:
        """Return the ratio of the sizes of the largest and the smallest class."""
        return max(self.counts) / max(1, min(self.counts))
