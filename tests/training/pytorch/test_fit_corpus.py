"""Networks as other people write them take the steps that PyTorch takes."""

from __future__ import annotations

import copy
from typing import Any, Final

import pytest
import torch
from torch import nn, optim
from torch.nn import functional
from torch_corpus import CORPUS

import layerline

NAMES: Final = (
    *("MnistExample", "LeNetTanh", "ShapeUnpacking", "TrainingBranch", "SharedPoolAndRelu", "data_parallel"),
    *("resnet_basic", "PreActResNet", "MobileNetLike", "wide_activations", "padded_convolutions"),
)
"""With functional layers, views, sums, shared and wrapped modules; none with functional dropout, which is random."""
PROBABILITIES: Final = ("LeNetTanh",)
"""Those that end in a softmax: the cross-entropy of their logits is the negative logarithm of what they return."""
CHOSEN: Final[Any] = [each for each in CORPUS if each.name in NAMES]
IMAGES: Final = 12
BATCH: Final = 4
ZERO: Final = 1e-6
"""What remains of a gradient that is 0, such as that of a bias before BatchNorm: three steps of rounding errors."""


@pytest.mark.parametrize("definition", CHOSEN, ids=lambda each: each.name)
def test_three_steps_are_pytorch_s(definition: Any) -> None:
    """Every tensor of the module is within 1e-5 of PyTorch's after three steps with momentum."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        found = definition.make()
        classes = found.eval()(torch.zeros(2, *definition.shape)).shape[1]  # also gives lazy layers their sizes
    for part in found.train().modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    expected = copy.deepcopy(found)
    x = torch.rand((IMAGES, *definition.shape), generator=torch.Generator().manual_seed(2))
    y = torch.arange(IMAGES) % classes
    layerline.fit_torch(
        found, (x, y), epochs=1, optimizer=optim.SGD(found.parameters(), 0.01, 0.9), batch_size=BATCH, shuffle=False
    )
    optimizer = optim.SGD(expected.parameters(), 0.01, 0.9)
    for first in range(0, IMAGES, BATCH):
        optimizer.zero_grad()
        outputs = expected(x[first : first + BATCH])
        logits = outputs.log() if definition.name in PROBABILITIES else outputs
        functional.cross_entropy(logits, y[first : first + BATCH]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for (name, a), b in zip(found.state_dict().items(), expected.state_dict().values(), strict=True):
        assert float((a - b).abs().max()) <= 1e-5 * float(b.abs().max()) + ZERO, name


def test_every_name_is_in_the_corpus() -> None:
    """No network is missed because it was renamed."""
    assert {each.name for each in CHOSEN} == set(NAMES)
