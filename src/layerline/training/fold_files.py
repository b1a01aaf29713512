"""The files about all folds of a cross-validation together: the out-of-fold predictions and their report."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from layerline.errors import UserError
from layerline.numbers import display
from layerline.runs import predictions, saved
from layerline.runs.names import PREDICTIONS, REPORT

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.runs.result import Result
    from layerline.training.cross_validation import CrossValidation


def write(found: CrossValidation, result: Result, data: Dataset) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the files next to folds.json; return their names, and why another is missing.

    result: of all finished folds. data: with any fold as the test set. Raises UserError if one cannot be written.
    """
    together = found.predictions()
    if found.folder is None or together is None:
        return (), ()
    predictions.write(found.folder / PREDICTIONS, (together,))
    from layerline.report import page, thumbnails

    first = saved.read(found.folder / found.name(next(iter(found.runs))))
    run = dataclasses.replace(
        first, folder=found.folder, history=(), result=result, predictions={"test": together}, weights=None, digest=""
    )
    try:
        page.write_folds(run, found.saved(), thumbnails.of(data))
    except UserError:
        raise
    except Exception as error:  # jinja2 is broken, or lacks a feature; as for the report of a run
        return (PREDICTIONS,), (f"no {REPORT}: {type(error).__name__}: {display.name(str(error), 200)}",)
    return (PREDICTIONS, REPORT), ()
