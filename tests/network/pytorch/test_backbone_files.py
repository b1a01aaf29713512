"""The network files of known backbones are the networks that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch_backbones
from places import ROOT
from torch import nn

from layerline import from_torch
from layerline.network import Network, parse
from layerline.network_file import formatted

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = ROOT / "examples" / "backbones"
DEFINITIONS = {
    "squeezenet1_1": torch_backbones.squeezenet1_1,
    "mobilenetv3-small": torch_backbones.mobilenet_v3_small,
    "efficientnet-b0": torch_backbones.efficientnet_b0,
}
WEIGHTS = {"squeezenet1_1": 1_235_496, "mobilenetv3-small": 2_542_856, "efficientnet-b0": 5_288_548}
"""torchvision's counts for 1,000 classes."""


def network_of(name: str, size: int, classes: int) -> Network:
    text = (FOLDER / f"{name}.cnn").read_text(encoding="utf-8")
    return parse(text, name=f"{name}.cnn", input_shape=(3, size, size), classes=classes)


def test_every_file_has_a_definition() -> None:
    """And each is formatted as `layerline fmt` would."""
    assert {path.stem for path in FOLDER.glob("*")} == DEFINITIONS.keys() == WEIGHTS.keys()
    for path in FOLDER.glob("*"):
        assert formatted(path.read_text(encoding="utf-8")) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DEFINITIONS)
def test_it_has_as_many_weights_as_torchvisions(name: str) -> None:
    """With 1,000 classes, on images of 224×224."""
    assert network_of(name, 224, 1000).parameter_count == WEIGHTS[name]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_module_is_carried_over_to_it(name: str) -> None:
    """Layer by layer the same network, with the same names of weights; and the same outputs with the module's weights
    in their order."""
    define: Callable[[int], nn.Sequential] = DEFINITIONS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = define(7)
    network, carried = network_of(name, 64, 7), from_torch(module, (3, 64, 64))
    known = [(node.layer, node.path, node.inputs, node.shape) for node in network.nodes]
    assert known == [(node.layer, node.path, node.inputs, node.shape) for node in carried.nodes[: len(known)]]
    ours = network.to_torch().eval()
    for mine, theirs in zip(ours.state_dict().values(), module.state_dict().values(), strict=True):
        assert mine.shape == theirs.shape
        mine.copy_(theirs)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(ours(x), module.eval()(x))
