"""Stopping by signals: the first one requests a stop, the second one stops immediately."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, Self, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType


@final
class Interrupt:
    """A context manager that records the first signal; a second raises KeyboardInterrupt, or SystemExit(143).

    Signals that the process ignores (nohup) stay ignored, and those handled by a program that embeds Python are left
    alone. Outside the main thread, and outside the main interpreter, it does nothing.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGINT,)) -> None:
        """Store which signals to handle."""
        self.signal: int | None = None
        """The first signal received, or None."""
        self.ask: Callable[[], None] | None = None
        """Called on the first signal, such as an engine's `stop`."""
        self._signals = signals
        self._installed = contextlib.ExitStack()
        self._leaving = False

    def __enter__(self) -> Self:
        """Install the handlers: all of them or, if interrupted, none. A signal received before stays recorded."""
        self._leaving = False
        if threading.current_thread() is not threading.main_thread():
            return self
        with contextlib.ExitStack() as taken:
            for number in self._signals:
                before = signal.getsignal(number)
                if before is None or before is signal.SIG_IGN:  # None: its handler is not Python's
                    continue
                taken.callback(_restore, number, before)
                try:
                    signal.signal(number, self._take)
                except ValueError:  # only allowed in the main interpreter of a process
                    taken.pop_all()  # nothing was installed, so there is nothing to restore
                    return self
            self._installed = taken.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Restore all previous handlers, even if a signal arrives meanwhile."""
        self._leaving = True
        self._installed.close()

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.signal is not None:
            if self._leaving:
                return
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(exit_code(number))
        self.signal = number
        if self.ask is not None:
            self.ask()


def _restore(number: signal.Signals, handler: Any) -> None:
    try:
        signal.signal(number, handler)
    except BaseException:  # raised for a signal that arrived just before, by a handler that is already restored
        signal.signal(number, handler)
        raise


def exit_code(number: int) -> int:
    """Return the exit code of a process stopped by a signal: 130 for Ctrl-C, 143 for any other."""
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
