"""What all commands that train share: output, signals and the exit code."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from layerline.cli.data_progress import Reading
from layerline.errors import DivergedError, UnwrittenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerline.cli.screen import Screen
    from layerline.runs.folder import RunFolder
    from layerline.training import Interrupt, Run


def watchers(*, quiet: bool) -> tuple[Screen, Interrupt, Reading | None]:
    """Return the screen of the training, the handler of its signals, and the progress bar of reading the data."""
    from layerline.cli.screen import Screen
    from layerline.cli.terminal import Terminal
    from layerline.training import Interrupt

    hush()
    interrupt = Interrupt(signals())
    terminal = Terminal(sys.stdout, os.environ)
    return Screen(terminal, interrupt, quiet=quiet), interrupt, None if quiet else Reading(terminal)


def reported(screen: Screen, folder: RunFolder | None, train: Callable[[], Run]) -> Run:
    """Run `train`, print how it ended, and return its run; the folder is printed as the user wrote it."""
    from layerline import training

    try:
        ended = train()
    except DivergedError as error:
        if isinstance(error.run, training.Run):
            screen.diverged(error.run, _given(folder))
        raise
    except UnwrittenError as error:
        if isinstance(error.run, training.Run):
            screen.ended(error.run, _given(folder))
        raise
    screen.ended(ended, _given(folder))
    return ended


def _given(folder: RunFolder | None) -> Path | None:
    return None if folder is None else folder.given  # the number of a folder without a name is known when it is made


def code(run: Run) -> int:
    """Return the exit code of a training run: 0, or 130 or 143 if it was stopped."""
    from layerline.training.interrupt import exit_code

    return 0 if run.stopped is None else exit_code(run.stopped)


def signals() -> list[signal.Signals]:
    """Return the signals that end a training run after the current step."""
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def hush() -> None:
    """Silence matplotlib's log messages, for example about the place of its cache."""
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
