"""Who writes the checkpoints: a thread of its own, so that training does not wait for the disk.

An epoch's row is in history.jsonl at once, before anybody is told of the epoch. Its checkpoint follows: where epochs
are faster than the disk, one checkpoint stands for several, and the newest snapshot takes the place of one that waits.
The work of writing stays below a hundredth of the run: after a checkpoint that took so much of a core, the next begins
99 times as long later. What a killed training told beyond its newest checkpoint is computed again, to the same bits.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Self, final

from layerline.errors import UserError
from layerline.runs.checkpoint.checkpoints import name_of
from layerline.runs.names import CHECKPOINTS, HISTORY
from layerline.system.workers import Thread, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from layerline.runs.checkpoint.checkpoints import Checkpoints
    from layerline.runs.checkpoint.identity import Identity
    from layerline.runs.checkpoint.snapshot import Snapshot
    from layerline.runs.folder import RunFolder

REST: Final = 99
"""Seconds without writing for each second of a core that writing took."""
_LOOK: Final = 0.001
"""Seconds between two looks at whether the thread has ended."""
EVERY: Final = 300.0
"""Seconds between snapshots within an epoch, where nothing else is asked for."""


@final
class CheckpointWriter:
    """Writes the newest snapshot it is offered, and the rows of its epochs."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        identity: Identity,
        folder: RunFolder,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the thread starts with the first snapshot. every: seconds until one within an epoch is due."""
        self._checkpoints, self._identity, self._folder = checkpoints, identity, folder
        self._every, self._clock = every, clock
        self._offered = clock()
        self._waiting: deque[Snapshot] = deque(maxlen=1)
        self._closing = False
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._notes: deque[str] = deque()
        self._failing: set[str] = set()
        self._failed: BaseException | None = None
        self._threads: list[Thread] = []

    def offer(self, snapshot: Snapshot) -> None:
        """Write the rows of its epochs, and hand over a snapshot, which is then no longer changed.

        It is written as soon as that may be.
        """
        self._check()
        self._offered = self._clock()
        self._attempt(HISTORY, lambda: self._folder.append(snapshot.history), f"{HISTORY} can be written again")
        self._waiting.append(snapshot)  # in place of one that waits
        self._news.put(None)
        if all(thread.gone for thread in self._threads):
            with contextlib.suppress(RuntimeError, MemoryError):  # no thread to be had: written later, by who closes
                start(self._threads, self._work)

    def due(self) -> bool:
        """Return whether the last snapshot was offered so long ago that it is time for one within the epoch."""
        return self._clock() - self._offered >= self._every

    def notes(self) -> list[str]:
        """Return what went wrong since the last call, a sentence each: training can go on."""
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def close(self) -> None:
        """Write what waits, at once, and end the thread."""
        self._end()
        self._check()
        while self._waiting:
            self._save(self._waiting.pop())

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the thread before the folder is unlocked, after an error too with what waits, but where it says stop."""
        if error is None:
            self.close()
        elif not isinstance(error, Exception):
            self._waiting.clear()
        self._end()

    def _end(self) -> None:
        """Return when the thread has ended; what is raised meanwhile is raised then."""
        late: BaseException | None = None
        while not self._closing or any(not thread.gone for thread in self._threads):
            try:
                self._closing = True
                self._news.put(None)
                time.sleep(_LOOK)
            except BaseException as error:
                late = error
        if late is not None:
            raise late

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _work(self) -> None:
        try:
            rest_until = self._clock()
            while (snapshot := self._next(rest_until)) is not None:
                began = time.thread_time()
                self._save(snapshot)
                rest_until = self._clock() + REST * (time.thread_time() - began)
        except BaseException as error:  # raised again in the thread that offers or closes
            self._failed = error

    def _next(self, rest_until: float) -> Snapshot | None:
        """Return the next snapshot to write, waiting for it; None when all is written and there will be no other."""
        while not self._closing:
            left = rest_until - self._clock()
            if self._waiting and left <= 0:
                break
            with contextlib.suppress(queue.Empty):
                self._news.get(timeout=left if self._waiting else None)
        try:
            return self._waiting.pop()
        except IndexError:
            return None

    def _save(self, snapshot: Snapshot) -> None:
        again = f"{name_of(snapshot.position)} is written: checkpoints work again"
        self._attempt(CHECKPOINTS, lambda: self._checkpoints.save(snapshot, self._identity), again)

    def _attempt(self, what: str, write: Callable[[], object], again: str) -> None:
        """Write; of what fails for the same reason the first is said, and by `again` when everything works again."""
        failure = None
        try:
            write()
        except UserError as error:
            failure = self._folder.as_given(error).message
        if failure is None and what in self._failing:
            self._failing.remove(what)
            self._notes.extend([] if self._failing else [again])
        if failure is not None:
            whole = "" if self._folder.lost() else ", what was kept before is whole"
            self._notes.extend([] if self._failing else [f"{failure}; the training goes on{whole}"])
            self._failing.add(what)
