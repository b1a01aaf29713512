"""From facts to a recipe: one small function a value, each with its reason. docs/recipes.md has the measurements."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from layerline.data.augment.augmentation import Augmentation
from layerline.numbers import display
from layerline.training.automatic.choice import Choice
from layerline.training.automatic.sides import sided

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from layerline.recipe import Recipe
    from layerline.training.automatic.facts import Facts

UNBALANCED: Final = 3.0
"""From so many times as many images of one class as of another on, classes are weighted."""
FEWEST_STEPS: Final = 16
"""Steps an epoch has at least, as far as smaller batches can give them."""
BATCH: Final = 64
SMALLEST_BATCH: Final = 8
FEWEST_OF_A_CYCLE: Final = 10
"""Steps of a run that one-cycle makes sense for."""
SMALLEST_SHIFTED: Final = 16
"""Pixels of the shorter side below which a shift by one pixel is a large one."""
SHIFT_SHARE: Final = 16
"""An image is shifted by up to one part in so many of its shorter side."""
HIGHEST_OF_ANY: Final = 0.01
"""Up to this learning rate, given alone, it may be meant for any optimizer: 0.001 is what tutorials give Adam, and with
it lenet5 reaches 0.851 on MNIST by sgd and 0.992 by muon."""


def choose(facts: Facts, recipe: Recipe, given: Collection[str]) -> dict[str, Choice]:
    """Return a choice for each key of the recipe that depends on the facts and was not given; see docs/recipes.md.

    given: the keys that were asked for. Learning rate and epochs are not among the choices: they are measured.
    """
    found: dict[str, Choice] = {}
    for key, rule in _RULES.items():
        if key not in given:
            found[key] = rule(facts, recipe, given)
            recipe = dataclasses.replace(recipe, **{key: found[key].value})
    return found


def _optimizer(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    """Muon where there are filters. Whoever gives a momentum, or a rate above HIGHEST_OF_ANY alone, means plain SGD."""
    named = [key for key in ("momentum", "nesterov", "learning_rate") if key in given]
    if {"beta1", "beta2", "eps"} & set(given) and named in ([], ["learning_rate"]):
        return Choice("adamw", "beta1, beta2 and eps are its own")
    if named == ["learning_rate"] and recipe.learning_rate > HIGHEST_OF_ANY:
        return Choice("sgd", f"a learning rate above {HIGHEST_OF_ANY:g} is understood as that of sgd")
    if set(named) - {"learning_rate"}:
        return Choice("sgd", f"--{named[0]} is given, and is understood as that of sgd")
    if facts.filters:
        return Choice("muon", "the network has filters: it learns faster than with sgd, at nearly any rate")
    return Choice("adamw", "the network has no filters")


def _schedule(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    if {"step_epochs", "step_factor"} & set(given):
        return Choice("step", "--step-epochs and --step-factor are its own")
    if "warmup" in given:
        return Choice("linear", "--warmup is given, and one-cycle has its own")
    steps = recipe.steps(facts.images) * recipe.epochs
    if "epochs" in given and steps < FEWEST_OF_A_CYCLE:
        return Choice("linear", f"{steps} steps are too few to rise and fall in")
    return Choice("one-cycle", "it needs the least luck with the rate")


def _batch_size(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    del recipe, given
    batch = BATCH
    while batch > SMALLEST_BATCH and facts.images < FEWEST_STEPS * batch:
        batch //= 2
    reason = "what small networks train well with"
    if batch < BATCH:
        reason = f"so that {facts.images:,d} images give at least {FEWEST_STEPS} steps an epoch"
    if facts.uses_batch and facts.images % batch == 1:
        batch += next(more for more in range(1, batch) if facts.images % (batch + more) != 1)
        reason += ", the last of more than one image"
    return Choice(batch, reason)


def _class_weights(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    del recipe, given
    if facts.imbalance < UNBALANCED:
        return Choice(None, f"no class has {UNBALANCED:g} times as many images as another")
    return Choice("sqrt", f"the largest class has {facts.imbalance:.1f} times as many images as the smallest")


def _augment(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    """Shifts where the image is large enough; flips of color images whose classes know no left and right."""
    del recipe, given
    C, H, W = facts.shape
    if min(H, W) < SMALLEST_SHIFTED:
        return Choice(None, f"images of {display.picture(H, W)} are too small to be moved")
    shift = Augmentation(shift=min(H, W) // SHIFT_SHARE)
    if C == 1:
        return Choice(shift, "gray images: no flip, which would spoil digits, letters and X-rays")
    name = sided(facts.classes)
    if name is not None:
        return Choice(shift, f"no flip, for a mirror image of “{name[:30]}” may be of another class")
    return Choice(
        dataclasses.replace(shift, flip="random"), "color images look as likely from the left as from the right"
    )


_RULES: Final[dict[str, Callable[[Facts, Recipe, Collection[str]], Choice]]] = {
    "optimizer": _optimizer,
    "batch_size": _batch_size,
    "schedule": _schedule,
    "class_weights": _class_weights,
    "augment": _augment,
}
"""In this order: a rule sees the recipe with the choices before it."""
