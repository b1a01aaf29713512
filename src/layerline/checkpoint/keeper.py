"""Who writes the checkpoints: a thread of its own, so that training does not wait for the disk.

An epoch's row is in history.jsonl at once, before anybody is told of the epoch. Its checkpoint follows: where epochs
are faster than the disk, one checkpoint stands for several, and the newest snapshot takes the place of one that waits.
The work of writing stays below a hundredth of the run: after a checkpoint that took so much of a core, the next begins
99 times as long later. What a killed training told beyond its newest checkpoint is computed again, to the same bits.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self, final

from layerline.checkpoint.folder import name_of
from layerline.errors import UserError
from layerline.run_folder import CHECKPOINTS, HISTORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from layerline.checkpoint.folder import Checkpoints
    from layerline.checkpoint.identity import Identity
    from layerline.checkpoint.snapshot import Snapshot
    from layerline.run_folder import RunFolder

REST: Final = 99
"""Seconds without writing for each second of a core that writing took."""
EVERY: Final = 300.0
"""Seconds between snapshots within an epoch, where nothing else is asked for."""


@final
class Keeper:
    """Writes the newest snapshot it is offered, and the rows of its epochs."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        identity: Identity,
        folder: RunFolder,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the thread. every: seconds after which a snapshot within an epoch is due."""
        self._checkpoints, self._identity, self._folder = checkpoints, identity, folder
        self._every, self._clock = every, clock
        self._offered = clock()
        self._changed = threading.Condition()
        self._waiting: Snapshot | None = None
        self._closing = False
        self._notes: list[str] = []
        self._failing: set[str] = set()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="layerline-checkpoints", daemon=True)
        self._thread.start()

    def offer(self, snapshot: Snapshot) -> None:
        """Write the rows of its epochs, and hand over a snapshot, which is then no longer changed.

        It is written as soon as that may be.
        """
        self._check()
        self._offered = self._clock()
        self._attempt(HISTORY, lambda: self._folder.append(snapshot.history), f"{HISTORY} can be written again")
        with self._changed:
            self._waiting = snapshot
            self._changed.notify()

    def due(self) -> bool:
        """Return whether the last snapshot was offered so long ago that it is time for one within the epoch."""
        return self._clock() - self._offered >= self._every

    def notes(self) -> list[str]:
        """Return what went wrong since the last call, a sentence each: training can go on."""
        with self._changed:
            found, self._notes = self._notes, []
        return found

    def close(self) -> None:
        """Write what waits, at once, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._check()

    def __enter__(self) -> Self:
        """Return the keeper."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the thread, after an error too with what waits; only the wish to stop now does not wait for it."""
        if error is None:
            self.close()
        with self._changed:
            self._closing = True
            if not isinstance(error, Exception):
                self._waiting = None
            self._changed.notify()
        if isinstance(error, Exception):
            self._thread.join()  # before the folder is unlocked

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
        with self._changed:
            while not self._closing:
                left = rest_until - self._clock()
                if self._waiting is not None and left <= 0:
                    break
                self._changed.wait(left if left > 0 and self._waiting is not None else None)
            snapshot, self._waiting = self._waiting, None
            return snapshot

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
        with self._changed:
            if failure is None and what in self._failing:
                self._failing.remove(what)
                self._notes += [] if self._failing else [again]
            if failure is not None:
                whole = "" if self._folder.lost() else ", what was kept before is whole"
                self._notes += [] if self._failing else [f"{failure}; the training goes on{whole}"]
                self._failing.add(what)
