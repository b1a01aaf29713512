"""`layerline train … --seeds N`: one row per training, then the means and their intervals."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, final

from layerline.cli.data_progress import Reading, cache_folder
from layerline.cli.screen import Screen, bottom_line
from layerline.cli.terminal import Terminal
from layerline.errors import UnwrittenError, UserError
from layerline.runs.folder import RunFolder
from layerline.training import seeds
from layerline.training.interrupt import Interrupt, exit_code
from layerline.training.prepared import prepare_experiment
from layerline.training.watch import Watcher

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from layerline.experiment.experiment import Experiment
    from layerline.training.run import Run
    from layerline.training.seeds import Seeds
    from layerline.training.watch import Progress


def train(
    experiment: Experiment,
    count: str,
    signals: Sequence[signal.Signals],
    *,
    out: str | None,
    force: bool,
    quiet: bool,
) -> int:
    """Train with `count` seeds, print one row each and the means, and return the exit code.

    Automatic choices are made once, with the first seed; all seeds train with them, on the same splits.
    """
    number = _number(count, experiment, force)
    named = None if out is None else RunFolder.named(Path(out))
    terminal = Terminal(sys.stdout, os.environ)
    screen = Screen(terminal, Interrupt(signals), quiet=quiet)
    data = experiment.load(None if quiet else Reading(terminal), cache_folder())
    network = experiment.network(data)
    folder = named or RunFolder.numbered(network.name, f"{data.name}-seeds")
    prepared = prepare_experiment(experiment, network, data, screen.waiting)
    screen.assumed(prepared, f"{folder.given}", named=named is not None)
    series = seeds.Series(prepared, number, folder)
    rows = _Rows(terminal, signals, quiet=quiet)
    rows.begin(series.found)
    try:
        found = series.run(rows.watch, rows.ended)
    except UnwrittenError:
        rows.end(series.found, folder.given)
        raise
    rows.end(found, folder.given)
    if found.stopped is not None:
        return exit_code(found.stopped)
    if series.error is not None and not found.runs:
        raise series.error
    return 1 if found.diverged else 0


def _number(count: str, experiment: Experiment, force: bool) -> int:
    """Return the number of seeds. Raises UserError if it is invalid."""
    short = count.isascii() and count.isdecimal() and len(count) < 10
    seeds.check_count(int(count) if short else count, experiment.recipe)
    if force:
        raise UserError("--force replaces a single run, but --seeds writes several", "choose another --out")
    return int(count)


@final
class _Rows:
    """The output of the training runs, one after the other."""

    def __init__(self, terminal: Terminal, signals: Sequence[signal.Signals], *, quiet: bool) -> None:
        self._terminal, self._signals, self._quiet = terminal, signals, quiet

    def begin(self, found: Seeds) -> None:
        """Print the seeds and the table head."""
        first, last = found.asked[0], found.asked[-1]
        text = f"{first} to {last}, one training each (--seeds); all use the splits of seed {found.split_seed}"
        self._say(self._terminal.fact, "seeds", f"{text} (--split-seed)")
        for line in ("", *seeds.HEAD):
            self._say(self._terminal.say, line)

    def watch(self, seed: int) -> tuple[Watcher, Interrupt]:
        """Return the watcher of a seed's training, and the handler of its signals."""
        interrupt = Interrupt(self._signals)
        return (Watcher() if self._quiet else _Watch(seed, self._terminal, interrupt)), interrupt

    def ended(self, seed: int, run: Run | None) -> None:
        """Print the row of a training run."""
        self._say(self._terminal.say, seeds.row(seed, run))

    def end(self, found: Seeds, folder: Path) -> None:
        """Print the means, remarks on them, and the location of the files."""
        self._terminal.clear()
        if self._quiet:
            self._terminal.say(str(folder))
            return
        n = len(found.runs)
        summary = seeds.summary(found)
        for line in ("", *summary) if summary else ():
            self._terminal.say(line)
        self._terminal.say()
        for text in (*remarks(found), *_notes(found)):
            self._terminal.say(text)
        self._terminal.say(f"{folder}/: seeds.json, and the run{'s' * (n != 1)} {_names(found)}".rstrip())

    def _say(self, how: Callable[..., None], *text: str) -> None:
        if not self._quiet:
            how(*text)


@final
class _Watch(Watcher):
    """The bottom line of one training."""

    def __init__(self, seed: int, terminal: Terminal, interrupt: Interrupt) -> None:
        self._seed, self._terminal, self._interrupt = seed, terminal, interrupt
        self._warned = False

    def progress(self, progress: Progress) -> None:
        """Redraw the line."""
        if self._interrupt.signal is not None and not self._warned:
            self._warned = True
            self._terminal.say(
                "stopping after this step, without starting another seed; press Ctrl-C again to stop at once"
            )
        self._terminal.draw(f"seed {self._seed}: {bottom_line(progress)}")


def remarks(found: Seeds) -> list[str]:
    """Return sentences about the means, wrapped."""
    from layerline.cli.columns import folded

    n = len(found.runs)
    text = []
    if n >= seeds.FEWEST:
        text.append(
            f"± is half the 95% confidence interval of the mean of {n} training runs (Student's t). It covers "
            "randomness in training, not the choice of test images; result.json has the interval for that."
        )
    elif n == 1:
        text.append("only one training run finished: an interval needs two")
    if found.diverged:
        named = ", ".join(map(str, found.diverged))
        kind, verb = ("seed", "is") if len(found.diverged) == 1 else ("seeds", "are")
        text.append(f"{kind} {named} diverged and {verb} excluded, so the means look better than the recipe is")
    if found.stopped is not None:
        text.append(f"stopped: {n} of {len(found.asked)} training runs finished; the means cover only these")
    return [folded(sentence) for sentence in text]


def _notes(found: Seeds) -> list[str]:
    """Return why graphs are missing, each reason once."""
    return list(dict.fromkeys(note for run in found.runs.values() for note in run.notes))


def _names(found: Seeds) -> str:
    names = [seeds.name(seed) for seed in found.runs]
    return ", ".join(names) if len(names) <= 6 else f"{names[0]} to {names[-1]}"
