"""A forward-only Program that any number of threads may run at once: each call has separate memory."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.compiler.calls import PREDICT_SCALARS, predict_pointers
from layerline.engines import float_mode
from layerline.engines.arena import Memory, aligned
from layerline.engines.interface import Outputs
from layerline.system.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.compiler.compilation import Compiled
    from layerline.data.dataset import ImageSet
    from layerline.network import Network

CHUNK: Final = 256
"""Maximum images that a thread processes at a time."""
WORK: Final = 1 << 30
"""Multiply-adds that a thread does between checks for a stop request: tens of milliseconds."""
FEW: Final = 1 << 24
"""Multiply-adds, or 16 times the pixels, of the images that count as few: less than a millisecond."""


@final
class Predictor:
    """Machine code that predicts, without the weights that it predicts with.

    Only its pool of scratch memory changes: each scratch is used by one thread at a time, and a call only writes to
    its own memory. So calls are safe in several threads, and in a signal handler in the middle of a call.
    """

    def __init__(
        self, code: Compiled, network: Network, threads: int, constants: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Prepare. constants: the arrays that kernels only read, by the name of the pointer they go to."""
        schedule = code.schedule
        if any(b in schedule.in_arena for op in schedule.program.ops for b in op.written):
            raise ValueError("a forward-only Program writes to its arena, which all calls share")
        self.compiled = code
        self.network, self.threads, self.constants = network, threads, dict(constants)
        self._chunk = min(CHUNK, max(schedule.program.group, WORK // max(1, network.multiply_adds)))
        self.few = max(1, min(self._chunk, FEW // (network.multiply_adds + 16 * math.prod(network.input_shape))))
        types = [ctypes.c_int64] * len(PREDICT_SCALARS)
        self.pointers = tuple(predict_pointers(schedule.program))
        self.function = code.code.function("predict", [ctypes.c_void_p] * len(self.pointers) + types)
        self._scratches: deque[NDArray[np.uint8]] = deque(maxlen=threads)

    def weighed(self, weights: dict[str, NDArray[np.float32]]) -> Memory:
        """Return a read-only arena with these weights."""
        memory = Memory(self.compiled)
        memory.put(weights)
        memory.arena.flags.writeable = False
        return memory

    def run(self, weights: Memory, images: ImageSet, indices: NDArray[np.int64]) -> Outputs:
        """Return the network's outputs for the images at `indices`. Raises StoppedError like Workers."""
        n = len(indices)
        outputs = Outputs.empty(n, self.network.classes)
        labels, probabilities, losses = images.labels, outputs.probabilities, outputs.losses
        self._write(weights, images, indices, {"labels": labels, "probabilities": probabilities, "losses": losses})
        return outputs

    def values(
        self, weights: Memory, images: ImageSet, indices: NDArray[np.int64], shape: tuple[int, ...] | None = None
    ) -> NDArray[np.float32]:
        """Return the last layer's values for the images at `indices`, float32 (N, *shape); for End.VALUES.

        shape: of all values of an image that the task observes; None: the last layer's.
        """
        outputs = np.empty((len(indices), *(self.network.nodes[-1].shape if shape is None else shape)), np.float32)
        self._write(weights, images, indices, {"values": outputs})
        return outputs

    def _write(
        self, weights: Memory, images: ImageSet, indices: NDArray[np.int64], outputs: Mapping[str, NDArray[Any]]
    ) -> None:
        """Write the outputs in several threads. Raises StoppedError like Workers."""
        n = len(indices)
        arrays: dict[str, NDArray[Any]] = {
            "arena": weights.arena,
            "images": images.images,
            "order": indices,
            **outputs,
            **self.constants,
        }
        starts = iter(range(0, n, self._chunk))

        def piece(scratch: NDArray[np.uint8], start: int) -> None:
            buffers = {**arrays, "scratch": scratch}  # this closure keeps alive what machine code writes to
            pointers = [buffers[name].ctypes.data for name in self.pointers]
            float_mode.in_ieee_mode(lambda: self.function(*pointers, start, min(start + self._chunk, n)))

        def work(thread: int) -> None:
            del thread
            scratch = self._scratch()
            for start in itertools.takewhile(lambda _: not workers.stopped, starts):  # each start is handed out once
                piece(scratch, start)
            self._scratches.append(scratch)

        workers = Workers(work, min(self.threads, -(-n // self._chunk)))
        if n <= self._chunk:
            work(0)  # so little work is done in this thread
        else:
            workers.run()

    def _scratch(self) -> NDArray[np.uint8]:
        """Return scratch memory for a thread: leftovers of earlier calls are overwritten, borders remain zero."""
        try:
            return self._scratches.pop()
        except IndexError:
            return aligned(self.compiled.schedule.scratch_bytes)
