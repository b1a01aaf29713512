"""TRAIN: one training from its first check to its last file."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Unpack, final

import numpy as np

from layerline.engines.memory_check import prediction_bytes
from layerline.engines.placement import Placement
from layerline.errors import CallError, DivergedError, UnwrittenError, UserError
from layerline.errors.wrong_calls import answered
from layerline.export.subject import Origin
from layerline.files import whole
from layerline.measure import baselines, intervals, remarks
from layerline.numbers import display
from layerline.numbers.scalars import is_true
from layerline.recipe import Recipe, RecipeOptions, words
from layerline.recipe.together import check_epochs
from layerline.runs import history, metrics, predictions
from layerline.runs.checkpoint import Checkpoints, CheckpointWriter
from layerline.runs.checkpoint.writer import EVERY
from layerline.runs.ending import Ending
from layerline.runs.folder import RunFolder
from layerline.runs.model_file import metadata_of
from layerline.runs.names import CHECKPOINTS, ENDING, EXPERIMENT, HISTORY, MODEL, NETWORK, PREDICTIONS, REPORT, RESULT
from layerline.runs.predictions import Predictions
from layerline.runs.result import Result
from layerline.system.workers import StoppedError, aside
from layerline.training import by_name, warm_start
from layerline.training.call import TrainCall
from layerline.training.interrupt import Interrupt
from layerline.training.live import Several
from layerline.training.live import live as live_figure
from layerline.training.loop import Loop
from layerline.training.model import Model
from layerline.training.run import Run
from layerline.training.time_limit import fit_epochs
from layerline.training.watch import Progress, Stage, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset, Split
    from layerline.network import Network
    from layerline.report.thumbnails import PageImages
    from layerline.runs.history import EpochRow
    from layerline.runs.metrics import Scores
    from layerline.training.loop import Measured
    from layerline.training.prepared import Prepared


@by_name.with_options(RecipeOptions)
@answered(by_name.CALL)
def train(
    network: Network | str | os.PathLike[str] | None,
    data: Dataset | str | os.PathLike[str] | Any,
    recipe: Recipe | None = None,
    *,
    engine: str = "compiled",
    threads: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    live: bool = True,
    start_from: str | os.PathLike[str] | Model | Run | None = None,
    on_epoch: Callable[[EpochRow], object] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    allow: Collection[str] = (),
    **options: Unpack[RecipeOptions],
) -> Run:
    """Train `network` on `data` and return the run; the test set is used once, with weights from the best epoch.

    network: a Network, or a preset's name, a file's path or a text; None chooses one, as `layerline train` does: for
        photos it may try two, a head on pretrained features and a network from scratch (the run's `tried`).
    data: a Dataset, or whatever `load_data` loads: a name, a path, arrays (x, y); the recipe's seed then splits it.
    recipe: used as is. Without one, whatever the options do not set is chosen for this network and data, or measured,
        as in `layerline train` (docs/recipes.md).
    options: values of the recipe by name, such as epochs=10, batch_size=50, lr=0.001 (see Recipe).
    device, precision: of engine="torch": auto, cpu, cuda, cuda:1 or mps, and float32 or bf16 (docs/engines.md).
    allow: kinds of findings in the data to accept (docs/data-check.md).
    start_from: a run, a model, or the path of one, whose weights the training starts with instead of random ones; same
        network and classes.
    live: in a notebook, show the learning curves during training.
    on_epoch: called with the row of each finished epoch; returning True (NumPy's and PyTorch's too) ends the training.
        With it only one network is tried.
    out: a folder for the run; None writes nothing. Ctrl-C stops training after the current step; the run then has
    `stopped`. Raises UserError (RecipeError, NetworkError, …) before anything is written, and DivergedError.
    If the folder can no longer be written to, training continues to its end: UnwrittenError has the run.
    """
    began = time.perf_counter()
    for name, function in (("on_epoch", on_epoch), ("on_progress", on_progress)):
        if function is not None and not callable(function):
            raise CallError(f"{name}={function!r}: must be a function", f"for example {name}=print")
    chosen = by_name.options_of(options, train)
    requested = recipe_of(recipe, chosen)
    folder = None if out is None else RunFolder.named(Path(out), force=force)
    figure = live_figure() if live else None
    callbacks = _Callbacks(on_epoch, on_progress)
    watcher: Watcher = callbacks if figure is None else Several((callbacks, figure))
    parts = (requested, engine, threads, Placement(str(device), str(precision)), allow, start_from)
    interrupt = Interrupt()
    call = TrainCall("train", network, data, recipe, chosen, *parts, tries=on_epoch is None)
    prepared = call.prepared(watcher, interrupt)
    if figure is not None and prepared.tried is not None:
        figure.replayed(prepared.tried.history)
    ended = run(prepared, folder, watcher, interrupt, began=began)
    if figure is not None:
        figure.ended()
    return ended


def run(
    prepared: Prepared,
    folder: RunFolder | None,
    watcher: Watcher,
    interrupt: Interrupt | None = None,
    *,
    every: float = EVERY,
    clock: Callable[[], float] = time.perf_counter,
    began: float | None = None,
    drawing: Drawing | None = None,
) -> Run:
    """Run a prepared training, and write all files of the run; see `train`.

    folder: that of the run, also when resuming. every: seconds between checkpoints within an epoch. began: start of the
    time of `within`, by the clock. drawing: draws the graphs in parallel; None: they are drawn here.
    """
    began = clock() if began is None else began
    data, within = prepared.data, prepared.recipe.within
    if prediction_bytes(data):
        watcher.note(
            f"{display.count(len(data.classes))} classes: the final predictions for validation and test images need "
            f"{display.size(prediction_bytes(data))} of memory"
        )
    if prepared.start is not None and prepared.start.module is not None:
        watcher.note(f"starting with the weights from {prepared.start.text}, not with random ones")
    if prepared.start is not None and prepared.start.head is not None and prepared.start.title is None:
        fresh = ", ".join(node.label for node in prepared.start.fresh(prepared.network))
        watcher.note(f"{fresh} starts with random weights, not with those of {prepared.start.text}: classes differ")
    leaked = None if prepared.start is None else warm_start.leak(prepared.start, data)
    if leaked is not None:
        watcher.note(leaked)
    if within is not None:
        prepared = fit_epochs(prepared, clock, began, files=folder is not None)
        epochs, limit = prepared.recipe.epochs, words.time(within)
        fitting = f"{epochs:,d} epochs fit into {limit} (--within)"
        watcher.note(fitting if epochs > 1 else f"--within {limit}: one epoch, the least that a training has")
    writer, nothing = None, contextlib.nullcontext()
    if folder is not None:
        if prepared.resumed is None:
            folder.start(prepared.network.text, prepared.record(folder.path))
            if prepared.tried is not None:
                folder.go_on(prepared.tried.history)
        else:
            folder.go_on(prepared.resumed.history)
        checkpoints, model = Checkpoints(folder.path / CHECKPOINTS), metadata_of(prepared.card)
        writer = CheckpointWriter(checkpoints, prepared.identity, folder, every, model=model)
    with interrupt or Interrupt() as entered, folder or nothing, writer or nothing:
        loop = Loop(prepared, watcher, entered, writer, clock)
        if prepared.tried is not None:
            loop.keep()
        training = _Training(prepared, folder, loop, entered, [] if leaked is None else [leaked], drawing)
        try:
            complete = loop.run()
        except DivergedError as error:
            loop.settle()
            raise DivergedError(error.message, error.help, training.diverged()) from None
        if not complete:
            loop.keep()
        loop.settle()
        return training.finish() if complete else training.stop()


class Drawing(Protocol):
    """Draws the graphs of a run, and writes its report, in another process."""

    def begin(
        self,
        folder: Path,
        history: Sequence[EpochRow],
        result: Result,
        network: Network,
        weights: Mapping[str, NDArray[Any]],
    ) -> None:
        """Start to draw; as `report.draw`."""

    def graphs(self) -> tuple[Sequence[str], Sequence[str]] | None:
        """Return the files, and why others are missing; None if nothing was drawn, and the caller must draw."""

    def report(self, folder: Path, pixels: PageImages) -> str | None:
        """Write the report, and return the file's name; None if it was not written, and the caller must write it."""


@final
class _Training:
    """The three ways a training run can end; each returns the run, even if its folder cannot be written to."""

    def __init__(
        self,
        prepared: Prepared,
        folder: RunFolder | None,
        loop: Loop,
        interrupt: Interrupt,
        remarks: Sequence[str] = (),
        drawing: Drawing | None = None,
    ) -> None:
        self._prepared, self._folder, self._loop, self._interrupt = prepared, folder, loop, interrupt
        self._remarks = remarks
        """Remarks on the test that are known before it."""
        self._drawing = drawing
        self._files = [] if folder is None else [NETWORK, EXPERIMENT, HISTORY, CHECKPOINTS]
        self._predicted: tuple[Predictions, ...] = ()
        self._unwritten: UserError | None = None
        """Why the first file that could not be written was not."""

    def finish(self) -> Run:
        """Test the best weights, write everything, and return the run. Raises UnwrittenError if that fails."""
        best = self._loop.best
        assert best is not None  # noqa: S101 - at least one epoch was run
        model = self._save(best)
        engine = self._prepared.engine
        engine.set_state(engine.state().with_averaged(best))
        result = self._evaluate(best)
        self._write(RESULT, lambda folder: result.write(folder.path / RESULT))
        notes: list[str] = []
        if self._interrupt.signal is None and self._unwritten is None:
            notes = self._illustrate(result, best)
        return self._whole(self._run(result, model, self._best_epoch, notes))

    def _evaluate(self, weights: Mapping[str, NDArray[Any]]) -> Result:
        """Return the test result with intervals, baselines and remarks; write the predictions of both splits."""
        data = self._prepared.data
        test = None if data.test is None else self._loop.measure(data.test, Stage.TEST)
        validation = None
        ranks = self._prepared.engine.ranks
        writes = ranks.any(self._folder is not None)
        if data.validation is not None and (writes or test is None):
            validation = self._loop.measure(data.validation, Stage.PREDICTING)
        found = [*_predictions("test", data.test, test), *_predictions("validation", data.validation, validation)]
        self._predicted = tuple(found)
        if found:
            self._write(PREDICTIONS, lambda folder: predictions.write(folder.path / PREDICTIONS, found))
        result = Result(data.classes)
        if test is not None:
            confusion = metrics.confusion(test.truth, test.prediction, len(data.classes))
            result = Result.of(data.classes, test.loss, confusion)
        self._begin_drawing(result, weights)
        if test is not None:
            compared = self._prepared.baselines
            if compared is None and self._interrupt.signal is None and ranks.rank == 0:
                self._loop.announce(Stage.COMPARING)
                compared = baselines.measured(data)
            spread = intervals.intervals(confusion, self._prepared.recipe.seed)
            result = dataclasses.replace(result, intervals=spread, baselines=compared)
        counts = {
            name: np.bincount(split.labels, minlength=len(data.classes))
            for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test))
            if split is not None
        }
        remarked = remarks.of(self._loop.history, result, counts, self._prepared.recipe)
        return dataclasses.replace(result, remarks=(*self._remarks, *remarked))

    def stop(self) -> Run:
        """Save the best weights so far, or without a finished epoch the current ones, and return the run.

        Raises UnwrittenError if they cannot be written.
        """
        model = self._save(self._loop.best or self._prepared.engine.state().averaged)
        unfinished = self._loop.steps_done
        self._write_ending("stopped", unfinished)
        return self._whole(self._run(Result(self._prepared.data.classes), model, self._best_epoch, steps=unfinished))

    def diverged(self) -> Run:
        """Save the weights of the last finished epoch, if there is one, and return the run.

        If they cannot be written, the run's notes have the reason: the error is that it diverged.
        """
        last = self._loop.last
        model = self._save(last or self._prepared.engine.state().averaged, write=last is not None)
        self._write_ending("diverged", self._loop.steps_done)
        notes = () if self._unwritten is None else self._why(self._unwritten)
        return self._run(Result(self._prepared.data.classes), model, len(self._loop.history), notes)

    def _write_ending(self, ended: Literal["stopped", "diverged"], steps: int) -> None:
        ending = Ending(ended, len(self._loop.history), steps)
        self._write(ENDING, lambda folder: ending.write(folder.path / ENDING))

    def _write(self, name: str, write: Callable[[RunFolder], object]) -> None:
        """Write a file of the run, if it has a folder; an error is raised only at the end."""
        if self._folder is None:
            return
        try:
            write(self._folder)
        except UserError as error:
            self._unwritten = self._unwritten or error
        else:
            self._files += [] if name in self._files else [name]

    def _whole(self, run: Run) -> Run:
        """Return the run. Raises UnwrittenError with the run if a file of it was not written."""
        if self._unwritten is None:
            return run
        raise UnwrittenError(*self._why(self._unwritten), run) from self._unwritten

    def _why(self, error: UserError) -> tuple[str, str]:
        """Return why the run was not written completely, and what to do."""
        assert self._folder is not None  # noqa: S101 - writing to it failed
        given, lost = self._folder.given, self._folder.lost()
        message = self._folder.as_given(error).message
        if lost is not None:
            return (
                f"{given}: {lost}, so the run could not be saved",
                "train again with another folder; in Python `error.run` has the run: error.run.model.save(…)",
            )
        rest = f"`layerline train --resume {given}` (in Python layerline.resume) writes the missing files"
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno != errno.ENOENT:
            rest = f"{whole.remedy(cause)}; then {rest}"
        return message, rest

    @property
    def _best_epoch(self) -> int:
        row = history.best(self._loop.history)
        return 0 if row is None else row.epoch

    def _save(self, weights: Mapping[str, NDArray[Any]], *, write: bool = True) -> Model:
        prepared, data = self._prepared, self._prepared.data
        model = Model(
            *(prepared.network, data.classes, data.scaling, weights),
            engine=prepared.engine.name,
            threads=prepared.threads,
            placement=prepared.placement,
            preprocessing=prepared.preprocessing,
        )
        self._write(HISTORY, lambda folder: folder.append(self._loop.history))
        if write:
            self._write(MODEL, lambda folder: model.save(folder.path / MODEL))
        return model

    def _illustrate(self, result: Result, weights: Mapping[str, NDArray[Any]]) -> list[str]:
        """Draw the graphs and write the report; return the reasons for missing ones.

        The run is not lost if a library fails to draw, nor on Ctrl-C: the run then has `stopped`.
        """
        if self._folder is None:
            return []
        self._loop.announce(Stage.DRAWING)
        notes: list[str] = []
        rest = f"`layerline train --resume {self._folder.given}` (in Python layerline.resume)"
        for name, make in (("graphs", self._draw), (REPORT, self._report)):
            try:
                notes += aside(functools.partial(self._attempt, name, make, rest, result, weights))
            except UserError as error:
                self._unwritten = error
                break
            except KeyboardInterrupt:
                self._interrupt.signal = signal.SIGINT
                notes.append(f"no {name}: stopped while drawing; {rest} draws the missing ones")
                break
        return notes

    def _attempt(
        self,
        name: str,
        make: Callable[[RunFolder, Result, Mapping[str, NDArray[Any]]], tuple[str, ...]],
        rest: str,
        result: Result,
        weights: Mapping[str, NDArray[Any]],
    ) -> tuple[str, ...]:
        """Return the notes of `make`, or why it failed; runs in a thread, where no signal handler can raise."""
        if self._folder is None:
            return ()
        try:
            return make(self._folder, result, weights)
        except (UserError, StoppedError):
            raise
        except Exception as error:  # matplotlib or jinja2 is broken, or lacks a feature
            reason = f"{type(error).__name__}: {display.name(str(error), 200)}"
            return (f"no {name}: {reason}; once that is fixed, {rest} adds them",)

    def _begin_drawing(self, result: Result, weights: Mapping[str, NDArray[Any]]) -> None:
        """Let the graphs be drawn while the baselines, which they do not show, are computed."""
        if self._drawing is None or self._folder is None or self._unwritten or self._interrupt.signal is not None:
            return
        self._drawing.begin(self._folder.path, self._loop.history, result, self._prepared.network, weights)

    def _draw(self, folder: RunFolder, result: Result, weights: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
        drawn = None if self._drawing is None else self._drawing.graphs()
        if drawn is None:
            from layerline import report

            graphs = report.draw(folder.path, self._loop.history, result, self._prepared.network, weights)
            drawn = graphs.files, graphs.missing
        self._files += drawn[0]
        return tuple(drawn[1])

    def _report(self, folder: RunFolder, *_: object) -> tuple[str, ...]:
        from layerline.report import thumbnails

        pixels = thumbnails.of(self._prepared.data)
        name = None if self._drawing is None else self._drawing.report(folder.path, pixels)
        if name is None:
            from layerline.report import live_model, page

            name = page.write(folder.path, pixels=pixels, live=live_model.of_run(folder.path).html).name
        self._files.append(name)
        return ()

    def _run(self, result: Result, model: Model, epoch: int, notes: Sequence[str] = (), steps: int = 0) -> Run:
        folder, data = None if self._folder is None else self._folder.path, self._prepared.data
        known = result.tested or data.test is None
        model.set_origin(Origin(data.name, len(data.train), result if known else None))
        return Run(
            tuple(self._loop.history),
            result,
            model,
            epoch,
            folder,
            () if folder is None else tuple(name for name in self._files if os.path.lexists(folder / name)),
            tuple(notes),
            self._interrupt.signal,
            steps,
            self._predicted,
            self._prepared.reasons.get("network"),
        )


@final
class _Callbacks(Watcher):
    """A watcher that calls two functions."""

    def __init__(
        self, on_epoch: Callable[[EpochRow], object] | None, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._on_epoch, self._on_progress = on_epoch, on_progress

    def progress(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)

    def epoch(self, row: EpochRow, train: Scores, validation: Scores | None) -> bool:
        del train, validation
        return self._on_epoch is not None and is_true(self._on_epoch(row))


def _predictions(name: str, split: Split | None, measured: Measured | None) -> list[Predictions]:
    if split is None or measured is None:
        return []
    listed = split.source.names
    names = None if listed is None else [str(listed[k]) for k in split.indices.tolist()]
    return [Predictions.of(name, measured.truth, measured.probabilities, split.indices, names)]


def recipe_of(recipe: Recipe | None, options: Mapping[str, Any]) -> Recipe:
    """Return the recipe with the options applied. Raises RecipeError."""
    check_epochs(options)
    return dataclasses.replace(recipe if isinstance(recipe, Recipe) else Recipe(), **options)
