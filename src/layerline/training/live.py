"""Live display of a training run in a notebook: one output, redrawn after each epoch, with a progress line.

IPython is never imported here: in a notebook it is already loaded.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, final

from layerline.numbers import display
from layerline.training.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerline.runs.history import EpochRow
    from layerline.runs.metrics import Scores
    from layerline.training.watch import Progress, Stage

_OFTEN: Final = 0.5
"""Seconds between updates of the progress line."""


@final
class Several(Watcher):
    """Forwards everything to each of several watchers."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        """Store the watchers, in the order in which they are called."""
        self._watchers = watchers

    def progress(self, progress: Progress) -> None:
        """Forward the progress."""
        for watcher in self._watchers:
            watcher.progress(progress)

    def note(self, text: str) -> None:
        """Forward a note."""
        for watcher in self._watchers:
            watcher.note(text)

    def epoch(self, row: EpochRow, train: Scores, validation: Scores | None) -> bool:
        """Forward a finished epoch; True if any of the watchers returns it."""
        enough = [watcher.epoch(row, train, validation) for watcher in self._watchers]
        return any(enough)


@final
class Live(Watcher):
    """The live display of one training."""

    def __init__(self, show: Callable[[str, str], None]) -> None:
        """Store `show`, which takes HTML and the same as plain text, and replaces what it displayed before."""
        self._show = show
        self._history: list[EpochRow] = []
        self._notes: list[str] = []
        self._line, self._drawn, self._epochs = "", -_OFTEN, 0
        self._phase: Stage | None = None

    def progress(self, progress: Progress) -> None:
        """Update the progress line, at most twice per second."""
        if progress.phase == self._phase and progress.seconds - self._drawn < _OFTEN:
            return
        self._phase, self._drawn, self._epochs = progress.phase, progress.seconds, progress.epochs
        self._line = _line(progress)
        self._draw()

    def note(self, text: str) -> None:
        """Append a note to the progress line."""
        self._notes.append(text)
        self._draw()

    def epoch(self, row: EpochRow, train: Scores, validation: Scores | None) -> bool:
        """Redraw the curves with the new epoch."""
        del train, validation
        self._history.append(row)
        self._line = f"epoch {row.epoch} of {max(self._epochs, row.epoch)}, {display.speed(row.images_per_second)}"
        self._draw()
        return False

    def replayed(self, history: Sequence[EpochRow]) -> None:
        """Draw the curves of a trial that the training continues."""
        self._history.extend(history)
        self._draw()

    def ended(self) -> None:
        """Display that the training has finished."""
        self._line = f"finished: {display.counted(len(self._history), 'epoch')}"
        self._draw()

    def _draw(self) -> None:
        from layerline.report import notebook

        text = "; ".join([self._line, *self._notes])
        self._show(notebook.training(self._history, text), text)


def live() -> Live | None:
    """Return a live display if this process is the kernel of a notebook, else None."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    return Live(_display())


def _display() -> Callable[[str, str], None]:
    handle: Any = None

    def show(html: str, plain: str) -> None:
        nonlocal handle
        bundle = {"text/html": html, "text/plain": plain}
        if handle is None:
            handle = sys.modules["IPython"].display.display(bundle, raw=True, display_id=True)
        else:
            handle.update(bundle, raw=True)

    return show


def _line(progress: Progress) -> str:
    """Return the progress line: `epoch 3 of 10, 38%, 48,200 images/s, 12.0 s left`."""
    if not progress.phase.in_epoch:
        return progress.phase.sentence
    parts = [f"epoch {progress.epoch} of {progress.epochs}", display.percent(progress.done)]
    if progress.images_per_second is not None:
        parts.append(display.speed(progress.images_per_second))
    if progress.seconds_left is not None:
        parts.append(f"{display.seconds(progress.seconds_left)} left")
    return ", ".join(parts)
