"""The rules from facts to a recipe: one small function per value. docs/recipes.md has the measurements."""

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
"""If a class has at least this many times as many images as another, classes are weighted."""
FEWEST_STEPS: Final = 16
"""Minimum steps per epoch, if smaller batches make it possible."""
BATCH: Final = 64
SMALLEST_BATCH: Final = 8
FEWEST_OF_A_CYCLE: Final = 10
"""Minimum steps of a run for one-cycle to make sense."""
SMALLEST_SHIFTED: Final = 16
"""On images with a shorter side than this, a shift by one pixel is large."""
SHIFT_SHARE: Final = 16
"""An image is shifted by up to its shorter side divided by this."""
BACKBONE_RATE: Final = 0.1
"""The learning rate of pretrained layers that are trained further, as a factor."""
HIGHEST_OF_ANY: Final = 0.01
"""A learning rate up to this, set alone, may be meant for any optimizer: tutorials use 0.001 for Adam; on MNIST it
takes lenet5 to 0.851 with sgd and to 0.992 with muon."""


def choose(facts: Facts, recipe: Recipe, given: Collection[str]) -> dict[str, Choice]:
    """Return a choice for each key of the recipe that depends on the facts and was not given; see docs/recipes.md.

    given: the keys that were specified. Learning rate and epochs are chosen elsewhere.
    """
    found: dict[str, Choice] = {}
    for key, rule in _RULES.items():
        choice = None if key in given else rule(facts, recipe, given)
        if choice is not None:
            found[key] = choice
            recipe = dataclasses.replace(recipe, **{key: choice.value})
    return found


def _optimizer(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    """Muon if there are filters; but a momentum, or only a rate above HIGHEST_OF_ANY, means plain SGD."""
    named = [key for key in ("momentum", "nesterov", "learning_rate") if key in given]
    if {"beta1", "beta2", "eps"} & set(given) and named in ([], ["learning_rate"]):
        return Choice("adamw", "beta1, beta2 and eps are its parameters")
    if named == ["learning_rate"] and recipe.learning_rate > HIGHEST_OF_ANY:
        return Choice("sgd", f"a learning rate above {HIGHEST_OF_ANY:g} is assumed to be for sgd")
    if set(named) - {"learning_rate"}:
        return Choice("sgd", f"--{named[0]} is set, which is assumed to be for sgd")
    if facts.filters:
        return Choice("muon", "for networks with filters it learns faster than sgd, at nearly any learning rate")
    return Choice("adamw", "the network has no filters")


def _schedule(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    if {"step_epochs", "step_factor"} & set(given):
        return Choice("step", "--step-epochs and --step-factor are its parameters")
    if "warmup" in given:
        return Choice("linear", "--warmup is set, and one-cycle has its own warm-up")
    steps = recipe.steps(facts.images) * recipe.epochs
    if "epochs" in given and steps < FEWEST_OF_A_CYCLE:
        return Choice("linear", f"{display.counted(steps, 'step')} are too few for one cycle")
    return Choice("one-cycle", "least sensitive to the learning rate")


def _batch_size(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    del recipe, given
    batch = BATCH
    while batch > SMALLEST_BATCH and facts.images < FEWEST_STEPS * batch:
        batch //= 2
    reason = "works well for small networks"
    if batch < BATCH:
        reason = f"gives at least {FEWEST_STEPS} steps per epoch with {facts.images:,d} images"
    if facts.uses_batch and facts.images % batch == 1:
        batch += next(more for more in range(1, batch) if facts.images % (batch + more) != 1)
        reason += "; avoids a last batch with a single image"
    return Choice(batch, reason)


def _class_weights(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    del recipe, given
    if facts.imbalance < UNBALANCED:
        return Choice(None, f"no class has {UNBALANCED:g} times as many images as another")
    return Choice("sqrt", f"the largest class has {facts.imbalance:.1f} times as many images as the smallest")


def _augment(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice:
    """Shifts if the image is large enough; flips for color images whose classes have no left and right."""
    del recipe, given
    C, H, W = facts.shape
    if facts.frozen:
        return Choice(None, "so that the frozen layers are computed only once for each image")
    if min(H, W) < SMALLEST_SHIFTED:
        return Choice(None, f"{display.picture(H, W)} images are too small to be shifted")
    shift = Augmentation(shift=min(H, W) // SHIFT_SHARE)
    if C == 1:
        return Choice(shift, "grayscale images: no flips, which would spoil digits, letters and X-rays")
    name = sided(facts.classes)
    if name is not None:
        return Choice(shift, f"no flips, because a mirror image of “{name[:30]}” may belong to another class")
    return Choice(dataclasses.replace(shift, flip="random"), "color images are usually valid when mirrored")


def _backbone_rate(facts: Facts, recipe: Recipe, given: Collection[str]) -> Choice | None:
    del recipe, given
    if not facts.tuned:
        return None
    return Choice(BACKBONE_RATE, "pretrained layers need smaller steps than the head")


_RULES: Final[dict[str, Callable[[Facts, Recipe, Collection[str]], Choice | None]]] = {
    "optimizer": _optimizer,
    "batch_size": _batch_size,
    "schedule": _schedule,
    "class_weights": _class_weights,
    "augment": _augment,
    "backbone_rate": _backbone_rate,
}
"""Applied in this order: each rule sees the recipe with the previous choices; None: the plain default."""
