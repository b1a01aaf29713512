"""Remarks on the learning rate, from the training losses: too high, too low, or nothing that a new rate would fix.

A learning rate is called wrong only if it is far from the usual one of its optimizer and the losses show it: a loss
that falls slowly from epoch to epoch, as is normal for a hard data set, is no reason to change it.
benchmarks/remarks.py measures how often each remark is right, and how often its advice helped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.numbers import display
from layerline.recipe.usual import usual_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.recipe import Recipe

NOTHING_LEARNED: Final = 0.02
"""Nothing was learned if the training loss is within this fraction of the loss of guessing."""
TOO_HIGH: Final = 1.1
"""A training loss above this many times ln K, after the first epoch, is worse than guessing."""
JUMP: Final = 0.15
"""A rise of the training loss by more than this fraction of ln K from one epoch to the next is a jump."""
FAR_BELOW: Final = 1 / 8
"""A learning rate below this fraction of the usual one may be too low,"""
FAR_ABOVE: Final = 4.0
"""one above this many times the usual one too high."""
MUCH_LEFT: Final = 0.1
"""Training has not come far if the loss is still above this fraction of ln K."""


def of(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Return the remark that applies, if any. losses: float64 (epochs,), finite; train: images of each class."""
    for rule in (_too_high, _too_low, _nothing_learned):
        found = rule(losses, train, recipe)
        if found:
            return found
    return []


def _too_high(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Remark that the learning rate is too high: it is above the usual one, and the loss shows it.

    After the first epoch the loss was above 1.1 ln K, or it jumped twice by 0.15 ln K; or the learning rate is more
    than four times the usual one and nothing was learned, after any number of epochs.
    """
    guess = math.log(len(train))
    if recipe.learning_rate <= usual_rate(recipe):
        return []
    advice = f"The learning rate {display.rate(recipe.learning_rate)} is too high: try {_usual(recipe)}."
    above = np.flatnonzero(losses[1:] > TOO_HIGH * guess) + 1
    if len(above):
        k = int(above[losses[above].argmax()])
        return [
            f"The training loss was {display.loss(float(losses[k]))} in epoch {k + 1}, worse than guessing "
            f"({_guess(train)}). {advice}"
        ]
    jumps = np.flatnonzero(np.diff(losses) > JUMP * guess) + 1
    if len(jumps) > 1:
        k = int(jumps[np.diff(losses)[jumps - 1].argmax()])
        return [
            f"The training loss jumped {len(jumps)} times, from {display.loss(float(losses[k - 1]))} to "
            f"{display.loss(float(losses[k]))} in epoch {k + 1}. {advice}"
        ]
    if recipe.learning_rate > FAR_ABOVE * usual_rate(recipe) and _learned_nothing(losses, train, recipe):
        return [f"{_as_guessing(losses, train, recipe)}. {advice}"]
    return []


def _too_low(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Remark that the rate is too low: below an eighth of the usual, the loss never rose, and is still high."""
    slow = recipe.learning_rate < FAR_BELOW * usual_rate(recipe) and losses[-1] > MUCH_LEFT * math.log(len(train))
    if not slow or (np.diff(losses) > 0).any():
        return []
    epochs = display.counted(len(losses), "epoch")
    fell = "" if len(losses) == 1 else f" fell by only {display.loss(float(losses[0] - losses[-1]))}, to"
    return [
        f"The training loss{fell or ' is'} {display.loss(float(losses[-1]))} after {epochs} ({_guess(train)}). The "
        f"learning rate {display.rate(recipe.learning_rate)} is too low: try {_usual(recipe)}."
    ]


def _nothing_learned(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> list[str]:
    """Remark that nothing was learned at a plausible rate: no epoch's loss is 2% below that of guessing."""
    if not _learned_nothing(losses, train, recipe) or len(losses) < 2:
        return []
    return [
        f"{_as_guessing(losses, train, recipe)}: nothing was learned. The labels may be unrelated to the images "
        "(inspect them with layerline data show), or the training may be too short."
    ]


def _learned_nothing(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> bool:
    return bool(losses.min() >= (1 - NOTHING_LEARNED) * _entropy(train, recipe))


def _as_guessing(losses: NDArray[np.float64], train: NDArray[np.int64], recipe: Recipe) -> str:
    epochs = display.counted(len(losses), "epoch")
    return (
        f"The training loss is {display.loss(float(losses[-1]))} after {epochs}, no better than predicting the class "
        f"frequencies ({display.loss(_entropy(train, recipe))})"
    )


def _usual(recipe: Recipe) -> str:
    """Return the options for the usual learning rate, with the optimizer, which a rate alone might change."""
    momentum = f" --momentum {display.rate(recipe.momentum)}" if recipe.optimizer == "sgd" else ""
    return f"--optimizer {recipe.optimizer}{momentum} --learning-rate {display.rate(usual_rate(recipe))}"


def _entropy(train: NDArray[np.int64], recipe: Recipe) -> float:
    """Return the loss of predicting the class frequencies; with class weights, all classes count the same."""
    shares = train[train > 0] / train.sum()
    return float(-(shares * np.log(shares)).sum()) if recipe.class_weights is None else math.log(len(train))


def _guess(train: NDArray[np.int64]) -> str:
    return f"guessing gives ln {len(train)} = {display.loss(math.log(len(train)))}"
