"""Ranks by torch.distributed, as torchrun starts them: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are set.

Arrays in memory go through gloo, tensors on a GPU through nccl. There is no authentication and no encryption: whoever
reaches the port can join or read, so it belongs on a private network.
"""

from __future__ import annotations

import datetime as dt
import os
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from layerline.engines.ranks import RankLostError, Ranks
from layerline.errors import UserError
from layerline.numbers import display
from layerline.system.cores import cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TIMEOUT: Final = 100.0
"""Seconds that a rank waits for the others in one exchange."""
LOOK: Final = 5.0
"""Seconds that a rank gives the others to answer, after an exchange has failed."""


@final
class TorchRanks(Ranks):
    """The ranks of this process's group."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        """Join the group that the environment describes. Raises UserError if the others do not come in time."""
        here = os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"])
        self.threads = max(1, cores() // int(here))
        self._timeout = dt.timedelta(seconds=timeout)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            self._store, self.rank, self.size = next(rendezvous("env://", timeout=self._timeout))
            self._store.set_timeout(self._timeout)
            distributed.init_process_group(
                backend, store=self._store, rank=self.rank, world_size=self.size, timeout=self._timeout
            )
        except (RuntimeError, ValueError) as error:
            raise UserError(_not_joined(error), _JOIN) from error

    def add_up(self, arrays: Sequence[Any]) -> None:
        """Replace each array or tensor by its sum over the ranks."""
        try:
            for array in arrays:
                distributed.all_reduce(array if isinstance(array, torch.Tensor) else torch.from_numpy(array))
        except RuntimeError as error:
            self._fail(error)

    def complete(self, array: NDArray[Any], bounds: Sequence[int]) -> None:
        """Fill an array of which each rank has some rows."""
        whole = torch.from_numpy(array)
        try:
            for rank in range(self.size):
                if bounds[rank] < bounds[rank + 1]:
                    distributed.broadcast(whole[bounds[rank] : bounds[rank + 1]], src=rank)
        except RuntimeError as error:
            self._fail(error)

    def gathered(self, text: str) -> list[str]:
        """Return the text of every rank."""
        found: list[str] = [""] * self.size
        try:
            distributed.all_gather_object(found, text)
        except RuntimeError as error:
            self._fail(error)
        return found

    def leave(self) -> None:
        """Leave the group; nothing can be exchanged after it."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def _fail(self, error: RuntimeError) -> NoReturn:
        """Raise RankLostError, naming the ranks that do not answer."""
        traceback.clear_frames(error.__traceback__)  # they hold the group, whose connections `leave` closes
        silent = self._silent()
        reason = _reason(error)
        if not silent:
            raise RankLostError(f"the exchange with the other ranks failed: {reason}", _RESUME) from error
        ranks = ", ".join(map(str, silent))
        what = f"rank {ranks} has ended" if len(silent) == 1 else f"ranks {ranks} have ended"
        raise RankLostError(
            f"{what} or no longer answers, so rank {self.rank} stops too ({reason})", _RESUME
        ) from error

    def _silent(self) -> list[int]:
        """Return the ranks that do not come to this place within LOOK seconds."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        try:
            self._store.set(f"layerline/here/{self.rank}", b"1")
            self.leave()  # those that wait for this rank then find out at once
            until = time.monotonic() + LOOK
            while time.monotonic() < until:
                others = [rank for rank in others if not self._store.check([f"layerline/here/{rank}"])]
                if not others:
                    break
                time.sleep(0.1)
        except RuntimeError:  # the store is in the process of rank 0, or of torchrun
            return [0] if self.rank else others
        return others


_JOIN: Final = (
    "start all of them with the same command: torchrun --nproc-per-node 2 -m layerline train …; "
    "on several machines with --nnodes and --rdzv-endpoint (docs/several-machines.md)"
)
_RESUME: Final = "its own output has the reason"


def _not_joined(error: BaseException) -> str:
    where = f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}"
    reason = _reason(error)
    return (
        f"rank {os.environ.get('RANK', '?')} of {os.environ.get('WORLD_SIZE', '?')} could not join at {where}: {reason}"
    )


def _reason(error: BaseException) -> str:
    """Return the first sentence of an error, without the place in the library's source."""
    line = str(error).splitlines()[0]
    return display.name(line[line.find("] ") + 1 :].strip().split(". ")[0], 200)
