"""Where a forward-only Program may end: at losses, at probabilities, or at the values of any layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from layerline.compiler.calls import predict_pointers
from layerline.compiler.compilation import compile_network
from layerline.compiler.dtype import DType
from layerline.compiler.folding import folded_weights
from layerline.compiler.kernels.optimizers import Sgd
from layerline.compiler.machine import host
from layerline.compiler.task import End, Task
from layerline.data.dataset import ImageSet
from layerline.engines.predictor import Predictor
from layerline.network import parse, read
from layerline.network.start import initial_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.network import Network

N = 23
SGD = Sgd(momentum=True, decay=False)
IMAGES = {"lenet5": (1, 28, 28), "resnet20": (3, 32, 32), "mobile-small": (3, 32, 32), "vgg-small": (3, 32, 32)}
SPREAD = """Input 3 9 7
Conv 5 3 padding=1
BatchNorm
Dropout 0.2
Conv 6 2
GELU
BatchNorm
Flat
FC 4"""
"""A BatchNorm that folds, one that does not, a Dropout in between, an output of several channels and pixels."""


def networks() -> dict[str, Network]:
    named = {name: read(name, input_shape=shape, classes=10) for name, shape in IMAGES.items()}
    spread = parse(SPREAD, name="spread", classes=4)
    return {**named, "spread": spread}


def weights_of(network: Network) -> dict[str, NDArray[np.float32]]:
    """Return first weights in which every BatchNorm has statistics of its own."""
    rng = np.random.default_rng(2)
    found = initial_weights(network, 0)
    for name, value in found.items():
        if name.endswith(("running_mean", "bias")):
            value[...] = rng.normal(0, 0.2, value.shape)
        if name.endswith("running_var"):
            value[...] = rng.uniform(0.5, 2, value.shape)
    return found


class Ended:
    """The machine code of a network with an end, with weights of the whole of it."""

    def __init__(
        self,
        network: Network,
        end: End,
        weights: dict[str, NDArray[np.float32]],
        source: DType = DType.F32,
        scaling: tuple[float, float] = (1.0, 0.0),
    ) -> None:
        own = {name: weights[name] for name in network.weights}
        self.code = compile_network(network, host(), Task(1, SGD, source, training=False, end=end))
        C = network.input_shape[0]
        constants = {name: np.full(C, each, np.float32) for name, each in zip(("scale", "shift"), scaling, strict=True)}
        self.predictor = Predictor(self.code, network, 2, constants)
        self.memory = self.predictor.weighed(folded_weights(network, own))


def images(network: Network, label: int = 3) -> ImageSet:
    x = np.random.default_rng(1).normal(size=(N, *network.input_shape)).astype(np.float32)
    return ImageSet(x, np.full(N, label, np.int32))


ORDER = np.arange(N, dtype=np.int64)[::-1].copy()


@pytest.mark.parametrize("name", [*IMAGES, "spread"])
def test_the_values_of_every_layer_are_pytorchs(name: str) -> None:
    """A network that ends with layer k gives what PyTorch's modules up to there give, folded or not."""
    network = networks()[name]
    weights, some = weights_of(network), images(network)
    x = torch.from_numpy(some.images[ORDER]).double()
    ends = [node.index + 1 for node in network.nodes if "." not in node.path and node.layer.kind != "softmax"]
    assert len(ends) >= 5
    for value in ends[:: max(1, len(ends) // 4)] + ends[-1:]:
        part = network.until(value)
        ended = Ended(part, End.VALUES, weights)
        found = ended.predictor.values(ended.memory, some, ORDER)
        module = part.to_torch().double().eval()
        module.load_state_dict({key: torch.from_numpy(weights[key]) for key in part.weights}, strict=False)
        expected = module(x).detach().numpy()
        assert found.shape == (N, *part.nodes[-1].shape)
        np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_probabilities_alone_have_the_same_bits_and_read_no_label(name: str) -> None:
    """Without losses nothing else changes; labels are not among what the machine code is given."""
    network = networks()[name]
    weights = weights_of(network)
    both, alone = (Ended(network, end, weights) for end in (End.LOSSES, End.PROBABILITIES))
    expected = both.predictor.run(both.memory, images(network), ORDER).probabilities
    found = alone.predictor.run(alone.memory, images(network, label=-7), ORDER).probabilities
    assert found.tobytes() == expected.tobytes()
    assert not {"labels", "losses"} & set(predict_pointers(alone.code.schedule.program))
    assert {"labels", "losses"} <= set(predict_pointers(both.code.schedule.program))


def test_logits_are_what_softmax_takes() -> None:
    """The values of a whole network are its logits."""
    network = networks()["lenet5"]
    weights = weights_of(network)
    logits, whole = Ended(network, End.VALUES, weights), Ended(network, End.PROBABILITIES, weights)
    z = logits.predictor.values(logits.memory, images(network), ORDER).astype(np.float64)
    softmax = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        whole.predictor.run(whole.memory, images(network), ORDER).probabilities, softmax, rtol=2e-6
    )


def test_a_value_that_is_not_there_is_refused() -> None:
    """Values count from 1, as layers do."""
    network = networks()["lenet5"]
    for value in (0, len(network.nodes) + 1):
        with pytest.raises(ValueError, match=f"value {value}: the network has 1 to {len(network.nodes)}"):
            network.until(value)
