"""The options of `fit_torch` that are values of a recipe, and which of them a PyTorch optimizer has already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from layerline.errors import RecipeError
from layerline.training import by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerline.data.augment.augmentation import Augmentation
    from layerline.recipe.recipe_options import Nothing


class FitOptions(TypedDict, total=False):
    """Fields of Recipe, as in RecipeOptions; docs/recipes.md describes them."""

    batch_size: int
    learning_rate: float
    lr: float
    schedule: Literal["linear", "constant", "cosine", "one-cycle", "step"]
    warmup: float
    step_epochs: float | Nothing
    step_factor: float
    momentum: float
    nesterov: bool
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    decay: Literal["all", "weights"]
    clip_norm: float | Nothing
    label_smoothing: float
    class_weights: Literal["none", "balanced", "sqrt"] | Sequence[float] | None
    augment: str | Augmentation | None
    seed: int
    exact: bool


_WITH_ANY: Final = frozenset(
    ("epochs", "batch_size", "clip_norm", "label_smoothing", "class_weights", "augment", "seed", "exact")
)
"""Options that do not belong to the optimizer or its schedule."""
_LOSS: Final = "omit it: the loss is the cross-entropy of the logits; see label_smoothing= and class_weights="
_ADVICE: Final = {
    **dict.fromkeys(("loss", "loss_fn", "loss_func", "criterion"), _LOSS),
    **dict.fromkeys(("validation_data", "val", "valid", "val_loader", "valid_loader", "val_data"), "use validation="),
    **dict.fromkeys(("test_loader", "test_data"), "use test="),
    **dict.fromkeys(
        ("train_loader", "dataloader", "loader", "x", "y"), "pass the data second: fit_torch(module, data)"
    ),
    **dict.fromkeys(("lr_scheduler", "sched"), "use scheduler="),
    **dict.fromkeys(("device", "devices", "gpu", "accelerator"), "omit it: fit_torch trains on the CPU"),
    **dict.fromkeys(("best", "patience"), "the module keeps the weights of the last epoch; on_epoch= can stop it"),
    **dict.fromkeys(
        ("within", "ema", "init", "backbone_rate"),
        "layerline.train has it: train(layerline.from_torch(module, (C, H, W)), data)",
    ),
}
"""Names that are options elsewhere, with what to do here."""


def options_of(options: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """Return the options as values of a recipe. Raises RecipeError for one that does not exist here."""
    for name in options:
        if name not in FitOptions.__annotations__ and name in _ADVICE:
            raise RecipeError(f"{function.__name__}() has no option {name}", _ADVICE[name])
    return by_name.options_of(options, function)


def check_own(chosen: Mapping[str, Any]) -> None:
    """Raise RecipeError for a value that belongs to the PyTorch optimizer that is passed too."""
    for name in chosen:
        if name not in _WITH_ANY:
            raise RecipeError(
                f"{name}= belongs to the optimizer, which is passed too",
                'set it there, or let optimizer= be a name: "sgd", "adamw" or "muon"',
            )
