"""The images of a training on the device: copied there once, then gathered, augmented and scaled batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import torch

from layerline.engines.torch_augment import TorchDrawn

if TYPE_CHECKING:
    from layerline.data.dataset import ImageSet, Scaling
    from layerline.engines.epoch import Epoch
    from layerline.engines.ranks import Ranks
    from layerline.engines.torch_device import TorchDevice


@final
@dataclass(frozen=True, eq=False)
class TorchBatch:
    """What a step computes with, on the device."""

    indices: torch.Tensor
    """int64 (n,): of the images."""
    x: torch.Tensor
    """(n, C, H, W): the network's input."""
    labels: torch.Tensor
    """int64 (n,)"""


@final
class TorchImages:
    """The images and labels of an ImageSet on a device; on the CPU they share its memory."""

    def __init__(self, images: ImageSet, scaling: Scaling, place: TorchDevice, dtype: torch.dtype) -> None:
        """Copy the stored values. dtype: of the network's input; the scaling itself is in float32."""
        self._place, self._dtype = place, dtype
        self._values = place.put(images.images)
        self._labels = place.put(images.labels).long()
        scales = (np.asarray(part, np.float32).reshape(1, -1, 1, 1) for part in (scaling.scale, scaling.shift))
        self._scale, self._shift = map(place.put, scales)

    def batch(self, indices: torch.Tensor, drawn: TorchDrawn | None = None, rows: slice | None = None) -> TorchBatch:
        """Return the images at `indices` (int64, on the device). drawn: their augmentation, at `rows` of its tables."""
        values = self._values[indices]
        values = values.float() if drawn is None or rows is None else drawn.apply(values, rows)
        scaled = values * self._scale + self._shift  # two operations: each is rounded, as in Scaling.apply
        return TorchBatch(indices, self._place.laid_out(scaled.to(self._dtype)), self._labels[indices])


@final
class TorchEpoch:
    """An epoch's order and tables on a device."""

    def __init__(self, epoch: Epoch, images: TorchImages, place: TorchDevice, batch_size: int, ranks: Ranks) -> None:
        """Copy the tables of this rank's images."""
        part = epoch if ranks.size == 1 else epoch.part(ranks, batch_size)
        first, last = ranks.part(batch_size)
        self.plan, self._images, self._batch_size, self._own = epoch, images, batch_size, last - first
        self._order = place.put(part.order)
        self._drawn = None if part.drawn is None else TorchDrawn.of(part.drawn, place)
        weights = epoch.class_weights
        self.class_weights = None if weights is None else torch.tensor(weights, device=place.device, dtype=place.double)
        """(K,), or None if every class counts the same."""

    def batch(self, step: int) -> TorchBatch:
        """Return the images of a step: of the whole batch, this rank's."""
        rows = slice(step * self._own, (step + 1) * self._own)
        return self._images.batch(self._order[rows], self._drawn, rows)

    def divisor(self, step: int) -> float:
        """Return what divides the loss of a step: the images of its batch, or the sum of their class weights."""
        weights, B = self.plan.weights, self._batch_size
        return min(B, len(self.plan.order) - step * B) if weights is None else float(weights[step])
