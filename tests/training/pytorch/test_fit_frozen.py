"""`fit_torch` of modules with frozen parameters: the frozen part stays, the rest is trained as by PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pytest
import torch
import torch_loops
from torch import nn, optim
from torch_loops import BATCH, assert_equal, train

import layerline
from layerline.network import parse

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = torch_loops.data()
TEXT = """Input 1 6 6
Freeze
    Conv 4 3 padding=1 bias=no
    BatchNorm
    ReLU
    Dropout 0.5
    Conv 5 3 padding=1
    ReLU
    Pool 2
End
Conv 4 3 padding=1 bias=no
BatchNorm
ReLU
Flat
FC 3
"""


class Tuned(nn.Module):
    """A backbone that train() leaves in evaluation mode, and a head: the usual way of transfer learning.

    A layer before a BatchNorm has no bias: its gradient is rounding error, which Adam would scale up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = torch_loops.module()[:4].requires_grad_(False)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(36, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
        )

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.backbone(x))


class Left(Tuned):
    """The same, whose backbone was put into evaluation mode once, from outside."""

    def train(self, mode: bool = True) -> Self:
        return nn.Module.train(self, mode)


def module(kind: str) -> nn.Module:
    """Return a module whose BatchNorms have statistics of their own."""
    torch.manual_seed(3)
    made: nn.Module = parse(TEXT, name="net").to_torch() if kind == "to_torch" else Tuned()
    generator = torch.Generator().manual_seed(4)
    for name, tensor in made.named_buffers():
        if "running" in name:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return made


OPTIMIZERS: dict[str, Callable[[nn.Module], optim.Optimizer]] = {
    "sgd of all parameters": lambda m: optim.SGD(m.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01),
    "sgd of the trained ones": lambda m: optim.SGD(
        [p for p in m.parameters() if p.requires_grad], lr=0.05, momentum=0.9
    ),
    "groups": lambda m: optim.AdamW(
        [
            {"params": [p for p in m.parameters() if p.ndim == 1 and p.requires_grad], "weight_decay": 0.0},
            {"params": [p for p in m.parameters() if p.ndim > 1 or not p.requires_grad], "weight_decay": 0.1},
        ],
        lr=0.01,
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["to_torch", "own train()"])
def test_three_epochs_with_a_frozen_part_are_pytorch_s(kind: str, name: str) -> None:
    """Weights and the optimizer's state are those of PyTorch's own loop; frozen tensors keep their bits, and have no
    state; PyTorch goes on from there."""
    found, expected = module(kind), module(kind)
    before = {key: value.clone() for key, value in found.state_dict().items()}
    ours, theirs = OPTIMIZERS[name](found), OPTIMIZERS[name](expected)
    fit = layerline.fit_torch(found, DATA, epochs=3, optimizer=ours, batch_size=BATCH)
    train(expected, theirs)
    assert_equal(found, expected)
    assert not fit.notes
    held = ours.state_dict()["state"]
    assert held.keys() == theirs.state_dict()["state"].keys()
    frozen = [key for key, value in before.items() if torch.equal(found.state_dict()[key], value)]
    assert frozen == [key for key in before if key.split(".")[0] in (*"012345", "backbone")]
    train(found, ours, epochs=(4, 5))
    train(expected, theirs, epochs=(4, 5))
    assert_equal(found, expected)


def test_a_frozen_part_in_training_mode_is_computed_as_in_evaluation_with_a_note() -> None:
    """PyTorch would move the statistics of a frozen BatchNorm; here they stay, and the fit says so."""
    subject = torch_loops.module()
    subject[:2].requires_grad_(False)
    before = {key: value.clone() for key, value in subject.state_dict().items()}
    fit = layerline.fit_torch(subject, DATA, epochs=2, optimizer="sgd", lr=0.05, batch_size=BATCH)
    assert fit.notes[0] == "1: frozen, so as in evaluation mode; in PyTorch, only after 1.eval()"
    changed = [key for key, value in subject.state_dict().items() if not torch.equal(value, before[key])]
    assert changed == ["5.weight", "5.bias"]


def test_a_backbone_in_evaluation_mode_is_frozen() -> None:
    """As by backbone.eval() between train() and the loop: the same network, without a note."""
    subject = Left()
    subject.backbone.eval()
    network = layerline.from_torch(subject, (1, 6, 6))
    assert network.text == (
        "# from PyTorch: Left\nInput 1 6 6\nFreeze\n    Conv 4 kernel=3 padding=1 bias=no\n    BatchNorm\n    ReLU\n"
        "    Pool 2\n    Flat\nEnd\nFC 8 bias=no\nBatchNorm\nReLU\nFC 3\nSoftmax\n"
    )
    assert not network.notes
    assert layerline.from_torch(Tuned(), (1, 6, 6)).nodes == network.nodes


def test_two_fits_may_freeze_and_thaw() -> None:
    """First the head alone, then everything, as in PyTorch."""
    found, expected = torch_loops.module(), torch_loops.module()
    for subject, fit in ((found, True), (expected, False)):
        for trained, epochs in ((False, (1, 2)), (True, (3,))):
            subject[0].requires_grad_(trained)
            subject[1].requires_grad_(trained)
            subject.train()
            if not trained:
                subject[1].eval()
            optimizer = optim.SGD(subject.parameters(), lr=0.05)
            if fit:
                layerline.fit_torch(subject, DATA, epochs=len(epochs), optimizer=optimizer, batch_size=BATCH)
            else:
                _train_as_it_is(subject, optimizer, epochs)
    assert_equal(found, expected)


def _train_as_it_is(subject: nn.Module, optimizer: optim.Optimizer, epochs: tuple[int, ...]) -> None:
    x, y = DATA
    for epoch in epochs:
        for places in torch_loops.batches(epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(subject(x[places]), y[places]).backward()
            optimizer.step()
