"""Ranks that are threads of this process: a training in several without any."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar, final

import numpy as np

from layerline.engines.ranks import Ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")


@final
class ThreadRanks(Ranks):
    """One of several threads that call the same, in the same order."""

    def __init__(self, rank: int, table: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.size, self.table, self.barrier = rank, len(table), table, barrier
        self.exchanged = 0
        """Arrays that were added up."""

    def add_up(self, arrays: Sequence[NDArray[Any]]) -> None:
        for array in arrays:
            self.exchanged += 1
            array[...] = np.sum(self._all(array.copy()), axis=0)

    def complete(self, array: NDArray[Any], bounds: Sequence[int]) -> None:
        for rank, other in enumerate(self._all(array.copy())):
            array[bounds[rank] : bounds[rank + 1]] = other[bounds[rank] : bounds[rank + 1]]

    def gathered(self, text: str) -> list[str]:
        return list(self._all(text))

    def leave(self) -> None:
        pass

    def _all(self, value: Any) -> list[Any]:
        """Return what each rank passes, by rank."""
        self.table[self.rank] = value
        self.barrier.wait(60)
        found = list(self.table)
        self.barrier.wait(60)
        return found


def together(size: int, work: Callable[[Ranks], T]) -> list[T]:
    """Return work(ranks) of each rank."""
    table, barrier = [None] * size, threading.Barrier(size)
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def one(rank: int) -> None:
        try:
            results[rank] = work(ThreadRanks(rank, table, barrier))
        except BaseException as error:  # raised again in the test
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return [results[rank] for rank in range(size)]
