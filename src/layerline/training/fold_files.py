"""The files about all folds of a cross-validation together: out-of-fold scores and predictions, and their report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.errors import UserError
from layerline.numbers import display
from layerline.runs import predictions
from layerline.runs.names import PREDICTIONS, REPORT, RESULT

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
    result.write(found.folder / RESULT)
    predictions.write(found.folder / PREDICTIONS, (together,))
    files = (RESULT, PREDICTIONS)
    try:
        from layerline.report import page, thumbnails

        page.write(found.folder, pixels=thumbnails.of(data))
    except UserError:
        raise
    except Exception as error:  # jinja2 is broken, or lacks a feature
        reason = f"{type(error).__name__}: {display.name(str(error), 200)}"
        return files, (f"no {REPORT}: {reason}; once that is fixed, `layerline report` adds it",)
    return (*files, REPORT), ()
