"""The values of a recipe as keyword arguments, for type checkers and editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.data.augment.augmentation import Augmentation

Nothing = Literal["none"] | None


class RecipeOptions(TypedDict, total=False):
    """The fields of Recipe, with the types that they accept; docs/recipes.md describes them."""

    epochs: int
    within: str | float | None
    best: Literal["accuracy", "loss", "macro_f1"]
    patience: int | Nothing
    batch_size: int
    learning_rate: float
    lr: float
    backbone_rate: float
    schedule: Literal["linear", "constant", "cosine", "one-cycle", "step"]
    warmup: float
    step_epochs: float | Nothing
    step_factor: float
    optimizer: Literal["sgd", "adamw", "muon"]
    momentum: float
    nesterov: bool
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    decay: Literal["all", "weights"]
    clip_norm: float | Nothing
    ema: float | Nothing
    label_smoothing: float
    class_weights: Literal["none", "balanced", "sqrt"] | Sequence[float] | None
    augment: str | Augmentation | None
    init: Literal["torch", "he", "xavier"]
    seed: int
    exact: bool
