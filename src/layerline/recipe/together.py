"""What a recipe's values mean beside each other, the network and the data: what makes no sense is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline.errors import RecipeError
from layerline.recipe import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerline.recipe.recipe import Recipe

OF_OPTIMIZERS: Final = {"momentum": ("sgd", "muon"), **dict.fromkeys(("beta1", "beta2", "eps"), ("adamw", "muon"))}
"""Numbers that only some optimizers look at."""


def check_epochs(given: Mapping[str, Any]) -> None:
    """Raise RecipeError where both the epochs and a time for them are among the values that were asked for."""
    if "epochs" in given and words.within(given.get("within")) is not None:
        raise RecipeError("--within decides the number of epochs, and --epochs gives one", "leave one of them out")


def check_together(recipe: Recipe, images: int, classes: int, *, filters: bool, validation: bool) -> None:
    """Raise RecipeError where values make no sense together.

    images: for training. filters: whether the network has any. validation: whether there is a validation set.
    """
    _check_optimizer(recipe, filters=filters)
    _check_schedule(recipe, images)
    if recipe.patience is not None and not validation:
        raise RecipeError("--patience needs a validation set, to tell a better epoch", "give --validation 0.1")
    if isinstance(recipe.class_weights, tuple) and len(recipe.class_weights) != classes:
        raise RecipeError(
            f"--class-weights has {len(recipe.class_weights)} numbers for {classes} classes",
            f"give {classes}, in the order of the classes, or `balanced`",
        )


def _check_optimizer(recipe: Recipe, *, filters: bool) -> None:
    default = type(recipe)()
    if recipe.optimizer == "muon" and not filters:
        raise RecipeError("--optimizer muon steps filters, and this network has no Conv", "use --optimizer adamw")
    if recipe.nesterov and recipe.optimizer != "sgd":
        raise RecipeError(
            f"--nesterov belongs to --optimizer sgd, not {recipe.optimizer}",
            "leave it out" + (": muon always looks ahead" if recipe.optimizer == "muon" else ""),
        )
    if recipe.nesterov and not recipe.momentum:
        raise RecipeError("--nesterov needs momentum, and --momentum is 0", "try --momentum 0.9")
    for name, owners in OF_OPTIMIZERS.items():
        if recipe.optimizer not in owners and getattr(recipe, name) != getattr(default, name):
            known = " and ".join(owners)
            raise RecipeError(f"--{name} belongs to --optimizer {known}, not {recipe.optimizer}", f"leave --{name} out")
    if recipe.decay != "all" and not recipe.weight_decay:
        raise RecipeError(
            f"--decay {recipe.decay} says what decays, and --weight-decay is 0", "try --weight-decay 5e-4"
        )


def _check_schedule(recipe: Recipe, images: int) -> None:
    steps = recipe.steps(images) * recipe.epochs
    if recipe.schedule == "step" and recipe.step_epochs is None:
        third = max(1, round(recipe.epochs / 3))
        raise RecipeError("--schedule step needs --step-epochs: after how many epochs", f"try --step-epochs {third}")
    for name in ("step_epochs", "step_factor"):
        if recipe.schedule != "step" and getattr(recipe, name) != getattr(type(recipe)(), name):
            option = name.replace("_", "-")
            raise RecipeError(f"--{option} belongs to --schedule step, not {recipe.schedule}", "add --schedule step")
    if recipe.schedule == "one-cycle" and steps < 3:
        raise RecipeError(
            f"--schedule one-cycle needs at least 3 steps to rise and fall, and the run has {steps}",
            f"use --epochs {-(-3 // recipe.steps(images))} or a smaller --batch-size",
        )
    if recipe.schedule == "one-cycle" and recipe.warmup:
        raise RecipeError("--warmup: --schedule one-cycle has its own", "leave --warmup out")
    if recipe.within is None and recipe.warmup >= recipe.epochs:
        raise RecipeError(
            f"--warmup {recipe.warmup:g}: the run has {recipe.epochs} epochs and would do nothing but warm up",
            f"use a --warmup below {recipe.epochs}",
        )
