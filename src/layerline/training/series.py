"""Trainings that differ in one thing, such as the seed or the fold, one after the other, with their mean scores."""

from __future__ import annotations

import abc
import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar, cast, final

from layerline.errors import DivergedError, UnwrittenError, UserError
from layerline.files import whole
from layerline.measure.student import mean_of
from layerline.numbers import display
from layerline.runs.series_runs import FIGURES
from layerline.training.session import run
from layerline.training.time_limit import fit_epochs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerline.runs.folder import RunFolder
    from layerline.runs.series_runs import Mean, SeriesRuns
    from layerline.training.interrupt import Interrupt
    from layerline.training.prepared import Prepared
    from layerline.training.run import Run
    from layerline.training.watch import Watcher

FEWEST: Final = 2
"""Finished trainings that an interval needs."""


@dataclass(frozen=True, eq=False)
class Trainings(abc.ABC):
    """Trainings that differ in one thing, by its number; the means exclude those that diverged or were stopped.

    Abstract.
    """

    WORD: ClassVar[str]
    """What they differ in: `seed`."""
    FILE: ClassVar[str]
    """The name of the file with their summary."""

    asked: tuple[int, ...]
    """The number of each training."""
    runs: dict[int, Run] = field(default_factory=dict)
    """The finished runs by number."""
    diverged: tuple[int, ...] = ()
    """Those whose loss became NaN or infinite."""
    stopped: int | None = None
    """The signal that stopped the last training, so that no other was started; or None."""
    split_seed: int | None = None
    """The seed of the splits, the same for all; None if the data was split before, in Python."""
    folder: Path | None = None
    """The folder with the run folders and their summary, or None if nothing was written."""

    @classmethod
    def name(cls, number: int) -> str:
        """Return the name of a training's folder: `seed-3`."""
        return f"{cls.WORD}-{number}"

    @abc.abstractmethod
    def saved(self) -> SeriesRuns:
        """Return the summary that is written to FILE."""

    def as_dict(self) -> dict[str, Any]:
        """Return the contents of FILE."""
        return self.saved().as_dict()

    def values(self, metric: str) -> list[float]:
        """Return a metric of each run, in the order of their numbers, without those that are None."""
        found = [_value(run, metric) for run in self.runs.values()]
        return [value for value in found if value is not None]

    def mean(self, metric: str) -> Mean | None:
        """Return the mean of validation_loss, test_accuracy or test_macro_f1 with its interval; None without values."""
        values = self.values(metric)
        return mean_of(values) if values else None

    def means(self) -> dict[str, Mean | None]:
        """Return the mean of every metric."""
        return {metric: self.mean(metric) for metric in FIGURES}

    def __repr__(self) -> str:
        """Return one row per run, the mean and its interval."""
        return "\n".join(table(self))


Kind = TypeVar("Kind", bound=Trainings)


@final
class Series(Generic[Kind]):
    """Runs the trainings one after the other, and updates the summary after each."""

    def __init__(
        self,
        prepared: Prepared,
        none: Kind,
        folder: RunFolder | None,
        variant: Callable[[Prepared, int], Prepared],
    ) -> None:
        """Store the first training, the results before any, and how another one is made, by its number."""
        self.error: DivergedError | None = None
        """The error of the last training that diverged."""
        self._prepared, self._found, self._variant, self._folder = prepared, none, variant, folder

    @property
    def found(self) -> Kind:
        """Return the results so far."""
        return self._found

    def run(
        self,
        watch: Callable[[int], tuple[Watcher, Interrupt]],
        ended: Callable[[int, Run | None], None],
        between: Interrupt,
    ) -> Kind:
        """Run every training and return the results.

        watch: returns watcher and interrupt of a training, by its number. ended: called with every finished run, or
        None if it diverged. between: takes the signals that arrive before, between and after the trainings; one that it
        has received before ends the series at once. A stopped training ends the series. Raises UnwrittenError with the
        results so far if the folder of a training that has started, or of one after the first, cannot be written to.
        """
        with between:
            prepared = self._prepared
            if prepared.recipe.within is not None:  # once, so that all train for as many epochs
                files = self._folder is not None
                prepared = fit_epochs(prepared, time.perf_counter, time.perf_counter(), files=files)
            self._keep(self._found)
            for number in self._found.asked:
                if between.signal is not None:
                    self._keep(dataclasses.replace(self._found, stopped=between.signal))
                    break
                try:
                    stopped = self._one(self._variant(prepared, number), number, watch, ended)
                except UserError as error:
                    if not self._found.runs:
                        raise
                    raise UnwrittenError(error.message, error.help, self._found) from error
                if stopped:
                    break
        return self._found

    def _one(
        self,
        prepared: Prepared,
        number: int,
        watch: Callable[[int], tuple[Watcher, Interrupt]],
        ended: Callable[[int, Run | None], None],
    ) -> bool:
        """Run one training and store the result; return whether it was stopped."""
        unwritten = None
        folder = None if self._folder is None else self._folder.inner(self._found.name(number))
        try:
            ran = run(prepared, folder, *watch(number))
        except DivergedError as error:
            self.error = error
            self._keep(dataclasses.replace(self._found, diverged=(*self._found.diverged, number)))
            ended(number, None)
            return False
        except UnwrittenError as error:
            ran, unwritten = cast("Run", error.run), error
        complete = ran.stopped is None or ran.result.test_loss is not None
        runs = self._found.runs | ({number: ran} if complete else {})
        self._found = dataclasses.replace(self._found, runs=runs, stopped=ran.stopped)
        if unwritten is None:
            self._keep(self._found)
        if complete:
            ended(number, ran)
        if unwritten is not None:
            raise unwritten
        return ran.stopped is not None

    def _keep(self, found: Kind) -> None:
        self._found = found
        if self._folder is None:
            return
        path = self._folder.path
        with self._folder.named_as_given():
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise whole.unwritable(path, error) from error
            found.saved().write(path / found.FILE)


def head(found: Trainings) -> tuple[str, str]:
    """Return the head of the table."""
    return (
        "                    validation      test      test",
        f"{found.WORD:<8}    epochs        loss  accuracy  macro F1    time",
    )


def row(number: int, run: Run | None) -> str:
    """Return a training run as a line below the head; run is None if it diverged."""
    if run is None:
        return f"{number:<8}  diverged: the loss became NaN or infinite"
    epochs = f"{len(run.history)} ★{run.model_epoch}"
    cells = _cells(*(_value(run, key) for key in FIGURES))
    return f"{number:<8}  {epochs:>8}  {cells}  {display.short_seconds(sum(each.seconds for each in run.history)):>6}"


def summary(found: Trainings) -> list[str]:
    """Return the lines below the rows: mean, half the width of its 95% interval, standard deviation of the runs."""
    means = [found.mean(metric) for metric in FIGURES]
    if not found.runs:
        return []
    lines = [f"{'mean':<18}  {_cells(*(None if mean is None else mean.mean for mean in means))}"]
    if len(found.runs) >= FEWEST:
        halves = (None if mean is None or mean.high is None else mean.high - mean.mean for mean in means)
        lines.append(f"{'± (95%)':<18}  {_cells(*halves)}")
        lines.append(f"{'deviation':<18}  {_cells(*(None if mean is None else mean.deviation for mean in means))}")
    return lines


def table(found: Trainings) -> list[str]:
    """Return the runs and their means as lines."""
    rows = [row(each, found.runs.get(each)) for each in found.asked if each in found.runs or each in found.diverged]
    return [*head(found), *rows, *summary(found)]


def _cells(loss: float | None, accuracy: float | None, macro_f1: float | None) -> str:
    return f"{display.loss(loss):>10}  {display.fraction(accuracy):>8}  {display.fraction(macro_f1):>8}"


def _value(run: Run, metric: str) -> float | None:
    if metric == "validation_loss":
        best = next((each for each in run.history if each.epoch == run.model_epoch), None)
        return None if best is None else best.validation_loss
    value: float | None = getattr(run.result, metric)
    return value
