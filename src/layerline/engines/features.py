"""RUN: the values of a network's last layer when predicting, by the compiled engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from layerline.compiler import compilation
from layerline.compiler.folding import folded_weights
from layerline.compiler.machine import host
from layerline.compiler.task import End, storage_of, task_of
from layerline.engines.epoch_tables import constants
from layerline.engines.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet, Scaling
    from layerline.network import Network
    from layerline.recipe import Recipe


def values_predictor(
    network: Network, scaling: Scaling, recipe: Recipe, images: NDArray[Any], threads: int
) -> Predictor:
    """Return the machine code that computes the last layer's values of images like these."""
    task = task_of(recipe, training=False, **storage_of(images, scaling))
    code = compilation.compile_network(network, host(), replace(task, end=End.VALUES))
    return Predictor(code, network, threads, constants(recipe, scaling))


def features(
    network: Network,
    scaling: Scaling,
    recipe: Recipe,
    weights: Mapping[str, NDArray[Any]],
    images: ImageSet,
    indices: NDArray[np.int64],
    threads: int,
) -> NDArray[np.float32]:
    """Return the last layer's values for the images at `indices`, float32 (N, *shape).

    weights: at least those of the network, by name.
    """
    predictor = values_predictor(network, scaling, recipe, images.images, threads)
    memory = predictor.weighed(folded_weights(network, {name: weights[name] for name in network.weights}))
    return predictor.values(memory, images, indices)
