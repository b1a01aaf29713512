"""What a training leaves: its history, its result, its model, its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from layerline.measure import score_rows
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result
    from layerline.training.model import Model


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A training that has ended, or was stopped."""

    history: tuple[EpochRow, ...]
    """A row a finished epoch; pandas.DataFrame(run.history) is a table of them."""
    result: Result
    """Of the test, with the weights of the best epoch; its figures are None without a test set, or when stopped."""
    model: Model
    """With the weights of the best epoch; those of the last finished epoch where the training diverged."""
    model_epoch: int
    """The epoch that the model's weights come from; 0 where none was finished."""
    folder: Path | None
    """Where it was written to, if it was: an absolute path."""
    files: tuple[str, ...] = ()
    """The files of the folder."""
    notes: tuple[str, ...] = ()
    """Why a graph or the report is missing, or other files where it diverged, and what to do about it."""
    stopped: int | None = None
    """The signal that stopped it, or None."""
    steps: int = 0
    """Steps done in the epoch that was stopped; 0 where none was."""

    def __repr__(self) -> str:
        """Return the epochs as lines, and the test with its intervals, baselines and remarks."""
        rows = [f"{display.counted(len(self.history), 'epoch')}, the model is of epoch {self.model_epoch}"]
        for epoch in self.history:
            held = "" if epoch.validation_loss is None else _figures("validation", *_validation(epoch)) + ", "
            train = _figures("training", epoch.train_loss, epoch.train_accuracy, epoch.train_macro_f1)
            rows.append(f"{epoch.epoch:5d}  {held}{train}{'  ★' if epoch.best else ''}")
        result = self.result
        if result.test_loss is not None:
            rows.append(_figures("test", result.test_loss, result.test_accuracy, result.test_macro_f1))
        network = score_rows.own(result)
        if result.intervals is not None:
            accuracy, macro_f1 = map(display.interval, (network.accuracy_interval, network.macro_f1_interval))
            rows.append(f"95 % intervals: accuracy {accuracy}, macro F1 {macro_f1}")
        rows += [
            f"{row.label} {display.fraction(row.accuracy)} {display.fraction(row.macro_f1)}"
            for row in score_rows.simpler(result)
        ]
        rows += result.remarks
        return "\n".join(rows)

    def _repr_html_(self) -> str:
        """Return the test, the curves and the remarks: what a notebook shows where it can draw."""
        from layerline.report import notebook

        folder = None if self.folder is None else str(self.folder)
        return notebook.run(self.history, self.result, self.model_epoch, self.stopped is not None, folder)


def _validation(row: EpochRow) -> tuple[float | None, float | None, float | None]:
    return row.validation_loss, row.validation_accuracy, row.validation_macro_f1


def _figures(name: str, loss: float | None, accuracy: float | None, macro_f1: float | None) -> str:
    return f"{name} {display.loss(loss)} {display.fraction(accuracy)} {display.fraction(macro_f1)}"
