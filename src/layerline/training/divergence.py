"""Why a loss stops being finite, as far as the recipe and the images tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.recipe import Recipe

LARGEST_INPUT: Final = 20.0
"""Scaled images are within 0 … 1, or a few standard deviations; what is beyond this was not scaled."""
LARGEST_RATE: Final = 0.05
"""The learning rate that is suggested at most."""
_LOOKED_AT: Final = 64


def likely_cause(recipe: Recipe, data: Dataset) -> str:
    """Return the likeliest cause as advice, with the number to try."""
    first = data.train.source.images[data.train.indices[:_LOOKED_AT]]
    largest = float(np.abs(data.scaling.apply(first)).max())
    if not largest <= LARGEST_INPUT:
        return f"the images reach {largest:.4g} as the network sees them: try --normalize standard"
    if recipe.learning_rate * recipe.weight_decay >= 1:
        decay = display.rate(0.001 / recipe.learning_rate)
        return f"the weight decay is likely too large: try --weight-decay {decay}"
    rate = display.rate(min(recipe.learning_rate / 10, LARGEST_RATE))
    return f"the learning rate {display.rate(recipe.learning_rate)} is likely too large: try --learning-rate {rate}"
