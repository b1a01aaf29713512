"""Running metrics in tensors: they accumulate on the device, which is only waited for when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import torch

from layerline.engines.interface import Running

if TYPE_CHECKING:
    from layerline.engines.torch_device import TorchDevice

_NEVER: Final = 2**62
"""The diverged step while every loss was finite."""


@final
class TorchRunning:
    """The running loss and tallies, and the first step whose loss was not finite; later steps no longer count."""

    def __init__(self, running: Running, place: TorchDevice) -> None:
        """Continue from earlier steps."""
        self._loss = torch.tensor(running.loss, dtype=place.double, device=place.device)
        self._tallies = torch.tensor(running.tallies, device=place.device)
        self._diverged = torch.tensor(_NEVER, device=place.device)

    def begin(self) -> None:
        """Forget which step diverged."""
        self._diverged.fill_(_NEVER)

    def add(
        self, step: int, loss: torch.Tensor, total: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor
    ) -> None:
        """Count a batch. loss: the one that is minimized; total: the sum of the objective over the images."""
        counts = self._diverged == _NEVER
        ones = counts.long().expand(len(labels))
        prediction = logits.argmax(1)
        self._loss += torch.where(counts, total, 0.0).to(self._loss.dtype)
        self._tallies[0].index_add_(0, labels, ones)
        self._tallies[1].index_add_(0, prediction, ones)
        self._tallies[2].index_add_(0, labels, ones * (labels == prediction))
        found = torch.where(torch.isfinite(loss), _NEVER, step)
        self._diverged.copy_(torch.minimum(self._diverged, found))

    @property
    def diverged(self) -> int | None:
        """Return the first step since `begin` whose loss was not finite, or None; waits for the device."""
        step = int(self._diverged)
        return None if step == _NEVER else step

    def read(self) -> Running:
        """Return the metrics; waits for the device."""
        return Running(float(self._loss), self._tallies.cpu().numpy().copy())
