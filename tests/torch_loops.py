"""PyTorch's own training loop, and a small module with data, for what `fit_torch` is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from layerline.numbers.randomness import epoch_order

if TYPE_CHECKING:
    from collections.abc import Iterable

IMAGES: Final = 70
BATCH: Final = 16
STEPS: Final = 5
"""Per epoch, the last one over 6 images."""


def data(seed: int = 0, images: int = IMAGES) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images (N, 1, 6, 6) of three classes under noise, and their labels."""
    numbers = np.random.default_rng(seed)
    y = np.arange(images) % 3
    x = numbers.normal(0, 1, (images, 1, 6, 6))
    for k in range(3):
        x[y == k, :, 2 * k : 2 * k + 2] += 1
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y)


def module(seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    """Return a small network with filters, a matrix, biases and BatchNorm.

    The convolution has no bias: before BatchNorm its gradient is rounding error, which Adam would scale up.
    """
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *([nn.Dropout(dropout)] if dropout else []),
        nn.Linear(36, 3),
    )


def batches(epoch: int, images: int = IMAGES, seed: int = 0) -> Iterable[torch.Tensor]:
    """Return the places of the images of each batch of an epoch, in Layerline's order."""
    return torch.from_numpy(epoch_order(seed, epoch, np.arange(images))).split(BATCH)


def train(
    subject: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any = None,
    epochs: Iterable[int] = (1, 2, 3),
    *,
    per_batch: bool = False,
    clip: float | None = None,
    **loss: Any,
) -> list[float]:
    """Train epochs as PyTorch's tutorials do, in Layerline's order of images; return the learning rate of each step."""
    x, y = data()
    rates = []
    subject.train()
    for epoch in epochs:
        for places in batches(epoch):
            optimizer.zero_grad()
            functional.cross_entropy(subject(x[places]), y[places], **loss).backward()  # type: ignore[no-untyped-call]
            if clip is not None:
                nn.utils.clip_grad_norm_(subject.parameters(), clip)
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if scheduler is not None and per_batch:
                scheduler.step()
        if scheduler is not None and not per_batch:
            scheduler.step()
    return rates


def assert_equal(found: nn.Module, expected: nn.Module, relative: float = 1e-5) -> None:
    """Compare all tensors of two modules, BatchNorm's statistics too, by the largest value of each."""
    for (name, a), b in zip(found.state_dict().items(), expected.state_dict().values(), strict=True):
        largest = float(b.abs().max())
        assert float((a - b).abs().max()) <= relative * largest, name
