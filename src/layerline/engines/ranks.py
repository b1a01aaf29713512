"""The processes that train one model together, each with its part of every batch: what an engine needs of the others.

A rank is a process, numbered from 0. TorchRanks are those of torch.distributed; ALONE is the usual case: one process.
All methods are collective: every rank calls them in the same order, and waits for the others.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class RankLostError(UserError):
    """Another rank has ended or no longer answers, so this one cannot continue."""


class Ranks(abc.ABC):
    """The ranks of a training, seen from one of them."""

    rank: int = 0
    """The number of this one."""
    size: int = 1
    """How many there are."""
    threads: int | None = None
    """The threads of this one by default; None: all cores."""

    @abc.abstractmethod
    def add_up(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Replace each array by its sum over the ranks; all ranks get the same bits."""

    @abc.abstractmethod
    def complete(self, array: NDArray[Any], bounds: Sequence[int]) -> None:
        """Fill an array of which rank r has computed rows bounds[r] … bounds[r + 1] − 1."""

    @abc.abstractmethod
    def leave(self) -> None:
        """Leave the others; nothing is collective after it."""

    @abc.abstractmethod
    def gathered(self, text: str) -> list[str]:
        """Return the text of every rank, by rank."""

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank."""
        if self.size == 1:
            return flag
        found = np.array([flag], np.int64)
        self.add_up([found])
        return bool(found[0])

    def largest(self, number: float) -> float:
        """Return the largest of the ranks' numbers."""
        return max(map(float, self.gathered(repr(number))))

    def first(self, text: str) -> str:
        """Return the text of rank 0."""
        return self.gathered(text)[0]

    def part(self, items: int, multiple: int = 1) -> tuple[int, int]:
        """Return the first of this rank's items, and the first of the next rank's."""
        bounds = self.bounds(items, multiple)
        return bounds[self.rank], bounds[self.rank + 1]

    def bounds(self, items: int, multiple: int = 1) -> list[int]:
        """Return where each rank's items begin, and the end: consecutive, and of the most equal number.

        multiple: of which the number is, except at the end.
        """
        whole, more = divmod(-(-items // multiple), self.size)
        return [min(items, multiple * (r * whole + min(r, more))) for r in range(self.size + 1)]


@final
class _Alone(Ranks):
    """One process: it has everything already."""

    def add_up(self, arrays: Sequence[NDArray[Any]]) -> None:
        del arrays

    def complete(self, array: NDArray[Any], bounds: Sequence[int]) -> None:
        del array, bounds

    def gathered(self, text: str) -> list[str]:
        return [text]

    def leave(self) -> None:
        pass


ALONE: Final[Ranks] = _Alone()
