"""The progress of reading images, and the default cache folder for decoded ones (see `--cache`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, final

from layerline.cli.terminal import bar
from layerline.files.user_folder import user_folder
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerline.cli.terminal import Terminal

LABEL_OPTIONS: Final = ("labels", "file_column", "label_column", "label_by")
"""The keys of the options for the labels of image files."""
IMAGE_OPTIONS: Final = ("size", "fit", "gray", *LABEL_OPTIONS, "group_by", "exclude", "skip_bad", "cache")
"""The keys of all options for image files."""

_BAR: Final = 12
_OFTEN: Final = 0.1
"""Seconds between two updates of the bar."""
_SELDOM: Final = 10.0
"""Seconds between two lines if the output is not a terminal."""
_SOON: Final = 1.0
"""Seconds after which the speed is known well enough to be displayed."""


def cache_folder() -> Path | None:
    """Return the folder in this user's cache for decoded images; None if there is no cache folder."""
    import platformdirs

    folder = user_folder(platformdirs.user_cache_dir)
    return None if folder is None else folder / "images"


@final
class Reading:
    """A progress bar with images/s and the time left; if not on a terminal, a line now and then."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        """Start measuring. clock: returns seconds since any fixed moment."""
        self._terminal, self._clock = terminal, clock
        self._began = clock()
        self._updated = self._began
        terminal.draw("reading the data …")

    def __call__(self, done: int, of: int | None) -> None:
        """Show how many images have been read, and of how many if that is known."""
        now = self._clock()
        if now - self._updated < (_OFTEN if self._terminal.draws else _SELDOM):
            return
        self._updated = now
        text = _line(done, of, now - self._began)
        if self._terminal.draws:
            self._terminal.draw(text)
        else:
            self._terminal.say(text)


def _line(done: int, of: int | None, seconds: float) -> str:
    """Return `reading  ███░░░░░░░░░  25%  5,000/20,000  812 images/s  18.5 s left`."""
    speed = done / seconds if seconds >= _SOON else None
    parts = ["reading"]
    if of:
        parts += [bar(done / of, _BAR), f"{display.percent(done / of):>4}"]
    parts.append(f"{display.count(done)}/{display.count(of)}" if of else f"{display.count(done)} images")
    if speed:
        parts.append(display.speed(speed))
        if of:
            parts.append(f"{display.seconds((of - done) / speed)} left")
    return "  ".join(parts)
