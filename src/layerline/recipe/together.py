"""Checks of a recipe's values together, and with the network and the data: contradictions are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline.errors import RecipeError
from layerline.numbers import display
from layerline.recipe import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerline.recipe.recipe import Recipe

OF_OPTIMIZERS: Final = {"momentum": ("sgd", "muon"), **dict.fromkeys(("beta1", "beta2", "eps"), ("adamw", "muon"))}
"""Settings that only some optimizers use."""


def check_epochs(given: Mapping[str, Any]) -> None:
    """Raise RecipeError if both a number of epochs and a time limit are specified."""
    if "epochs" in given and words.within(given.get("within")) is not None:
        raise RecipeError("--within determines the number of epochs, but --epochs sets it too", "omit one of them")


def check_together(
    recipe: Recipe, images: int, classes: int, *, filters: bool, validation: bool, backbone: bool = False
) -> None:
    """Raise RecipeError if values contradict each other, the network or the data.

    images: training images. filters: whether the network has any. validation: whether there is a validation set.
    backbone: whether layers of a backbone are trained.
    """
    _check_optimizer(recipe, filters=filters)
    _check_schedule(recipe, images)
    if recipe.patience is not None and not validation:
        raise RecipeError("--patience needs a validation set to find the best epoch", "use --validation 0.1")
    if recipe.backbone_rate != 1 and not backbone:
        raise RecipeError(
            f"--backbone-rate {recipe.backbone_rate:g} has no effect: no layer before the head starts with trained "
            "weights and is trained further",
            "omit it, or move the `End` of the Freeze up",
        )
    if isinstance(recipe.class_weights, tuple) and len(recipe.class_weights) != classes:
        raise RecipeError(
            f"--class-weights has {len(recipe.class_weights)} numbers for {classes} classes",
            f"pass {classes}, in the order of the classes, or `balanced`",
        )


def _check_optimizer(recipe: Recipe, *, filters: bool) -> None:
    default = type(recipe)()
    if recipe.optimizer == "muon" and not filters:
        raise RecipeError("--optimizer muon updates filters, but this network trains no Conv", "use --optimizer adamw")
    if recipe.nesterov and recipe.optimizer != "sgd":
        raise RecipeError(
            f"--nesterov belongs to --optimizer sgd, not {recipe.optimizer}",
            "omit it" + (": muon always uses Nesterov momentum" if recipe.optimizer == "muon" else ""),
        )
    if recipe.nesterov and not recipe.momentum:
        raise RecipeError("--nesterov needs momentum, but --momentum is 0", "try --momentum 0.9")
    for name, owners in OF_OPTIMIZERS.items():
        if recipe.optimizer not in owners and getattr(recipe, name) != getattr(default, name):
            known = " and ".join(owners)
            raise RecipeError(f"--{name} belongs to --optimizer {known}, not {recipe.optimizer}", f"omit --{name}")
    if recipe.decay != "all" and not recipe.weight_decay:
        raise RecipeError(f"--decay {recipe.decay} has no effect: --weight-decay is 0", "try --weight-decay 5e-4")


def _check_schedule(recipe: Recipe, images: int) -> None:
    steps = recipe.steps(images) * recipe.epochs
    if recipe.schedule == "step" and recipe.step_epochs is None:
        third = max(1, round(recipe.epochs / 3))
        raise RecipeError(
            "--schedule step needs --step-epochs, the number of epochs between steps", f"try --step-epochs {third}"
        )
    for name in ("step_epochs", "step_factor"):
        if recipe.schedule != "step" and getattr(recipe, name) != getattr(type(recipe)(), name):
            option = name.replace("_", "-")
            raise RecipeError(f"--{option} belongs to --schedule step, not {recipe.schedule}", "add --schedule step")
    if recipe.schedule == "one-cycle" and steps < 3:
        raise RecipeError(
            f"--schedule one-cycle needs at least 3 steps to rise and fall, but the run has {steps}",
            f"use --epochs {-(-3 // recipe.steps(images))} or a smaller --batch-size",
        )
    if recipe.schedule == "one-cycle" and recipe.warmup:
        raise RecipeError("--warmup: --schedule one-cycle has its own warmup", "omit --warmup")
    if recipe.within is None and recipe.warmup >= recipe.epochs:
        raise RecipeError(
            f"--warmup {recipe.warmup:g}: all {display.counted(recipe.epochs, 'epoch')} of the run would be warmup",
            f"use a --warmup below {recipe.epochs}",
        )
