"""A child process that draws the graphs of a training while the command computes the baselines.

It is forked before anything else, while this process has one thread and has imported little. So it imports NumPy and
matplotlib on a second core while this process reads the data and compiles; in a thread, Python's lock would make the
two wait for each other. Only the command line forks: a program that uses the library gets no process from it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

from layerline.cli.several import process_name
from layerline.system.cores import cores
from layerline.system.workers import TICK, check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.network import Network
    from layerline.report import Graphs
    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result

_TASKS: Final = "/proc/self/task"
"""The folder with an entry for each thread of this process."""


@final
class DrawingProcess:
    """A child that draws the graphs of one run. If it fails in any way, the caller draws them, and finds out why."""

    def __init__(self) -> None:
        """Fork the child. Raises OSError if the system refuses."""
        self._socket, other = socket.socketpair()
        self._begun = False
        try:
            self._child = os.fork()
        except OSError:
            self._socket.close()
            other.close()
            raise
        if self._child == 0:
            self._socket.close()
            _work(other)
        other.close()

    def begin(
        self,
        folder: Path,
        history: Sequence[EpochRow],
        result: Result,
        network: Network,
        weights: Mapping[str, NDArray[Any]],
    ) -> None:
        """Let the child draw what `report.draw` draws."""
        with contextlib.suppress(OSError):  # the child is gone: `graphs` finds out
            self._socket.sendall(pickle.dumps((folder, history, result, network, dict(weights))))
            self._begun = True

    def graphs(self) -> Graphs | None:
        """Wait for what was drawn and return it; None if the child did not draw. Raises StoppedError."""
        if not self._begun:
            return None
        while not select.select([self._socket], [], [], TICK)[0]:
            check()
        try:
            with self._socket.makefile("rb") as stream:
                drawn: Graphs = pickle.load(stream)  # noqa: S301 - our own child wrote it
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        return drawn

    def end(self) -> None:
        """Wait until the child has ended; without anything to draw, it is killed."""
        self._socket.close()
        if not self._begun:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._child, 0)


@contextlib.contextmanager
def drawing_process() -> Iterator[DrawingProcess | None]:
    """Have a child that draws, if there is a core for it and a fork is safe; else None."""
    child = None
    if cores() > 1 and not process_name() and _has_one_thread():
        with contextlib.suppress(OSError):
            child = DrawingProcess()
    try:
        yield child
    finally:
        if child is not None:
            child.end()


def _has_one_thread() -> bool:
    """Return whether this process has a single thread, so that a child finds no lock held by another one."""
    if sys.platform != "linux":
        return False
    try:
        return len(os.listdir(_TASKS)) == 1
    except OSError:
        return False


def _work(parent: socket.socket) -> NoReturn:
    """Be the child: import, wait for the run, draw it, and exit; also when the parent ends."""
    try:
        _detach()
        _import()
        with parent.makefile("rwb") as stream:
            from layerline import report

            drawn = report.draw(*pickle.load(stream))  # noqa: S301 - our own parent wrote it
            pickle.dump(drawn, stream)
    finally:  # whatever was raised: the parent then draws, and reports it
        os._exit(0)


def _detach() -> None:
    """Leave the terminal's signals to the parent, and its output too: a pipe closes when the parent ends."""
    for name in ("SIGINT", "SIGHUP", "SIGTERM"):
        signal.signal(getattr(signal, name), signal.SIG_IGN if name == "SIGINT" else signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)


def _import() -> None:
    """Import all that drawing needs, by drawing a dot."""
    from layerline import network, report
    from layerline.report.sheet import Sheet

    del network, report
    dot = Sheet(0.1, 0.1)
    dot.text(0.0, 0.0, "·")
    dot.png(100)
