"""Models for exports: networks with weights as if trained, and what the host's code computes with them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import random_networks
from preset_shapes import SHAPES

import layerline
from layerline.compiler.machine import named
from layerline.data.dataset import Dataset, ImageSet, Scaling, Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.interface import State
from layerline.export.subject import Origin, Subject
from layerline.network import initial_weights
from layerline.recipe import Recipe
from layerline.runs.model_file import Preprocessing
from layerline.training.model import card_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.network import Network


def network_of(name: str) -> Network:
    """Return a preset for 10 classes."""
    return layerline.read(name, input_shape=SHAPES[name], classes=10)


def random_network(seed: int) -> Network:
    """Return a random network."""
    return layerline.parse(random_networks.draw(random.Random(seed)), name=f"drawn{seed}")


def weights_of(network: Network, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return weights as after a training: every statistic, bias and count differs from its start."""
    weights = dict(initial_weights(network, int(rng.integers(1 << 30))))
    for name, weight in weights.items():
        drawn: dict[str, Any] = {
            "running_mean": rng.normal(0, 0.3, weight.shape),
            "running_var": rng.uniform(0.5, 2, weight.shape),
            "num_batches_tracked": rng.integers(0, 5),
            "bias": rng.normal(0, 0.1, weight.shape),
        }
        weights[name] = np.asarray(drawn.get(name.rpartition(".")[2], weight), weight.dtype)
    return weights


def drawn(seed: int) -> Subject:
    """Return a model of a random network."""
    return subject_of(random_network(seed), seed)


def subject_of(
    network: Network,
    seed: int,
    *,
    preprocessing: Preprocessing | None = None,
    classes: tuple[str, ...] | None = None,
    origin: Origin | None = None,
) -> Subject:
    """Return a model whose BatchNorms have statistics, whose biases are not zero, and whose scaling is uneven."""
    rng = np.random.default_rng(seed)
    weights = weights_of(network, rng)
    C = network.input_shape[0]
    preprocessing = preprocessing or Preprocessing()
    scale = tuple(map(float, rng.uniform(0.5, 2, C) / preprocessing.maximum))
    scaling = Scaling(scale, tuple(map(float, rng.normal(0, 0.3, C))))
    names = classes or tuple(map(str, range(network.classes)))
    return Subject(network, card_of(network, names, scaling, preprocessing), weights, origin)


def data_of(subject: Subject) -> Dataset:
    """Return random images as the data of a model, which are also its validation set."""
    classes, images = subject.card.classes, images_of(subject.network, 24, 1)
    split = Split(ImageSet(images, np.arange(24, dtype=np.int32) % len(classes)), np.arange(24))
    return Dataset("drawn", classes, split, split, None, subject.card.scaling, "")


def images_of(network: Network, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return random images, uint8 (N, C, H, W)."""
    return np.random.default_rng(seed).integers(0, 256, (count, *network.input_shape), dtype=np.uint8)


def probabilities(subject: Subject, images: NDArray[Any], lanes: int) -> NDArray[np.float32]:
    """Return what the host's code computes, on a CPU without FMA and with vectors of `lanes`."""
    machine = named("x86-64", lanes)
    recipe = Recipe(exact=True, momentum=0.0)
    engine = CompiledEngine(subject.network.unfrozen, subject.card.scaling, recipe, 1, machine=machine)
    engine.set_state(State(dict(subject.weights), {}))
    labels = np.zeros(len(images), np.int32)
    found: NDArray[np.float32] = engine.evaluate(
        Split(ImageSet(images, labels), np.arange(len(images), dtype=np.int64))
    ).probabilities
    return found
