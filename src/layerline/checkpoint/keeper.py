"""Who writes the checkpoints: a thread of its own, so that training does not wait for the disk.

An epoch counts as finished, and is told and put into history.jsonl, when a checkpoint that holds it is on the disk (or
could not be written, which is said). Where epochs are faster than the disk, one checkpoint stands for several: the
newest snapshot takes the place of one that waits. The work of writing stays below a hundredth of the run: after a
checkpoint that took so much of a core, the next begins 99 times as long later.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self, final

from layerline.checkpoint.folder import name_of
from layerline.errors import UserError

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
        self._settled = 0
        self._notes: list[str] = []
        self._failing = False
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="layerline-checkpoints", daemon=True)
        self._thread.start()

    @property
    def settled(self) -> int:
        """Return how many finished epochs are kept."""
        return self._settled

    def offer(self, snapshot: Snapshot) -> None:
        """Hand over a snapshot, which is then no longer changed; it is written as soon as that may be."""
        self._check()
        self._offered = self._clock()
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
        """End the thread; after an error it ends only what it has begun, and the wish to stop now does not wait."""
        if error is None:
            self.close()
        with self._changed:
            self._waiting, self._closing = None, True
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
        """Write a snapshot, and the rows of its epochs in any case; say when that fails first, and works again."""
        note, failures = None, []
        for work in (
            lambda: self._checkpoints.save(snapshot, self._identity),
            lambda: self._folder.append(snapshot.history),
        ):
            try:
                work()
            except UserError as error:
                failures.append(error.message)
        if failures and not self._failing:
            note = f"{failures[0]}; the training goes on, what was kept before is whole"
        if self._failing and not failures:
            note = f"{name_of(snapshot.position)} is written: checkpoints work again"
        self._failing = bool(failures)
        with self._changed:
            self._settled = len(snapshot.history)
            self._notes += [] if note is None else [note]
