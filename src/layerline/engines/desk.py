"""Prediction of a few images in the caller's thread, with memory that is kept between calls.

Allocating everything that machine code needs takes longer than a small network takes for one image. A signal that
arrives meanwhile is handled when the machine code has returned: after less than a millisecond, or one image.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, final

import numpy as np

from layerline.compiler.dtype import DType
from layerline.engines import float_mode
from layerline.engines.arena import aligned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.engines.arena import Memory
    from layerline.engines.predictor import Predictor


@final
class Desk:
    """Everything that a call for a few images reads and writes, for one call at a time.

    images: memory for at most `predictor.few` images (N, C, H, W), written by the caller before each call. Copying into
    it accepts any memory layout of the source.
    """

    def __init__(self, predictor: Predictor, weights: Memory) -> None:
        """Allocate."""
        n, (C, H, W) = predictor.few, predictor.network.input_shape
        task, dtype = predictor.compiled.task, np.uint8 if predictor.compiled.task.source is DType.U8 else np.float32
        stored = np.empty((n, H, W, C) if task.channels_last else (n, C, H, W), dtype)
        self.images: NDArray[Any] = stored.transpose(0, 3, 1, 2) if task.channels_last else stored
        self._probabilities = np.empty((n, predictor.network.classes), np.float32)
        self._arrays: dict[str, NDArray[Any]] = {
            **predictor.constants,
            "arena": weights.arena,
            "scratch": aligned(predictor.compiled.schedule.scratch_bytes),
            "images": stored,
            "order": np.arange(n, dtype=np.int64),
            "labels": np.zeros(n, np.int32),
            "probabilities": self._probabilities,
            "losses": np.empty(n),
        }
        self._pointers = [self._arrays[name].ctypes.data for name in predictor.pointers]
        self._predictor = predictor

    def probabilities(self, n: int) -> NDArray[np.float32]:
        """Return the probabilities of the first `n` images, float32 (n, K)."""
        float_mode.in_ieee_mode(lambda: self._predictor.function(*self._pointers, 0, n))
        return self._probabilities[:n].copy()


@final
class Desks:
    """A pool of desks for a network with its weights, from which each call takes one for itself.

    So calls are safe in several threads, and in a signal handler in the middle of another call. If the handler raises,
    the machine code has already returned, and only the desk is lost.
    """

    def __init__(self, predictor: Predictor, weights: Memory) -> None:
        """Prepare; desks are made when they are needed."""
        self._predictor, self._weights = predictor, weights
        self._free: deque[Desk] = deque(maxlen=predictor.threads)

    def probabilities(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities of at most `few` images (N, C, H, W) in any memory layout, float32 (N, K)."""
        desk = self.take()
        n = len(images)
        desk.images[:n] = images
        found = desk.probabilities(n)
        self._free.append(desk)
        return found

    def take(self) -> Desk:
        """Return a desk for the caller alone."""
        try:
            return self._free.pop()
        except IndexError:
            return Desk(self._predictor, self._weights)
