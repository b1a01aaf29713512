"""What `fit_torch` makes of data: which values count as bright, and which items a data set or loader stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch_loops
from torch import nn, optim

import layerline

if TYPE_CHECKING:
    from collections.abc import Iterator

X, Y = torch_loops.data()
UNIT = (X - X.min()) / (X.max() - X.min())
SCALES: dict[str, torch.Tensor] = {
    "0 to 1": UNIT,
    "-1 to 1": UNIT * 2 - 1,
    "normalized": X,
    "0 to 255": UNIT * 255,
    "0 to 16": UNIT * 16,
    "uint8": (UNIT * 255).to(torch.uint8),
}


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("augment", ["brightness=0.3", "contrast=0.5"])
def test_brightness_and_contrast_are_those_of_train(scale: str, augment: str) -> None:
    """The maximum pixel value is the one that `layerline.train` uses for the same images."""
    images = SCALES[scale]
    options: Any = {"optimizer": "sgd", "lr": 1e-9, "schedule": "constant", "momentum": 0.0, "epochs": 1}
    options |= {"batch_size": 16, "augment": augment}
    module = linear()
    data = layerline.load_data((images.numpy(), Y.numpy()), validation="none", test="none")
    run = layerline.train(layerline.from_torch(module, (1, 6, 6)), data, **options)
    by = data.train.source.maximum  # train divides by it, so a module that gets the undivided values does it here
    with torch.no_grad():
        module[1].weight.div_(by)
    fit = layerline.fit_torch(module, (images, Y), **options)
    assert fit.history[0].train_loss == pytest.approx(run.history[0].train_loss, rel=1e-4)
    assert any(f"treat {by:.4g} as the maximum" in note for note in fit.notes)


def test_without_brightness_no_maximum_is_noted() -> None:
    """Flips and shifts need none."""
    module = linear()
    optimizer = optim.SGD(module.parameters(), lr=0.1)
    assert layerline.fit_torch(module, (X, Y), epochs=1, optimizer=optimizer, augment="flip,shift=1").notes == ()
