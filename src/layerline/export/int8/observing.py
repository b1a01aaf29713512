"""The ranges and means of a network's values, from training images: the float engine computes them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.compiler import compilation
from layerline.compiler.folding import folded_weights
from layerline.compiler.int8.int8_builder import Observation
from layerline.compiler.int8.int8_steps import steps_of
from layerline.compiler.machine import host
from layerline.compiler.task import End, storage_of, task_of
from layerline.data.dataset import ImageSet, Scaling
from layerline.engines.epoch_tables import constants
from layerline.engines.features import values_predictor
from layerline.engines.predictor import Predictor
from layerline.errors import UserError
from layerline.network import Network
from layerline.recipe import Recipe
from layerline.system.cores import cores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import Split
    from layerline.network import Node

IMAGES: Final = 512
"""Training images that are observed, evenly spaced, so that every class is among them if they are sorted."""
MEMORY: Final = 1 << 27
"""Bytes of values that are observed at a time, unless those of one image are more."""
EXACT: Final = Recipe(exact=True)


def observed(
    network: Network, scaling: Scaling, weights: Mapping[str, NDArray[Any]], split: Split
) -> dict[int, Observation]:
    """Return what is seen of the input and of the values of all steps of a network without frozen layers."""
    indices = chosen(split)
    values = tuple(step.value for step in steps_of(network).steps) or (len(network.nodes),)
    images = scaling.apply(split.source.images[indices])
    found = {0: Observation(images.min(0), images.max(0), images.mean(0, dtype=np.float64))}
    task = replace(task_of(EXACT, training=False, **storage_of(split.source.images, scaling)), end=End.VALUES)
    code = compilation.compile_network(network, host(), replace(task, observed=values))
    predictor = Predictor(code, network, cores(), constants(EXACT, scaling))
    memory = predictor.weighed(folded_weights(network, weights))
    shapes = [network.nodes[value - 1].shape for value in values]
    sizes = [math.prod(shape) for shape in shapes]
    ends = np.cumsum(sizes)
    low, high, total = (np.full(sum(sizes), start) for start in (np.inf, -np.inf, 0.0))
    for some in np.array_split(indices, min(-(-4 * sum(sizes) * len(indices) // MEMORY), len(indices))):
        numbers = predictor.values(memory, split.source, some, (sum(sizes),))
        np.minimum(low, numbers.min(0), out=low)
        np.maximum(high, numbers.max(0), out=high)
        total += numbers.sum(0, dtype=np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise UserError("int8: the model computes values that are not finite", "train again with a lower learning rate")
    for value, shape, size, end in zip(values, shapes, sizes, ends, strict=True):
        part = slice(end - size, end)
        mean = total[part] / len(indices)
        found[value] = Observation(*(each.reshape(shape) for each in (low[part], high[part], mean)))
    return found


def chosen(split: Split) -> NDArray[np.int64]:
    """Return the images of a split that are observed."""
    count = min(len(split), IMAGES)
    places = np.arange(count) * len(split) // max(count, 1)
    return np.ascontiguousarray(split.indices[places])


def activation(node: Node, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the results of an activation for a list of numbers, as the float engine computes them."""
    shape = (1, 1, len(numbers))
    alone = replace(node, index=0, inputs=(0,), input_shapes=(shape,), shape=shape, path="0", line=1)
    network = Network("activation", "", shape, len(numbers), (alone,))
    images = ImageSet(numbers.reshape(1, *shape), np.zeros(1, np.int32))
    scaling = Scaling((1.0,), (0.0,))
    predictor = values_predictor(network, scaling, EXACT, images.images, 1)
    return predictor.values(predictor.weighed({}), images, np.zeros(1, np.int64)).reshape(-1)
