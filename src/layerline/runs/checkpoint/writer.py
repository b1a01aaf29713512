"""Writes checkpoints in a separate thread, so that training does not wait for the disk.

An epoch's row is in history.jsonl at once, before the epoch is reported. Its checkpoint follows: if epochs are faster
than the disk, one checkpoint covers several, and a newer snapshot replaces one that is waiting. Writing takes less than
a hundredth of the run's CPU time: the pause after a checkpoint is 99 times the CPU time that it took. What a killed
training reported after its newest checkpoint is recomputed, bit-identically.
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
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from layerline.runs.checkpoint.checkpoints import Checkpoints
    from layerline.runs.checkpoint.identity import Identity
    from layerline.runs.checkpoint.snapshot import Snapshot
    from layerline.runs.folder import RunFolder

REST: Final = 99
"""Seconds without writing per second of CPU time that writing took."""
_POLL: Final = 0.001
"""Seconds between checks whether the thread has ended."""
EVERY: Final = 300.0
"""Default seconds between snapshots within an epoch."""


@final
class CheckpointWriter:
    """Writes the newest snapshot offered, and the history rows of its epochs."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        identity: Identity,
        folder: RunFolder,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
        *,
        model: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; the first snapshot starts the thread.

        every: seconds until a snapshot within an epoch is due. model: see `Checkpoints.save`.
        """
        self._checkpoints, self._identity, self._folder, self._model = checkpoints, identity, folder, model
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
        """Write the rows of a snapshot's epochs, and queue the snapshot, which must not change afterwards.

        It is written as soon as the pause after the previous one is over.
        """
        self._check()
        self._offered = self._clock()
        self._attempt(HISTORY, lambda: self._folder.append(snapshot.history), f"{HISTORY} can be written again")
        self._waiting.append(snapshot)  # replaces one that is waiting
        self._news.put(None)
        if all(thread.gone for thread in self._threads):
            with contextlib.suppress(RuntimeError, MemoryError):  # no thread available: close() writes it
                start(self._threads, self._work)

    def due(self) -> bool:
        """Return whether it is time for a snapshot within the epoch."""
        return self._clock() - self._offered >= self._every

    def notes(self) -> list[str]:
        """Return a sentence for each failure or recovery since the last call; training can continue."""
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def close(self) -> None:
        """Write a waiting snapshot immediately, and end the thread."""
        self._end()
        self._check()
        while self._waiting:
            self._save(self._waiting.pop())

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the thread before the folder is unlocked; a waiting snapshot is written, except after an interrupt."""
        if error is None:
            self.close()
        elif not isinstance(error, Exception):
            self._waiting.clear()
        self._end()

    def _end(self) -> None:
        """Wait until the thread has ended; an exception raised meanwhile is raised afterwards."""
        late: BaseException | None = None
        while not self._closing or any(not thread.gone for thread in self._threads):
            try:
                self._closing = True
                self._news.put(None)
                time.sleep(_POLL)
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
        """Wait for the next snapshot to write and return it; None when closing and all are written."""
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
        again = f"{name_of(snapshot.position)} was written: checkpoints work again"
        self._attempt(CHECKPOINTS, lambda: self._checkpoints.save(snapshot, self._identity, self._model), again)

    def _attempt(self, what: str, write: Callable[[], object], again: str) -> None:
        """Write; note only the first of repeated failures, and `again` once everything works again."""
        failure = None
        try:
            write()
        except UserError as error:
            failure = self._folder.as_given(error).message
        if failure is None and what in self._failing:
            self._failing.remove(what)
            self._notes.extend([] if self._failing else [again])
        if failure is not None:
            intact = "" if self._folder.lost() else ", earlier checkpoints are intact"
            self._notes.extend([] if self._failing else [f"{failure}; training continues{intact}"])
            self._failing.add(what)
