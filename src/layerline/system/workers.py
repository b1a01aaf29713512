"""Threads that work in parallel for one call and never outlive it, whatever is raised while it waits for them.

A signal may raise in the waiting thread between any two bytecodes: Ctrl-C, the handler of a timeout, SystemExit.
Machine code still running then would write to memory that its caller has freed. So whatever is raised, the workers are
told to stop and waited for before the exception propagates.

Python's own `threading.Thread` and `Condition` do not survive such an exception: `start` and `join` are Python code
with locks, and if interrupted, they leave a thread that nobody waits for, a KeyError instead of the exception, or a
lock that nobody releases. So threads are started by a single call of `_thread.start_new_thread`, and share only sets,
deques and SimpleQueues, whose operations are atomic.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import os
import queue
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

A = TypeVar("A")
T = TypeVar("T")

TICK: Final = 0.1
"""Seconds between two checks of the waiting thread, if nothing wakes it."""
LATE: Final = 1000
"""Number of checks whether a thread is gone, before it is assumed never to have started."""
STACK: Final = 1 << 20
"""Minimum stack of a worker in bytes: LLVM's code generator needs 100 kB for a deep network, but a thread has only
128 kB on some systems, or the size set by `threading.stack_size` or `ulimit -s`."""

_here: Final = threading.local()
_at_forks: Final[list[Any]] = []
"""The locks of fork_waits_for: RLocks, whose `_is_owned` and `_at_fork_reinit` the type checker does not know, although
`threading` uses them too."""


class StoppedError(Exception):
    """The workers of this thread were told to stop: their results are incomplete."""


@final
class Workers:
    """Threads that share one task.

    Workers started by a worker belong to it: stopping the outer ones also stops the inner ones.
    """

    def __init__(
        self,
        work: Callable[[int], None],
        number: int = 1,
        *,
        ask: Callable[[], None] | None = None,
    ) -> None:
        """Prepare threads that run work(0) … work(number − 1).

        work: owns everything it writes to; it checks `stopped` now and then, or `ask` makes it return early.
        ask: may be called more than once, from any thread, even if no work is running.
        """
        self.stopped = False
        """Whether the work should end early."""
        self._work, self._number = work, number
        self._ask = ask
        self._over = False
        self._at_work: set[int] = set()
        self._ended: set[int] = set()
        self._done: set[int] = set()
        self._errors: list[BaseException] = []
        self._threads: list[Thread] = []
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._inner: set[Workers] = set()

    def run(self, tick: Callable[[], None] | None = None) -> None:
        """Do the work and return when it is done; meanwhile `tick` is called now and then in this thread.

        Raises the exception of a worker or of `tick`, and StoppedError if an outer worker was stopped. If the system
        cannot start all threads, those that run do all the work; UserError if it cannot start any.
        """
        outer: Workers | None = getattr(_here, "workers", None)
        held = _let_go()
        try:
            if outer is not None:
                outer._inner.add(self)
                check()
            try:
                self._begin()
                self._wait(tick)
            finally:
                self._end()
        finally:  # again, because an interrupt may come on the way into the first
            self._end()
            if outer is not None:
                outer._inner.discard(self)
            for lock in reversed(held):  # in the order of a fork, which we share
                lock.acquire()
        if self._errors:
            raise self._errors[0]
        if self.stopped:
            raise StoppedError("the work was told to stop")

    def stop(self) -> None:
        """Ask the workers, and those they have started, to end early. Safe in a signal handler."""
        self.stopped = True
        for inner in tuple(self._inner):
            inner.stop()
        if self._ask is not None:
            self._ask()

    def _begin(self) -> None:
        """Start the threads; fewer if the system is out of threads, but at least one."""
        for k in range(self._number):
            try:
                start(self._threads, self._target, k)
            except (RuntimeError, MemoryError) as error:
                if len(self._threads) > 1:
                    self._threads.pop()
                    return
                raise UserError(
                    "the system cannot start a thread for training or prediction",
                    "raise the limit on processes (ulimit -u) or memory (ulimit -v)",
                ) from error

    def _target(self, k: int) -> None:
        """Do the share of thread k."""
        _here.workers = self
        self._at_work.add(k)  # before _over is checked; _end sets it before it checks this: one sees the other
        try:
            if not self._over:
                self._work(k)
                self._done.add(k)
        except BaseException as error:  # raised again in the thread that waits
            self._errors.append(error)
            self.stop()
        finally:
            self._at_work.discard(k)
            self._ended.add(k)
            self._news.put(None)

    def _wait(self, tick: Callable[[], None] | None) -> None:
        """Wait until every thread has ended, and raise if one has not done its share."""
        while any(k not in self._ended and not thread.gone for k, thread in enumerate(self._threads)):
            try:
                self._news.get(timeout=TICK)
            except queue.Empty:
                if tick is not None:
                    tick()
        missing = len(self._threads) - len(self._done)
        if missing and not self._errors:
            raise RuntimeError(f"{missing} of {len(self._threads)} threads ended before their work")

    def _end(self) -> None:
        """Return when no worker is running or will start; exceptions raised meanwhile are raised then."""
        late: BaseException | None = None
        self._over = True
        while self._at_work or self._threads:
            try:
                if self._at_work:
                    self.stop()
                    self._news.get(timeout=TICK)
                else:
                    self._threads[-1].leave()
                    self._threads.pop()
            except queue.Empty:
                pass
            except BaseException as error:
                late = error
        if late is not None:
            raise late


def aside(work: Callable[[], T], tick: Callable[[], None] | None = None, *, ask: Callable[[], None] | None = None) -> T:
    """Return the result of `work`, run in a separate thread; `tick` and `ask` as for Workers."""
    results: list[T] = []
    Workers(lambda _: results.append(work()), ask=ask).run(tick)
    return results[0]


def spread(work: Callable[[A], T], items: Sequence[A], threads: int) -> list[T]:
    """Return work(item) of each item, in order, computed by threads in parallel. Raises the exceptions of `work`."""
    results: dict[int, T] = {}
    places = iter(range(len(items)))

    def part(_: int) -> None:
        for place in places:  # each is handed out once
            if workers.stopped:
                return
            results[place] = work(items[place])

    workers = Workers(part, min(threads, len(items)))
    workers.run()
    return [results[place] for place in range(len(items))]


def _let_go() -> list[Any]:
    """Release the fork locks that this thread holds; return what to acquire again, last one first.

    Workers may need them if a signal handler has started the workers between two hooks of a fork.
    """
    held = []
    for lock in _at_forks:
        while lock._is_owned():
            lock.release()
            held.append(lock)
    return held


def check() -> None:
    """Raise StoppedError if this thread is a worker that was told to stop."""
    workers: Workers | None = getattr(_here, "workers", None)
    if workers is not None and workers.stopped:
        raise StoppedError("the work was told to stop")


class _Token:
    """An object that a thread holds as long as it exists."""

    __slots__ = ("__weakref__",)


@final
class Thread:
    """A thread that was started, or was about to be."""

    def __init__(self, token: weakref.ref[_Token]) -> None:
        """Store the reference to the thread's token."""
        self._token = token

    @property
    def gone(self) -> bool:
        """Return whether it has ended, even if it never started."""
        return self._token() is None

    def leave(self) -> None:
        """Wait until a thread without further work is gone; one whose start was interrupted may never appear."""
        for look in range(LATE):
            if self.gone:
                return
            time.sleep(0 if look < LATE // 2 else TICK / 100)


def start(threads: list[Thread], work: Callable[..., None], *arguments: Any) -> None:
    """Start a thread that runs work(*arguments), which must not raise; add it to `threads` before it can start.

    Raises RuntimeError or MemoryError if the system cannot start it; even then it is the last of `threads`.
    """
    with _stack():
        _thread.start_new_thread(_with_token, (_held(threads), work, *arguments))


def _held(threads: list[Thread]) -> _Token:
    """Return the token of a new thread: only that thread holds it, not even a frame kept alive by an exception does."""
    token = _Token()
    threads.append(Thread(weakref.ref(token)))
    return token


def _with_token(token: _Token, work: Callable[..., None], *arguments: Any) -> None:
    work(*arguments)
    del token


def fork_waits_for(lock: Any) -> Any:
    """Return the lock, which from now on the forking thread holds during a fork.

    A child has only the thread that forked, so a lock held by another thread would stay locked there forever. The hooks
    are C methods: they contain no bytecode that a signal could interrupt. A handler that raises during a hook's wait
    ends that wait, and Python forks nevertheless: so there are three hooks in a row.
    """
    for _ in range(3 if hasattr(os, "register_at_fork") else 0):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock._at_fork_reinit)
    _at_forks.append(lock)
    return lock


IMPORTS: Final[Any] = fork_waits_for(threading.RLock())
"""Held during late imports."""
MATRICES: Final[Any] = fork_waits_for(threading.RLock())
"""Held while NumPy multiplies large matrices: its library has its own locks and threads."""
_STACKS: Final[Any] = fork_waits_for(threading.RLock())


@contextlib.contextmanager
def _stack() -> Iterator[None]:
    """Give a thread started in this context a stack of at least STACK bytes.

    Python has a single stack size for all new threads: it is changed for this moment, and only if it is too small.
    """
    if _stack_of_a_thread() >= STACK:
        yield
        return
    with _STACKS:
        before = threading.stack_size(STACK)
        try:
            yield
        finally:
            threading.stack_size(before)


def _stack_of_a_thread() -> int:
    """Return the stack size of the next thread in bytes, as far as the process or the system reports it."""
    size = int(_given_stack())
    if size or sys.platform == "win32":
        return size or STACK
    import resource

    limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return STACK if limit == resource.RLIM_INFINITY else limit


_given_stack: Final = ctypes.pythonapi.PyThread_get_stacksize
"""The last argument of `threading.stack_size`; calling that function to read it would reset it to 0."""
_given_stack.restype = ctypes.c_size_t
