"""Checks that network, images and recipe are compatible, before an engine is created for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.errors import NetworkError
from layerline.recipe import check_together

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.network import Network
    from layerline.network.graph import Node
    from layerline.recipe import Recipe


def checked(network: Network, data: Dataset, recipe: Recipe) -> Network:
    """Return the network. Raises an error if it does not match the images, has nothing to train, or a batch cannot be
    normalized."""
    check_images(network, data)
    check_trained(network)
    check_together(
        *(recipe, len(data.train), len(data.classes)),
        filters=network.has_filters,
        validation=data.validation is not None,
        backbone=network.trains_backbone,
    )
    if recipe.augment is not None:
        recipe.augment.check(data.shape)
    single = single_value(network, len(data.train), recipe.batch_size)
    if single is not None:
        raise network.refusal(
            single,
            f"the last batch of {len(data.train):,d} images has only one image, so its variance is undefined",
            f"use --batch-size {larger_batch(len(data.train), recipe.batch_size)}",
        )
    return network


def check_trained(network: Network) -> None:
    """Raise NetworkError if all layers with weights are frozen."""
    if network.parameter_count or not network.frozen_parameter_count:
        return
    last = [node for node in network.nodes if node.frozen_parameters][-1]
    fix = "close the Freeze with `End` before the first layer to train, or remove it"
    if network.start is not None and network.start.module is not None:
        fix = "train some of its parameters: module.requires_grad_(True), or only its last layer's"
    raise network.refusal(last, "this layer and all others with weights are frozen: there is nothing to train", fix)


def single_value(network: Network, images: int, batch_size: int) -> Node | None:
    """Return the first layer that would normalize a single value per channel in the last batch of an epoch, or None."""
    last = images % batch_size or batch_size
    for node in network.nodes:
        values = 1 if len(node.shape) == 1 else node.shape[1] * node.shape[2]
        if node.layer.uses_batch and not node.frozen and last * values == 1:
            return node
    return None


def larger_batch(images: int, batch_size: int) -> int:
    """Return the next larger batch size whose last batch has more than one image."""
    return next((b for b in range(batch_size + 1, batch_size + 64) if images % b != 1), batch_size)


def check_images(network: Network, data: Dataset) -> None:
    """Raise NetworkError if a network is not for the images and classes of the data."""
    if (network.input_shape, network.classes) == (data.shape, len(data.classes)):
        return
    has, needs = _kind(data.shape, len(data.classes)), _kind(network.input_shape, network.classes)
    fix = "read the network with the data: layerline.read(path, data)"
    if network.start is not None and network.start.module is not None:
        shape = "" if network.input_shape == data.shape else f"call from_torch(module, {data.shape})"
        classes = "" if network.classes == len(data.classes) else f"give the module {len(data.classes)} outputs"
        fix = " and ".join(filter(None, (classes, shape)))
    raise NetworkError(f"the network expects {needs}, but the data has {has}", fix)


def _kind(shape: tuple[int, int, int], K: int) -> str:
    return f"{'×'.join(map(str, shape))} images of {K} classes"
