"""The output of a training run: settings, progress, one row per epoch, test results and the list of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from layerline.cli import assumptions, next_steps, test_results
from layerline.cli.color import Color
from layerline.cli.columns import folded
from layerline.cli.terminal import bar
from layerline.measure import score_rows
from layerline.numbers import display
from layerline.training import Stage, Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerline.cli.terminal import Terminal
    from layerline.runs.history import EpochRow
    from layerline.runs.metrics import Scores
    from layerline.training import Interrupt, Progress, Run
    from layerline.training.prepared import Prepared
    from layerline.training.resuming import Reopened

_HEAD: Final = (
    "                validation                 training         learning",
    "epoch     loss accuracy macro F1     loss accuracy macro F1      rate    time",
)
_STAR: Final = "★"
_BAR: Final = 16
_LONG: Final = 5.0
"""Seconds of compiling after which it is reported even if the output is a file or a pipe."""


@final
class Screen(Watcher):
    """The output of one training; if quiet, only the folder is printed."""

    def __init__(self, terminal: Terminal, interrupt: Interrupt, *, quiet: bool) -> None:
        """Take the terminal, and the interrupt that knows whether the user wants to stop."""
        self._terminal, self._interrupt, self._quiet = terminal, interrupt, quiet
        self._headed = False
        self._warned = False
        self._compiling = False
        self._photo: str | None = None

    def waiting(self, text: str) -> None:
        """Show on a terminal what is being done, until the next output."""
        if not self._quiet:
            self._terminal.draw(f"{text} …")

    def assumed(self, prepared: Prepared, folder: str, *, named: bool) -> None:
        """Print the settings of the training; automatic choices come with the flag that changes them."""
        self._photo = next_steps.photo(prepared)
        if self._quiet:
            return
        for label, text in assumptions.facts(prepared):
            self._terminal.fact(label, text)
        self._terminal.fact("folder", folder if named else f"{folder} (--out)")
        for note in prepared.network.notes:
            self._terminal.say()
            self._terminal.say(note)
        self._terminal.say()

    def resumed(self, found: Reopened) -> None:
        """Print where a run resumes, and which files were found damaged."""
        start = found.prepared.resumed
        assert start is not None  # noqa: S101 - a resumed run has one
        epochs, step = start.position
        recipe = found.prepared.recipe
        place = f"at epoch {epochs + 1} of {recipe.epochs}"
        if epochs == recipe.epochs:
            place = f"after epoch {epochs}, the last"
        elif step:
            place += f", step {step + 1:,d} of {recipe.steps(len(found.prepared.data.train)):,d}"
        for note in found.notes:
            self._say(f"damaged, not used: {note}")
        self._say_all((f"resuming {place if epochs or step else 'from the start'}", ""))

    def progress(self, progress: Progress) -> None:
        """Redraw the bottom line."""
        if self._interrupt.signal is not None and not self._warned:
            self._warned = True
            self._say("stopping after this step; press Ctrl-C again to stop at once")
        long = progress.phase is Stage.COMPILING and progress.seconds > _LONG
        if long and not self._compiling and not self._terminal.draws:
            self._compiling = True
            self._say(bottom_line(progress))
        if not self._quiet:
            self._terminal.draw(bottom_line(progress))

    def note(self, text: str) -> None:
        """Print a sentence."""
        self._say(folded(text))

    def replayed(self, history: Sequence[EpochRow]) -> None:
        """Print the epochs of a trial that the training continues."""
        for row in history:
            self._print(row)

    def epoch(self, row: EpochRow, train: Scores, validation: Scores | None) -> bool:
        """Print the row of a finished epoch."""
        self._print(row)
        for name, scores in (("validation", validation), ("training", train)):
            if scores is not None and scores.occurring < scores.classes:
                counted = display.classes(scores.occurring, scores.classes)
                self._say(f"       {name} macro F1 covers {counted}: the others did not occur")
        return False

    def _print(self, row: EpochRow) -> None:
        if not self._headed:
            self._headed = True
            for head in _HEAD:
                self._say(head)
        self._say(_row(row))

    def ended(self, run: Run, folder: Path | None) -> None:
        """Print how the training ended: the test, or where it was stopped, and the files in `folder`."""
        self._terminal.clear()
        if self._quiet:
            if folder is not None:
                self._terminal.say(str(folder))
            return
        if run.result.confusion is not None:
            self._say_results(("", *test_results.lines(run.result, _head(run))))
        elif run.stopped is None:
            self._say_all(("", f"no test set; saved weights: epoch {run.model_epoch}"))
            self._say_results(test_results.remark_lines(run.result.remarks))
        if run.stopped is not None:
            self._say_all(("", *_stopped(run)))
        self._say_all(("", *_files(run, folder)))
        if folder is not None:
            for label, text in next_steps.after(run, folder, self._photo):
                self._terminal.say(f"{label:<9}{text}")

    def verdict(self, lines: Sequence[str]) -> None:
        """Print the result of a comparison, even if quiet: it is what the user requested."""
        self._terminal.clear()
        for line in ("", *lines):
            self._terminal.say(line)

    def diverged(self, run: Run, folder: Path | None) -> None:
        """Print which weights were kept when the loss stopped being a finite number."""
        self._terminal.clear()
        if run.model_epoch:
            self._say_all(("", f"saved weights: epoch {run.model_epoch}, the last one finished"))
        else:
            self._say_all(("", "no epoch was finished: no model was saved"))
        self._say_all(("", *_files(run, folder), ""))

    def _say(self, text: str, color: Color | None = None) -> None:
        if not self._quiet:
            self._terminal.say(text, color)

    def _say_results(self, lines: Sequence[str]) -> None:
        """Print test results; the network's scores and the remarks, which come last, stand out."""
        color = None
        for line in lines:
            color = Color.REMARK if color or line.startswith("! ") else None
            self._say(line, Color.LABEL if line.startswith(score_rows.OWN) else color)

    def _say_all(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._say(line)


def bottom_line(progress: Progress) -> str:
    """Return the bottom line, at most 80 columns: `epoch 3/10  ████░░░░  38%  48,200 images/s  12.0 s left`."""
    if not progress.phase.in_epoch:
        return f"{progress.phase.sentence} …"
    parts = [
        f"epoch {progress.epoch}/{progress.epochs}",
        bar(progress.done, _BAR),
        f"{display.percent(progress.done):>4}",
    ]
    if progress.phase is Stage.VALIDATION:
        parts.append(progress.phase.sentence)
    elif progress.images_per_second is not None:
        parts.append(display.speed(progress.images_per_second))
    if progress.seconds_left is not None:
        parts.append(f"{display.seconds(progress.seconds_left)} left")
    return "  ".join(parts)


def _row(row: EpochRow) -> str:
    held = _cells(row.validation_loss, row.validation_accuracy, row.validation_macro_f1)
    train = _cells(row.train_loss, row.train_accuracy, row.train_macro_f1)
    star = _STAR if row.best else " "
    rate, time = display.rate(row.learning_rate), display.short_seconds(row.seconds)
    return f"{row.epoch:5d} {held} {train} {rate:>9} {time:>7} {star}".rstrip()


def _cells(loss: float | None, accuracy: float | None, macro_f1: float | None) -> str:
    return f"{display.loss(loss):>8} {display.fraction(accuracy):>8} {display.fraction(macro_f1):>8}"


def _stopped(run: Run) -> list[str]:
    epoch = len(run.history) + 1
    place = f"in epoch {epoch}, after step {run.steps:,d}" if run.steps else f"after epoch {len(run.history)}"
    if not run.history and not run.steps:
        place = "before the first step"
    if run.result.confusion is not None:
        return ["stopped after the test"]
    which = f"epoch {run.model_epoch}, the best of {len(run.history)}" if run.history else "those of this step"
    return [f"stopped {place}; saved weights: {which}", "the test set was not used"]


def _head(run: Run) -> str:
    """Return the first line of a run's test results."""
    assert run.result.confusion is not None  # noqa: S101 - the run was tested
    count = display.count(int(run.result.confusion.sum()))
    loss = display.loss(run.result.test_loss)
    return f"test set: {count} images, weights from epoch {run.model_epoch}, loss {loss}"


def _files(run: Run, folder: Path | None) -> list[str]:
    """Return the folder and its files, wrapped, if there are any; a graph is listed once for its .png and .svg."""
    import textwrap

    if folder is None or not run.files:
        return [*run.notes]
    vectors = {name for name in run.files if name.endswith(".svg")}
    graphs = [name for name in run.files if name.removesuffix(".png") + ".svg" in vectors and name not in vectors]
    others = [name for name in run.files if name not in vectors and name not in graphs]
    text = " · ".join(others + graphs) + (" (and .svg)" if graphs else "")
    lines = textwrap.wrap(text, 76, break_long_words=False, break_on_hyphens=False)
    return [f"{folder}/", *(f"    {line}" for line in lines), *run.notes]
