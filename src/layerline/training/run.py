"""The outcome of a training run: its history, result, model and folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from layerline.errors import DataError, other_calls
from layerline.errors.python_terms import in_python
from layerline.measure import score_rows
from layerline.numbers import display
from layerline.runs.predictions import mistakes

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.files.png import Figure
    from layerline.runs.history import EpochRow
    from layerline.runs.predictions import Mistake, Predictions
    from layerline.runs.result import Result
    from layerline.training.model import Model


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A finished or stopped training."""

    history: tuple[EpochRow, ...]
    """One row per finished epoch; pandas.DataFrame(run.history) makes a table."""
    result: Result
    """The test results, with weights from the best epoch; the scores are None without a test set or if stopped."""
    model: Model
    """With weights from the best epoch; if the training diverged, from the last finished epoch."""
    model_epoch: int
    """The epoch that the model's weights are from; 0 if none was finished."""
    folder: Path | None
    """The absolute path of the run folder, or None if nothing was written."""
    files: tuple[str, ...] = ()
    """The files in the folder."""
    notes: tuple[str, ...] = ()
    """Why a graph, the report or (if it diverged) another file is missing, and what to do about it."""
    stopped: int | None = None
    """The signal that stopped it, or None."""
    steps: int = 0
    """Steps done in the epoch in which it was stopped; 0 if it was not."""
    predictions: tuple[Predictions, ...] = ()
    """The predictions for the test set, and for the validation set if there is no test set or a folder was written."""

    tried: str | None = None
    """If the network was chosen for photos: which ones were tried, with their validation accuracies and times, and the
    p-value of their difference; or why none was, and what to do about it."""

    def plot(self) -> Figure:
        """Return the learning curves as a figure; in a notebook it displays itself. Raises UserError without any."""
        from layerline.report import figure

        return figure.history_figure(self.history, self.result)

    def mistakes(self, split: Literal["test", "validation"] | None = None) -> tuple[Mistake, ...]:
        """Return the misclassified images, those with the highest loss first; pandas.DataFrame of it makes a table.

        split: by default the test set, or without one the validation set. Raises DataError if it was not evaluated.
        """
        found = next((each for each in self.predictions if split in (None, each.split)), None)
        if found is None:
            evaluated = ", ".join(each.split for each in self.predictions) or "none, for the training was stopped"
            raise DataError(f"the {split or 'test'} set was not evaluated", f"evaluated: {evaluated}")
        return mistakes(found, self.result.classes)

    if not TYPE_CHECKING:  # where an unknown attribute is an error already
        __getattr__ = other_calls.missing("Run")

    def __repr__(self) -> str:
        """Return one line per epoch, and the test results with intervals, baselines and remarks."""
        rows = [f"{display.counted(len(self.history), 'epoch')}, saved weights: epoch {self.model_epoch}"]
        rows += [] if self.tried is None else [self.tried]
        for epoch in self.history:
            held = "" if epoch.validation_loss is None else _scores("validation", *_validation(epoch)) + ", "
            train = _scores("training", epoch.train_loss, epoch.train_accuracy, epoch.train_macro_f1)
            rows.append(f"{epoch.epoch:5d}  {held}{train}{'  ★' if epoch.best else ''}")
        result = self.result
        if result.test_loss is not None:
            rows.append(_scores("test", result.test_loss, result.test_accuracy, result.test_macro_f1))
        network = score_rows.own(result)
        if result.intervals is not None:
            accuracy, macro_f1 = map(display.interval, (network.accuracy_interval, network.macro_f1_interval))
            rows.append(f"95% confidence intervals: accuracy {accuracy}, macro F1 {macro_f1}")
        rows += [
            f"{row.label} {display.fraction(row.accuracy)} {display.fraction(row.macro_f1)}"
            for row in score_rows.simpler(result)
        ]
        rows += [in_python(remark) for remark in result.remarks]
        return "\n".join(rows)

    def _repr_html_(self) -> str:
        """Return the test results, the curves and the remarks as HTML for a notebook."""
        from layerline.report import notebook

        folder = None if self.folder is None else str(self.folder)
        return notebook.run(self.history, self.result, self.model_epoch, self.stopped is not None, folder)


def _validation(row: EpochRow) -> tuple[float | None, float | None, float | None]:
    return row.validation_loss, row.validation_accuracy, row.validation_macro_f1


def _scores(name: str, loss: float | None, accuracy: float | None, macro_f1: float | None) -> str:
    return f"{name} {display.loss(loss)} {display.fraction(accuracy)} {display.fraction(macro_f1)}"
