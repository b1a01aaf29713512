"""Random interrupts: signals in the main thread, asynchronous exceptions in other threads."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator
    from random import Random
    from types import FrameType

KINDS: Final = ("none", "sigint", "sigint twice", "timeout", "timeouts", "exit", "predicting", "predicting")


class UserTimeout(Exception):  # noqa: N818 - a typical user's name
    """Raised by the user's SIGALRM handler."""


class Async(BaseException):
    """Set in a thread by PyThreadState_SetAsyncExc."""


RAISED: Final = (KeyboardInterrupt, UserTimeout, SystemExit, Async)


def place(frame: FrameType | None) -> str:
    """Return the innermost layerline function of a frame's stack, or that there is none."""
    inner = "" if frame is None else frame.f_code.co_name
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("layerline"):
            return f"{name.removeprefix('layerline.')}.{frame.f_code.co_name}"
        frame = frame.f_back
    return f"outside ({inner})"


class _NoLock:
    """A replacement for logging's lock: an interrupt in its after-fork hook would leave a real one locked."""

    def acquire(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class Sender:
    """A thread that runs actions at scheduled times."""

    def __init__(self) -> None:
        """Start it."""
        self._due: queue.PriorityQueue[tuple[float, int, Callable[[], None]]] = queue.PriorityQueue()
        self._number = 0
        threading.Thread(target=self._run, daemon=True, name="storm-sender").start()

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Schedule an action in a number of seconds."""
        self._number += 1
        self._due.put((time.monotonic() + seconds, self._number, do))

    def _run(self) -> None:
        while True:
            when, number, do = self._due.get()
            wait = when - time.monotonic()
            if wait > 0.01:  # an earlier action may be scheduled
                self._due.put((when, number, do))
                time.sleep(0.005)
                continue
            time.sleep(max(0.0, wait))
            do()


class Signals:
    """Interrupts of the main thread: armed for a call, never outside it."""

    def __init__(self, sender: Sender, counts: Counter[str], places: Counter[str]) -> None:
        """Install handlers for SIGINT and SIGALRM."""
        self._sender, self._counts, self._places = sender, counts, places
        self.armed, self.raised = False, 0
        self.last = ""
        self._busy, self._kind = False, "none"
        self._token = 0
        self._predict: Callable[[], None] = lambda: None
        self.faults: list[str] = []
        self.unraisable: list[str] = []
        signal.signal(signal.SIGINT, self._take)
        signal.signal(signal.SIGALRM, self._take)
        sys.unraisablehook = self._unraisable
        logging._lock = _NoLock()  # type: ignore[attr-defined]

    def _unraisable(self, found: Any) -> None:
        late = "cannot release un-acquired lock" in str(found.exc_value)  # an interrupt aborted a fork's wait for it
        if isinstance(found.exc_value, RAISED) or late:
            self.unraisable.append(str(found.object)[:150])
            self._counts["interrupts that Python ignored (in a callback)"] += 1
        else:
            self.faults.append(f"unraisable {found.exc_value!r} in {found.object!r}"[:300])

    def _take(self, number: int, frame: FrameType | None) -> None:
        if not self.armed or self._busy:
            return
        self._busy = True
        try:
            self.last = place(frame)
            self._places[self.last] += 1
            self._counts[f"interrupt: {self._kind}"] += 1
            if self._kind == "predicting":
                self._predict()
                return
        finally:
            self._busy = False
        self.raised += 1
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(3) if self._kind == "exit" else UserTimeout

    def arm(self, kind: str, seconds: float, rng: Random, predict: Callable[[], None]) -> None:
        """Arm interrupts of a kind during a call that takes about that many seconds."""
        self._kind, self._predict, self.raised = kind, predict, 0
        self.unraisable.clear()
        self._token += 1
        delay = max(5e-5, rng.random() * 1.3 * seconds * rng.choice((0.1, 1, 1, 1)))
        self.armed = kind != "none"
        if kind.startswith("sigint"):
            token = self._token
            for k in range(2 if kind == "sigint twice" else 1):
                self._sender.later(delay + k * rng.uniform(0.0005, 0.05), lambda: self._kill(token))
        elif kind in ("timeout", "exit"):
            signal.setitimer(signal.ITIMER_REAL, delay)
        elif kind in ("timeouts", "predicting"):
            signal.setitimer(signal.ITIMER_REAL, delay, rng.uniform(0.0005, 0.02))

    def _kill(self, token: int) -> None:
        if self.armed and token == self._token:
            os.kill(os.getpid(), signal.SIGINT)

    def disarm(self) -> None:
        """Disarm; an exception raised meanwhile is discarded."""
        while True:
            try:
                self.armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)
                time.sleep(0)
            except RAISED:
                continue
            return


class Starts:
    """Keeps asynchronous exceptions away from Thread.start: while a thread starts another, Python 3.11 delivers its
    exception to the new one, which then dies before it signals that it has started, and `start` waits forever.
    """

    def __init__(self) -> None:
        """Create the lock, and recreate it in a forked child."""
        self.lock = threading.RLock()  # a handler may predict during a start

    def watch(self) -> None:
        """Make thread starts and asynchronous exceptions mutually exclusive."""
        start = threading.Thread.start

        def alone(thread: threading.Thread) -> None:
            with self.lock:
                start(thread)

        threading.Thread.start = alone  # type: ignore[method-assign,assignment]
        os.register_at_fork(after_in_child=self.__init__)  # type: ignore[misc]


_starts = Starts()
watch_starts = _starts.watch


class Victim:
    """A user thread that receives asynchronous exceptions while it is open to them."""

    def __init__(self) -> None:
        """Record the current thread as the target."""
        self._ident = threading.get_ident()
        self.open = self._sending = False
        self.sent = 0

    def send(self) -> None:
        """Set an exception in the target, from another thread."""
        self._sending = True
        with _starts.lock:
            if self.open:
                self.sent += 1
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._ident), ctypes.py_object(Async))
        self._sending = False

    def close(self) -> None:
        """Accept no more exceptions; called by the target itself."""
        while True:
            try:
                self.open = False
                while self._sending:
                    time.sleep(0.0005)
                for _ in range(100):
                    pass
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._ident), None)
            except Async:
                continue
            return


@contextlib.contextmanager
def switching(seconds: float) -> Iterator[None]:
    """Set the thread switch interval."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
