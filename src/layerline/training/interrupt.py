"""The wish to stop, as a signal brings it: the first one asks, the second one does not wait."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Self, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType


@final
class Interrupt:
    """While it is entered, signals are kept here. A second signal raises KeyboardInterrupt, or SystemExit(143).

    Signals that the process ignores (nohup) stay ignored. Outside the main thread it does nothing.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGINT,)) -> None:
        """Keep which signals to wait for."""
        self.signal: int | None = None
        """The first signal that came, or None."""
        self.ask: Callable[[], None] | None = None
        """What the first signal calls, such as an engine's `stop`."""
        self._signals = signals
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            for number in self._signals:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it came from signal.signal
        self._before.clear()

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.signal is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(exit_code(number))
        self.signal = number
        if self.ask is not None:
            self.ask()


def exit_code(number: int) -> int:
    """Return the code of a process that a signal ended: 130 for Ctrl-C, 143 for all that ask it to go."""
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
