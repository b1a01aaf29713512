"""Threads that work side by side for one call, and never outlive it, whatever is raised while it waits for them.

A signal may raise in the waiting thread between any two steps of Python: Ctrl-C, the handler of a timeout, SystemExit.
Machine code that then still ran would write into memory that its caller has let go. So whatever is raised, the workers
are told to stop, they are waited for, and only then does it go on its way.

Python's own `threading.Thread` and `Condition` do not survive such an exception: `start` and `join` are steps of Python
with locks in them, and interrupted they leave a thread that nobody waits for, a KeyError in place of the exception, or
a lock that nobody releases. So threads start by the one call `_thread.start_new_thread`, and what is shared are sets,
deques and SimpleQueues, whose steps are whole.
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
"""Seconds between two looks of the waiting thread, where nothing wakes it."""
LATE: Final = 1000
"""Looks at whether a thread is gone, before it is taken for one that was never started."""
STACK: Final = 1 << 20
"""Bytes of stack that a worker has at least: LLVM's code generator takes 100 kB for a deep network, and a thread has
128 kB on some systems, or what `threading.stack_size` or `ulimit -s` leaves it."""

_here: Final = threading.local()
_at_forks: Final[list[Any]] = []
"""The locks of fork_waits_for: RLocks, of which the type checker does not know `_is_owned` and `_at_fork_reinit`, which
`threading` uses, too."""


class StoppedError(Exception):
    """The workers of this thread were told to stop: what they have done so far is not whole."""


@final
class Workers:
    """Threads that each do a part of one piece of work.

    Workers that a worker starts belong to it: to stop the outer ones stops the inner ones too.
    """

    def __init__(
        self,
        work: Callable[[int], None],
        number: int = 1,
        *,
        ask: Callable[[], None] | None = None,
    ) -> None:
        """Prepare threads that run work(0) … work(number − 1).

        work: owns all that it writes to; it looks at `stopped` now and then, or `ask` lets it return early.
        ask: may be called more than once, from any thread, also where no work is under way.
        """
        self.stopped = False
        """Whether the work is to end early."""
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
        """Do the work and return when it is done; `tick` is called now and then meanwhile, in this thread.

        Raises what a worker or `tick` raises, and StoppedError where an outer worker was stopped. Where the system
        starts no more threads, those that are there do it all; UserError where it starts none.
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
        finally:  # once more, for an interrupt may come on the way into the first
            self._end()
            if outer is not None:
                outer._inner.discard(self)
            for lock in reversed(held):  # in a fork's order, which is ours
                lock.acquire()
        if self._errors:
            raise self._errors[0]
        if self.stopped:
            raise StoppedError("the work was told to stop")

    def stop(self) -> None:
        """Ask the workers, and those that they have started, to end early. Safe in a signal handler."""
        self.stopped = True
        for inner in tuple(self._inner):
            inner.stop()
        if self._ask is not None:
            self._ask()

    def _begin(self) -> None:
        """Start the threads; where the system has no more of them, at least one."""
        for k in range(self._number):
            try:
                start(self._threads, self._target, k)
            except (RuntimeError, MemoryError) as error:
                if len(self._threads) > 1:
                    self._threads.pop()
                    return
                raise UserError(
                    "the system starts no thread to train or predict in",
                    "a limit on processes (ulimit -u) or memory (ulimit -v) is reached: raise it",
                ) from error

    def _target(self, k: int) -> None:
        """Do the part of thread k."""
        _here.workers = self
        self._at_work.add(k)  # before the look at _over, as _end sets it before it looks here: one sees the other
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
        """Wait until every thread has ended, and raise where one has not done its part."""
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
        """Return when nobody is at work, and none will begin; what is raised meanwhile is raised then."""
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
    """Return what `work` returns, done in a thread of its own; `tick` and `ask` as for Workers."""
    results: list[T] = []
    Workers(lambda _: results.append(work()), ask=ask).run(tick)
    return results[0]


def spread(work: Callable[[A], T], items: Sequence[A], threads: int) -> list[T]:
    """Return work(item) of each item, in order, done by threads side by side. Raises what a work raises."""
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
    """Release what this thread holds as one that forks; return what to acquire again, from the last on.

    Workers may need it: then a signal's handler, between two hooks of a fork, has started them.
    """
    held = []
    for lock in _at_forks:
        while lock._is_owned():
            lock.release()
            held.append(lock)
    return held


def check() -> None:
    """Raise StoppedError where this thread is a worker that was told to stop."""
    workers: Workers | None = getattr(_here, "workers", None)
    if workers is not None and workers.stopped:
        raise StoppedError("the work was told to stop")


class _Token:
    """What a thread holds as long as it is there."""

    __slots__ = ("__weakref__",)


@final
class Thread:
    """A thread that was started, or was about to be."""

    def __init__(self, token: weakref.ref[_Token]) -> None:
        """Keep the way to what it holds."""
        self._token = token

    @property
    def gone(self) -> bool:
        """Return whether it has ended, whether or not it ever began."""
        return self._token() is None

    def leave(self) -> None:
        """Wait until it is gone, having nothing more to do; one whose start was interrupted may never come."""
        for look in range(LATE):
            if self.gone:
                return
            time.sleep(0 if look < LATE // 2 else TICK / 100)


def start(threads: list[Thread], work: Callable[..., None], *arguments: Any) -> None:
    """Start a thread that does work(*arguments) and raises nothing; add it to `threads` before it can begin.

    Raises RuntimeError and MemoryError where the system starts none; it is then the last of `threads` all the same.
    """
    with _stack():
        _thread.start_new_thread(_with_token, (_held(threads), work, *arguments))


def _held(threads: list[Thread]) -> _Token:
    """Return the token of a thread to come: nobody but it holds the token, not even a frame that an exception keeps."""
    token = _Token()
    threads.append(Thread(weakref.ref(token)))
    return token


def _with_token(token: _Token, work: Callable[..., None], *arguments: Any) -> None:
    work(*arguments)
    del token


def fork_waits_for(lock: Any) -> Any:
    """Return the lock, which from now on is held, by who forks, while the process forks.

    A child has only the thread that forked. What another thread was about, with a lock taken, it finds so for ever.
    The hooks are methods in C: no step of Python is in them that a signal could interrupt. A handler that raises while
    one waits ends that wait, and Python forks all the same: so there are three of them, one behind the other.
    """
    for _ in range(3 if hasattr(os, "register_at_fork") else 0):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock._at_fork_reinit)
    _at_forks.append(lock)
    return lock


IMPORTS: Final[Any] = fork_waits_for(threading.RLock())
"""Held while modules are imported late."""
MATRICES: Final[Any] = fork_waits_for(threading.RLock())
"""Held while NumPy multiplies large matrices: its library has locks and threads of its own."""
_STACKS: Final[Any] = fork_waits_for(threading.RLock())


@contextlib.contextmanager
def _stack() -> Iterator[None]:
    """Let a thread that is started meanwhile have STACK bytes, where the process gives its threads fewer.

    Python has one size for all threads that start: only where it is too small for ours, it is another for this moment.
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
    """Return the bytes of stack that the next thread gets, as far as the process or the system says so."""
    size = int(_given_stack())
    if size or sys.platform == "win32":
        return size or STACK
    import resource

    limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return STACK if limit == resource.RLIM_INFINITY else limit


_given_stack: Final = ctypes.pythonapi.PyThread_get_stacksize
"""What `threading.stack_size` was last given; to ask that itself would set it to 0."""
_given_stack.restype = ctypes.c_size_t
