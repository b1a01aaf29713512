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
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn, final

from layerline.cli.several import process_name
from layerline.system.cores import cores
from layerline.system.workers import TICK, check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.network import Network
    from layerline.report.thumbnails import PageImages
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
        self._begun = False
        with contextlib.ExitStack() as opened:
            theirs, self._to = _pipe(opened)
            self._from, other = _pipe(opened)
            self._child = os.fork()
            if self._child == 0:
                self._to.close()
                self._from.close()
                _work(theirs, other)
            opened.pop_all()
        theirs.close()
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
        self._begun = True
        with contextlib.suppress(OSError):  # the child is gone: `graphs` finds out
            _send(self._to, (folder, history, result, network, dict(weights)))

    def graphs(self) -> tuple[Sequence[str], Sequence[str]] | None:
        """Wait for the graphs; return the files, and why others are missing. Raises StoppedError."""
        found: tuple[Sequence[str], Sequence[str]] | None = self._answer() if self._begun else None
        return found

    def report(self, folder: Path, pixels: PageImages) -> str | None:
        """Let the child write the report of a run whose graphs it drew, and return the file's name; meanwhile give it
        the images that it asks for. Raises StoppedError."""
        if not self._begun or self._from.closed:
            return None
        try:
            _send(self._to, (folder, pixels.resized, pixels.examples()))
            while isinstance(found := self._answer(), tuple):
                _send(self._to, pixels(*found))
        except OSError:
            return None
        name: str | None = found
        return name

    def _answer(self) -> Any:
        """Return what the child sent, when it has; None if it is gone."""
        while not select.select([self._from], [], [], TICK)[0]:
            check()
        try:
            return _received(self._from)
        except (OSError, EOFError, pickle.UnpicklingError):
            self._close()
            return None

    def end(self) -> None:
        """Wait until the child has ended; without anything to draw, it is killed."""
        self._close()
        if not self._begun:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._child, 0)

    def _close(self) -> None:
        self._from.close()
        with contextlib.suppress(OSError):  # it may be gone, and has not read everything
            self._to.close()


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


def _pipe(opened: contextlib.ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """Return the reading and the writing end of a new pipe, which `opened` closes."""
    reading, writing = os.pipe()
    return opened.enter_context(os.fdopen(reading, "rb")), opened.enter_context(os.fdopen(writing, "wb"))


def _work(reading: BinaryIO, writing: BinaryIO) -> NoReturn:
    """Be the child: import, then draw and write what the parent sends, until it closes the connection."""
    try:
        _detach({reading.fileno(), writing.fileno()})
        _import()
        from layerline import report
        from layerline.report import live_model, page, thumbnails

        folder, *rest = _received(reading)
        drawn = report.draw(folder, *rest)
        _send(writing, (drawn.files, drawn.missing))
        live = live_model.of_run(folder).html  # the parent may still be computing baselines

        def ask(split: str, index: int) -> Any:
            _send(writing, (split, index))
            return _received(reading)

        folder, resized, examples = _received(reading)
        images = thumbnails.Asked(ask, resized, examples)
        _send(writing, page.write(folder, pixels=images, live=live).name)
    finally:  # whatever was raised: the parent then does the work, and reports it
        os._exit(0)


def _send(pipe: BinaryIO, what: Any) -> None:
    pickle.dump(what, pipe)
    pipe.flush()


def _received(pipe: BinaryIO) -> Any:
    return pickle.load(pipe)  # noqa: S301 - the other end is our own process


def _detach(connection: set[int]) -> None:
    """Leave Ctrl-C to the parent, and its output too: a pipe closes when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) != signal.SIG_IGN:  # as under nohup
            signal.signal(ending, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in {0, 1, 2} - connection:  # it has a closed stream's number
        os.dup2(nothing, number)
    if nothing > 2:
        os.close(nothing)


def _import() -> None:
    """Import all that graphs and report need, by drawing a dot and reading the page's template."""
    from layerline import network
    from layerline.report import live_model, page
    from layerline.report.sheet import Sheet

    del network, live_model
    dot = Sheet(0.1, 0.1)
    dot.text(0.0, 0.0, "·")
    dot.png(100)
    page.template()
