"""A child process that draws the graphs of a training, and then writes its report, while the command does other work.

It is forked before anything else, while this process has one thread and has imported little. So it imports NumPy,
matplotlib and jinja2 on a second core while this process reads the data and compiles; in a thread, Python's lock would
make the two wait for each other. Only the command line forks: a program that uses the library gets no process from it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

from layerline.cli.several import process_name
from layerline.system.cores import cores
from layerline.system.workers import TICK, check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from io import BufferedRWPair

    from numpy.typing import NDArray

    from layerline.network import Network
    from layerline.report.thumbnails import Pixels
    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result

_TASKS: Final = Path("/proc/self/task")
"""The folder with an entry for each thread of this process."""


@final
class DrawingProcess:
    """A child that draws the graphs of one run and writes its report.

    If it fails in any way, its answer is None: the caller then does the work here, and finds out what is wrong.
    """

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
        self._stream = self._socket.makefile("rwb")

    def begin(
        self,
        folder: Path,
        history: Sequence[EpochRow],
        result: Result,
        network: Network,
        weights: Mapping[str, NDArray[Any]],
    ) -> None:
        """Let the child draw what `report.draw` draws."""
        self._begun = True
        with contextlib.suppress(OSError):  # the child is gone: `graphs` finds out
            _send(self._stream, (folder, history, result, network, dict(weights)))

    def graphs(self) -> tuple[Sequence[str], Sequence[str]] | None:
        """Wait for the graphs; return the files, and why others are missing. Raises StoppedError."""
        found: tuple[Sequence[str], Sequence[str]] | None = self._answer() if self._begun else None
        return found

    def report(self, folder: Path, pixels: Pixels) -> str | None:
        """Let the child write the report of a run whose graphs it drew, and return the file's name; meanwhile give it
        the images that it asks for. Raises StoppedError."""
        if not self._begun:
            return None
        try:
            _send(self._stream, (folder, pixels.resized, pixels.examples()))
            while isinstance(found := self._answer(), tuple):
                _send(self._stream, pixels(*found))
        except OSError:
            return None
        name: str | None = found
        return name

    def _answer(self) -> Any:
        """Return what the child sent, when it has; None if it is gone."""
        while not select.select([self._socket], [], [], TICK)[0]:
            check()
        try:
            return _received(self._stream)
        except (OSError, EOFError, pickle.UnpicklingError):
            return None

    def end(self) -> None:
        """Wait until the child has ended; without anything to draw, it is killed."""
        with contextlib.suppress(OSError):
            self._stream.close()
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
        return len(list(_TASKS.iterdir())) == 1
    except OSError:
        return False


def _work(connection: socket.socket) -> NoReturn:
    """Be the child: import, then draw and write what the parent sends, until it closes the connection."""
    try:
        _detach(connection.fileno())
        _import()
        parent = connection.makefile("rwb")
        from layerline import report
        from layerline.report import page, thumbnails

        folder, *rest = _received(parent)
        drawn = report.draw(folder, *rest)
        _send(parent, (drawn.files, drawn.missing))

        def ask(split: str, index: int) -> Any:
            _send(parent, (split, index))
            return _received(parent)

        folder, resized, examples = _received(parent)
        _send(parent, page.write(folder, pixels=thumbnails.Asked(ask, resized, examples)).name)
    finally:  # whatever was raised: the parent then does the work, and reports it
        os._exit(0)


def _send(stream: BufferedRWPair, what: Any) -> None:
    pickle.dump(what, stream)
    stream.flush()


def _received(stream: BufferedRWPair) -> Any:
    return pickle.load(stream)  # noqa: S301 - the other end is our own process


def _detach(connection: int) -> None:
    """Leave Ctrl-C to the parent, and its output too: a pipe closes when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) != signal.SIG_IGN:  # as under nohup
            signal.signal(ending, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in {0, 1, 2} - {connection}:  # it has a closed stream's number
        os.dup2(nothing, number)
    if nothing > 2:
        os.close(nothing)


def _import() -> None:
    """Import all that graphs and report need, by drawing a dot and reading the page's template."""
    from layerline import network
    from layerline.report import page
    from layerline.report.sheet import Sheet

    del network
    dot = Sheet(0.1, 0.1)
    dot.text(0.0, 0.0, "·")
    dot.png(100)
    page.template()
