"""The files about all folds of a cross-validation together: the out-of-fold predictions and their report."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from layerline.runs import predictions, saved
from layerline.runs.names import PREDICTIONS

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.runs.result import Result
    from layerline.training.cross_validation import CrossValidation


def write(found: CrossValidation, result: Result, data: Dataset) -> tuple[str, ...]:
    """Write the files next to folds.json, and return their names. Raises UserError if one cannot be written.

    result: of all finished folds. data: with any fold as the test set.
    """
    together = found.predictions()
    if found.folder is None or together is None:
        return ()
    predictions.write(found.folder / PREDICTIONS, (together,))
    return (PREDICTIONS,)
