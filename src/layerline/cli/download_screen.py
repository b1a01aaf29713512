"""The output of a download."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, final

from layerline.cli.terminal import bar
from layerline.data.fetching.fetch import FetchWatcher
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.cli.terminal import Terminal
    from layerline.data.fetching.catalog import Archive

_BAR: Final = 12
_OFTEN: Final = 0.1
"""Seconds between two updates of the bar."""
_SETTLED: Final = 0.5
"""Seconds after which the time left is displayed."""
_LONG: Final = 360_000
"""The longest time left that is displayed, in seconds."""


@final
class DownloadScreen(FetchWatcher):
    """The output of a download: on a terminal a bar with bytes and time left; then one line per file."""

    def __init__(self, terminal: Terminal) -> None:
        """Take the terminal."""
        self._terminal = terminal
        self._since = self._drawn = 0.0
        self._failed: list[str] = []

    def began(self, archive: Archive, mirror: str) -> None:
        """Show which server is being contacted."""
        self._since, self._drawn = time.monotonic(), 0.0
        self._terminal.draw(f"{archive.name}: contacting {mirror} …")

    def got(self, archive: Archive, count: int) -> None:
        """Redraw the bar."""
        now = time.monotonic()
        if now - self._drawn >= _OFTEN:
            self._drawn = now
            self._terminal.draw(progress(archive, count, now - self._since))

    def kept(self, archive: Archive, path: Path, *, fetched: bool) -> None:
        """Report that a file is complete."""
        del path
        for line in self._failed:
            self._terminal.say(line)
        self._failed.clear()
        how = "downloaded" if fetched else "already there"
        self._terminal.say(f"{archive.name}: {how}, {display.size(archive.size)}, SHA-256 verified")

    def failed(self, archive: Archive, mirror: str, reason: str) -> None:
        """Store the failure: it is printed if another mirror has the file, otherwise the error contains it."""
        self._failed.append(f"{mirror}{archive.name} {reason}")


def progress(archive: Archive, count: int, seconds: float) -> str:
    """Return the bottom line of a download: `cifar-10.tar.gz  ███░░░  65 of 170 MB  2.1 MB/s  50 s left`."""
    done = count / archive.size
    parts = [
        display.name(archive.name, 26),
        bar(done, _BAR),
        f"{display.size(count)} of {display.size(archive.size)}",
    ]
    rest = seconds * (1 - done) / done
    if seconds > _SETTLED and rest < _LONG:
        parts.append(f"{display.seconds(rest)} left")
    return "  ".join(parts)
