"""The likely cause of a diverged loss, from the recipe and the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.numbers import display
from layerline.recipe.usual import usual_rate

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.recipe import Recipe

LARGEST_INPUT: Final = 20.0
"""Scaled images are within 0 … 1, or a few standard deviations; larger values were not scaled."""
_HIGH: Final = 3
"""Times the usual learning rate: larger ones are not suggested."""
_SAMPLE: Final = 64


def likely_cause(recipe: Recipe, data: Dataset) -> str:
    """Return the most likely cause, with the option and value to try."""
    first = data.train.source.images[data.train.indices[:_SAMPLE]]
    largest = float(np.abs(data.scaling.apply(first)).max())
    if not largest <= LARGEST_INPUT:
        return f"the network's input has values up to {largest:.4g}: try --normalize standard"
    if recipe.learning_rate * recipe.weight_decay >= 1:
        decay = display.rate(0.001 / recipe.learning_rate)
        return f"the weight decay is probably too large: try --weight-decay {decay}"
    rate = display.rate(lower_rate(recipe.learning_rate, recipe))
    return f"the learning rate {display.rate(recipe.learning_rate)} is probably too high: try --learning-rate {rate}"


def lower_rate(rate: float, recipe: Recipe) -> float:
    """Return the learning rate to try after one that diverged: a tenth of it, or if that is high, the usual one."""
    usual = usual_rate(recipe)
    return rate / 10 if rate / 10 <= _HIGH * usual else usual
