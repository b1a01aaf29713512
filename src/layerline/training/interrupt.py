"""The wish to stop, as a signal brings it: the first one asks, the second one does not wait."""

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
    """While it is entered, signals are kept here. A second signal raises KeyboardInterrupt, or SystemExit(143).

    Signals that the process ignores (nohup) stay ignored, and those that a program which embeds Python handles itself
    are left to it. Outside the main thread, and outside the main interpreter, it does nothing.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGINT,)) -> None:
        """Keep which signals to wait for."""
        self.signal: int | None = None
        """The first signal that came, or None."""
        self.ask: Callable[[], None] | None = None
        """What the first signal calls, such as an engine's `stop`."""
        self._signals = signals
        self._given_back = contextlib.ExitStack()
        self._leaving = False

    def __enter__(self) -> Self:
        """Take the signals over; all of them or, where that is interrupted, none."""
        if threading.current_thread() is not threading.main_thread():
            return self
        with contextlib.ExitStack() as taken:
            for number in self._signals:
                before = signal.getsignal(number)
                if before is None or before is signal.SIG_IGN:  # None: its handler is not Python's
                    continue
                taken.callback(_give_back, number, before)
                try:
                    signal.signal(number, self._take)
                except ValueError:  # only the main interpreter of a process may
                    taken.pop_all()  # nothing was taken, nothing is to be given back
                    return self
            self._given_back = taken.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the signals back, all of them, also where one comes meanwhile."""
        self._leaving = True
        self._given_back.close()

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


def _give_back(number: signal.Signals, handler: Any) -> None:
    try:
        signal.signal(number, handler)
    except BaseException:  # raised for a signal that came just before, by a handler that is back already
        signal.signal(number, handler)
        raise


def exit_code(number: int) -> int:
    """Return the code of a process that a signal ended: 130 for Ctrl-C, 143 for all that ask it to go."""
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
