"""The Task of a Program: everything besides the network that affects the generated code."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.loss import CROSS_ENTROPY, Objective
from layerline.compiler.kernels.optimizers import AdamW, Sgd
from layerline.compiler.program import Kind
from layerline.data.dataset import channels_last

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.compiler.kernels.optimizers import Optimizer
    from layerline.data.augment.augmentation import Steps
    from layerline.data.dataset import Scaling
    from layerline.recipe import Recipe


class End(Enum):
    """What a forward-only Program computes for each image."""

    LOSSES = "losses"
    """The probabilities of the classes, and the cross-entropy by the image's label."""
    PROBABILITIES = "probabilities"
    """The probabilities of the classes; no label is read."""
    VALUES = "values"
    """The values of the last layer: the logits of a whole network, features of one that ends earlier."""


@dataclass(frozen=True)
class Task:
    """Training or prediction, the type of the images, and the optimizer."""

    batch_size: int
    optimizer: Optimizer
    source: DType = DType.U8
    """The type of stored pixel values: U8 or F32."""
    channels_last: bool = False
    even_scaling: bool = True
    """Whether all channels share one scale and shift."""
    training: bool = True
    end: End = End.LOSSES
    """What is computed if it is not training."""
    observed: tuple[int, ...] = ()
    """With End.VALUES: the values that are delivered, one after the other, by their numbers in the network, instead of
    the last layer's. Those that are fused into others (a convolution before its ReLU) cost time."""
    fuse_updates: bool = True
    """If off, the whole gradient of each parameter stays readable after a step."""
    exchanges: bool = False
    """Whether this is one of several processes, each with its part of every batch, whose sums are added up."""
    decay_weights_only: bool = False
    """Whether biases and norms are exempt from weight decay."""
    muon: bool = False
    """Whether convolution filters are stepped by Muon, and only the rest by the optimizer."""
    exact: bool = False
    """Whether convolutions are computed by their definition everywhere, never by transformed tiles."""
    objective: Objective = CROSS_ENTROPY
    augmented: Steps | None = None
    """The augmentation applied while images are loaded."""
    backbone_rate: float = 1.0
    """The learning rate of the backbone, as a factor."""

    def optimizer_for(self, kind: Kind, *, backbone: bool = False) -> Optimizer:
        """Return the optimizer for a kind of tensor. backbone: whether it is one of `Node.backbone`."""
        decay = self.optimizer.decay and not (kind is Kind.PLAIN and self.decay_weights_only)
        factor = self.backbone_rate if backbone else 1.0
        return dataclasses.replace(self.optimizer, decay=decay, rate_factor=factor)

    def slot_names(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of the optimizer slots of a kind of parameter."""
        slots = self.optimizer_for(kind).all_slots
        if self.muon and kind is Kind.FILTERS:
            return ("momentum", *(name for name in slots if name == "ema"))
        return tuple(slots)


def task_of(recipe: Recipe, *, training: bool = True, **images: Any) -> Task:
    """Return the task of a recipe. images: their storage, as `storage_of` returns it."""
    augmentation = recipe.augment if training else None
    return Task(
        recipe.batch_size if training else 1,
        optimizer_of(recipe),
        training=training,
        decay_weights_only=recipe.decay == "weights",
        muon=recipe.optimizer == "muon",
        objective=Objective(recipe.label_smoothing > 0, recipe.class_weights is not None),
        exact=recipe.exact,
        backbone_rate=recipe.backbone_rate,
        augmented=None if augmentation is None else augmentation.steps,
        **images,
    )


def storage_of(images: NDArray[Any], scaling: Scaling) -> dict[str, Any]:
    """Return what a task needs to know of images (N, C, H, W): the type of their pixels, their order, their scaling."""
    return {
        "source": {"uint8": DType.U8, "float32": DType.F32}[images.dtype.name],
        "channels_last": channels_last(images),
        "even_scaling": len(set(zip(scaling.scale, scaling.shift, strict=True))) == 1,
    }


def optimizer_of(recipe: Recipe) -> Optimizer:
    """Return the elementwise optimizer: for muon it is AdamW, for everything except filters."""
    decay, clip, ema = recipe.weight_decay > 0, recipe.clip_norm is not None, recipe.ema is not None
    if recipe.optimizer == "sgd":
        return Sgd(decay, clip, ema, momentum=recipe.momentum > 0, nesterov=recipe.nesterov)
    return AdamW(decay, clip, ema)
