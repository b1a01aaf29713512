"""What a Program is built for, beside the network: everything that changes the code."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.loss import CROSS_ENTROPY, Objective
from layerline.compiler.kernels.optimizers import AdamW, Sgd
from layerline.compiler.program import Kind

if TYPE_CHECKING:
    from layerline.compiler.kernels.optimizers import Optimizer
    from layerline.data.augment.augmentation import Steps
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
    """Training or prediction, of what images, with which optimizer."""

    batch_size: int
    optimizer: Optimizer
    source: DType = DType.U8
    """What a stored value is: U8 or F32."""
    channels_last: bool = False
    even_scaling: bool = True
    """Whether all channels are scaled alike."""
    training: bool = True
    end: End = End.LOSSES
    """What is computed if it is not training."""
    fuse_updates: bool = True
    """Off: the whole gradient of every parameter stays readable after a step."""
    spare_biases: bool = False
    """Whether biases and norms do not decay."""
    muon: bool = False
    """Whether filters of convolutions are stepped by Muon, and only the rest by the optimizer."""
    objective: Objective = CROSS_ENTROPY
    augmented: Steps | None = None
    """What is done to images as they are loaded."""

    def stepped_by(self, kind: Kind) -> Optimizer:
        """Return the optimizer of a tensor of a kind."""
        spared = kind is Kind.PLAIN and self.spare_biases
        return dataclasses.replace(self.optimizer, decay=False) if spared else self.optimizer

    def kept_beside(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of what is kept beside a parameter of a kind."""
        kept = self.stepped_by(kind).kept
        if self.muon and kind is Kind.FILTERS:
            return ("momentum", *(name for name in kept if name == "ema"))
        return tuple(kept)


def task_of(recipe: Recipe, *, training: bool = True, **images: Any) -> Task:
    """Return the task of a recipe, for images that lie as `images` says (source, channels_last, even_scaling)."""
    augmentation = recipe.augment if training else None
    return Task(
        recipe.batch_size if training else 1,
        optimizer_of(recipe),
        training=training,
        spare_biases=recipe.decay == "weights",
        muon=recipe.optimizer == "muon",
        objective=Objective(recipe.label_smoothing > 0, recipe.class_weights is not None),
        augmented=None if augmentation is None else augmentation.steps,
        **images,
    )


def optimizer_of(recipe: Recipe) -> Optimizer:
    """Return what steps each weight by itself: of muon that is AdamW, for all but filters."""
    decay, clip, ema = recipe.weight_decay > 0, recipe.clip_norm is not None, recipe.ema is not None
    if recipe.optimizer == "sgd":
        return Sgd(decay, clip, ema, momentum=recipe.momentum > 0, nesterov=recipe.nesterov)
    return AdamW(decay, clip, ema)
