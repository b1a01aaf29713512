"""The engine's side of compiler/exchanging.py: adds up sums over the ranks when machine code asks for it."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from layerline.compiler.program import Buffer
    from layerline.engines.arena import Memory
    from layerline.engines.ranks import Ranks

TYPES: Final[dict[DType, np.dtype[Any]]] = {DType.F32: np.dtype(np.float32), DType.F64: np.dtype(np.float64)}
_FUNCTION: Final = ctypes.CFUNCTYPE(None, ctypes.c_int)


@final
class Exchanger:
    """The exchanges of a training Program, by number.

    A request to stop travels with them, so that all ranks stop after the same step.
    """

    def __init__(self, memory: Memory, ranks: Ranks, stop: Callable[[], None]) -> None:
        """Prepare. stop: makes the machine code of this rank return after its current step."""
        self._exchanges = [
            _Sums(op.kernel.parts, op.buffers[1:], memory)
            for op in memory.code.schedule.program.ops
            if isinstance(op.kernel, Exchange)
        ]
        self._ranks, self._stop = ranks, stop
        self.stop_requested = False
        """Whether this rank asks all to return after the current step."""
        self._error: BaseException | None = None
        self._function = _FUNCTION(self._exchange)

    @property
    def address(self) -> int:
        """Return the address of the C function that machine code calls with the number of an exchange."""
        return ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def raise_any(self) -> None:
        """Raise what an exchange has raised: machine code cannot."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _exchange(self, number: int) -> None:
        if self._error is not None:
            return  # the step is lost; machine code is on its way out
        try:
            sums = self._exchanges[number]
            sums.take(float(self.stop_requested))
            self._ranks.add_up(list(sums.flat.values()))
            if sums.put():
                self._stop()
        except BaseException as error:  # raised in the thread that waits for the machine code
            self._error = error
            self._stop()


class _Sums:
    """The buffers of one exchange, and an array of each type that holds them while they are added up.

    Every exchange has numbers of float64. After them, one counts the ranks that ask to stop.
    """

    def __init__(self, parts: Sequence[tuple[int, DType]], buffers: Sequence[Buffer], memory: Memory) -> None:
        self.flat: dict[DType, NDArray[Any]] = {}
        self._copies: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        for wanted in dict.fromkeys(dtype for _, dtype in parts):
            flat = np.zeros(sum(n for n, dtype in parts if dtype is wanted) + (wanted is DType.F64), TYPES[wanted])
            at, self.flat[wanted] = 0, flat
            for (n, dtype), here, everywhere in zip(parts, buffers[: len(parts)], buffers[len(parts) :], strict=True):
                if dtype is wanted:
                    copied = (_view(memory, here, n), _view(memory, everywhere, n), flat[at : at + n])
                    self._copies.append(copied)
                    at += n

    def take(self, stop: float) -> None:
        """Copy this rank's sums, and whether it asks to stop."""
        self.flat[DType.F64][-1] = stop
        for here, _, place in self._copies:
            place[:] = here

    def put(self) -> bool:
        """Write the sums over all ranks; return whether one asks to stop."""
        for _, everywhere, place in self._copies:
            everywhere[:] = place
        return bool(self.flat[DType.F64][-1])


def _view(memory: Memory, buffer: Buffer, n: int) -> NDArray[Any]:
    at, dtype = memory.code.schedule.in_arena[buffer], TYPES[buffer.dtype]
    return memory.arena[at : at + n * dtype.itemsize].view(dtype)
