"""`layerline train … --seeds N` and `--folds N`: one row per training, then the means and their intervals."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from layerline.cli import next_steps, test_results
from layerline.cli.columns import folded
from layerline.cli.data_progress import Reading, cache_folder
from layerline.cli.screen import Screen, bottom_line
from layerline.cli.terminal import Terminal
from layerline.cli.tried_networks import prepared_of
from layerline.data.folds import Fold
from layerline.errors import UnwrittenError, UserError
from layerline.numbers import display
from layerline.runs.folder import RunFolder
from layerline.training import cross_validation, fold_files, seeds, series
from layerline.training.interrupt import Interrupt, exit_code
from layerline.training.watch import Watcher

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from layerline.data.dataset import Dataset
    from layerline.experiment.experiment import Experiment
    from layerline.training.cross_validation import CrossValidation
    from layerline.training.prepared import Prepared
    from layerline.training.run import Run
    from layerline.training.series import Kind, Series, Trainings
    from layerline.training.watch import Progress

_OF_SEEDS: Final = (
    "It covers randomness in training, not the choice of test images; result.json has the interval for that."
)
_OF_FOLDS: Final = (
    "It is approximate, because folds share training images: their scores are not independent (Bengio and Grandvalet "
    "2004, JMLR 5)."
)


def train_seeds(experiment: Experiment, count: str, output: Output) -> int:
    """Train with `count` seeds, print one row each and the means, and return the exit code.

    Automatic choices are made once, with the first seed; all seeds train with them, on the same splits.
    """
    number = _number(count)
    seeds.check_count(number, experiment.recipe)
    start = _Start(output, "seeds")
    prepared, folder = start.prepared(experiment, start.load(experiment))
    trainings = seeds.series(prepared, int(count), folder)
    first, last = trainings.found.asked[0], trainings.found.asked[-1]
    text = f"{first} to {last}, one training each (--seeds); all use the splits of seed {trainings.found.split_seed}"
    return start.run(trainings, folder, f"{text} (--split-seed)", _OF_SEEDS)


def train_folds(experiment: Experiment, count: str, output: Output) -> int:
    """Train on `count` folds, print one row each, the means and the out-of-fold scores, and return the exit code.

    Automatic choices are made once, with the first fold; all folds are loaded and checked before.
    """
    number = _number(count)
    cross_validation.check_count(number)
    start = _Start(output, "folds")
    experiment = experiment.with_fold(Fold(1, int(count)))
    data = start.load(experiment)
    parts = experiment.folds(data)
    prepared, folder = start.prepared(experiment, data)
    if prepared.data is not data and prepared.experiment is not None:  # the network has another image size
        parts = prepared.experiment.folds(prepared.data)
    trainings = cross_validation.cross_validation(prepared, parts, folder)
    text = f"{count}, one training each (--folds); every image is tested once, by the training without it"

    def finish(found: CrossValidation) -> Finished:
        result = found.result()
        if result is None:
            return Finished()
        size = f"{display.count(found.tested)} of {display.count(found.images)}"
        images = f"all {size.split()[-1]}" if found.tested == found.images else size
        head = f"out-of-fold: {images} images, each predicted by the training without it"
        remarked = ["", *test_results.remark_lines(result.remarks)] if result.remarks else []
        lines = (head, "", *test_results.scores(result), *remarked)
        files, notes = fold_files.write(found, result, parts[0])
        return Finished(lines, files, notes, tuple(next_steps.after_folds(found, folder.given, files)))

    return start.run(trainings, folder, text, _OF_FOLDS, finish)


@final
@dataclass(frozen=True)
class Finished:
    """What is printed about all trainings together, and the names of their files."""

    lines: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Why a file is missing."""
    next: tuple[tuple[str, str], ...] = ()
    """What to do now, with labels."""


@final
@dataclass(frozen=True)
class Output:
    """The options of the command about its output, and the signals that stop it."""

    signals: Sequence[signal.Signals]
    out: str | None
    force: bool
    quiet: bool


def _number(count: str) -> int | str:
    """Return the number that is written; what is none is returned unchanged, and then refused."""
    return int(count) if count.isascii() and count.isdecimal() and len(count) < 10 else count


@final
class _Start:
    """What all trainings of a series share, before the first one starts."""

    def __init__(self, output: Output, word: str) -> None:
        """Raise UserError if the folder of --out cannot be created. word: seeds or folds."""
        if output.force:
            raise UserError(f"--force replaces a single run, but --{word} writes several", "choose another --out")
        self._output, self._word = output, word
        self._named = None if output.out is None else RunFolder.named(Path(output.out))
        self._terminal = Terminal(sys.stdout, os.environ)
        self._interrupt = Interrupt(output.signals)
        self._screen = Screen(self._terminal, self._interrupt, quiet=output.quiet)

    def load(self, experiment: Experiment) -> Dataset:
        """Return the data of an experiment. Raises DataError."""
        return experiment.load(None if self._output.quiet else Reading(self._terminal), cache_folder())

    def prepared(self, experiment: Experiment, data: Dataset) -> tuple[Prepared, RunFolder]:
        """Return the first training and the folder of the series, and print the settings. Raises UserError."""
        prepared = prepared_of(experiment, data, self.load, self._screen, self._interrupt)
        folder = self._named or RunFolder.numbered(prepared.network.name, f"{data.name}-{self._word}")
        self._screen.assumed(prepared, f"{folder.given}", named=self._named is not None)
        return prepared, folder

    def run(
        self,
        trainings: Series[Kind],
        folder: RunFolder,
        text: str,
        spread: str,
        finish: Callable[[Kind], Finished] = lambda _: Finished(),
    ) -> int:
        """Run the trainings, print how each ended and their summary, and return the exit code.

        text: the line about the series. spread: what the interval covers. finish: writes the files about all of them.
        """
        rows = _Rows(self._terminal, self._output, trainings.found, spread)
        rows.begin(self._word, text)
        try:
            found = trainings.run(rows.watch, rows.ended, self._interrupt)
        except UnwrittenError:
            rows.end(trainings.found, folder.given, Finished())
            raise
        with folder.named_as_given():
            rows.end(found, folder.given, finish(found))
        if found.stopped is not None:
            return exit_code(found.stopped)
        if trainings.error is not None and not found.runs:
            raise trainings.error
        return 1 if found.diverged else 0


@final
class _Rows:
    """The output of the training runs, one after the other."""

    def __init__(self, terminal: Terminal, output: Output, found: Trainings, spread: str) -> None:
        self._terminal, self._signals, self._quiet = terminal, output.signals, output.quiet
        self._first, self._spread = found, spread

    def begin(self, word: str, text: str) -> None:
        """Print the line about the series and the table head."""
        self._say(self._terminal.fact, word, text)
        for line in ("", *series.head(self._first)):
            self._say(self._terminal.say, line)

    def watch(self, number: int) -> tuple[Watcher, Interrupt]:
        """Return the watcher of a training, and the handler of its signals."""
        interrupt = Interrupt(self._signals)
        quiet = self._quiet
        return (Watcher() if quiet else _Watch(self._first.WORD, number, self._terminal, interrupt)), interrupt

    def ended(self, number: int, run: Run | None) -> None:
        """Print the row of a training run."""
        self._say(self._terminal.say, series.row(number, run))

    def end(self, found: Trainings, folder: Path, finished: Finished) -> None:
        """Print the means, remarks on them, and the location of the files."""
        self._terminal.clear()
        if self._quiet:
            self._terminal.say(str(folder))
            return
        n = len(found.runs)
        summary = series.summary(found)
        for line in ("", *summary) if summary else ():
            self._terminal.say(line)
        self._terminal.say()
        for text in (*remarks(found, self._spread), *_notes(found), *finished.notes):
            self._terminal.say(text)
        for line in ("", *finished.lines, "") if finished.lines else ():
            self._terminal.say(line)
        files = ", ".join((found.FILE, *finished.files))
        self._terminal.say(folded(f"{folder}/: {files}, and the run{'s' * (n != 1)} {_names(found)}".rstrip()))
        for label, step in finished.next:
            self._terminal.say(f"{label:<9}{step}")

    def _say(self, how: Callable[..., None], *text: str) -> None:
        if not self._quiet:
            how(*text)


@final
class _Watch(Watcher):
    """The bottom line of one training."""

    def __init__(self, word: str, number: int, terminal: Terminal, interrupt: Interrupt) -> None:
        self._word, self._number, self._terminal, self._interrupt = word, number, terminal, interrupt
        self._warned = False

    def progress(self, progress: Progress) -> None:
        """Redraw the line."""
        if self._interrupt.signal is not None and not self._warned:
            self._warned = True
            self._terminal.say(
                f"stopping after this step, without starting another {self._word}; press Ctrl-C again to stop at once"
            )
        self._terminal.draw(f"{self._word} {self._number}: {bottom_line(progress)}")


def remarks(found: Trainings, spread: str) -> list[str]:
    """Return sentences about the means, wrapped. spread: what their intervals cover."""
    n, word = len(found.runs), found.WORD
    text = []
    if n >= series.FEWEST:
        text.append(f"± is half the 95% confidence interval of the mean of {n} training runs (Student's t). {spread}")
    elif n == 1:
        text.append("only one training run finished: an interval needs two")
    if found.diverged:
        named = ", ".join(map(str, found.diverged))
        kind, verb = (word, "is") if len(found.diverged) == 1 else (f"{word}s", "are")
        text.append(f"{kind} {named} diverged and {verb} excluded, so the means look better than the recipe is")
    if found.stopped is not None:
        text.append(f"stopped: {n} of {len(found.asked)} training runs finished; the means cover only these")
    return [folded(sentence) for sentence in text]


def _notes(found: Trainings) -> list[str]:
    """Return why graphs are missing, each reason once."""
    return list(dict.fromkeys(note for run in found.runs.values() for note in run.notes))


def _names(found: Trainings) -> str:
    names = [found.name(number) for number in found.runs]
    return ", ".join(names) if len(names) <= 6 else f"{names[0]} to {names[-1]}"
