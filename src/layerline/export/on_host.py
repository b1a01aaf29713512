"""Runs an exported Program on this CPU, with the arithmetic of C and WebAssembly: no multiply-add is rounded once."""

from __future__ import annotations

import ctypes
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.compiler.calls import PREDICT_SCALARS, predict_pointers
from layerline.compiler.compilation import compile_schedule
from layerline.compiler.machine import host
from layerline.compiler.task import task_of
from layerline.engines import float_mode
from layerline.engines.arena import aligned
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.compiler.machine import Machine
    from layerline.data.dataset import Scaling
    from layerline.export.forward import Forward

_MEASURED: Final = 0.02
"""Seconds that measuring a Program may take, or one run."""


@final
class HostProgram:
    """An exported Program as machine code; one thread at a time may run it."""

    def __init__(self, made: Forward, machine: Machine, scaling: Scaling) -> None:
        """Compile. machine: the one that the Program was made for."""
        planned = made.schedule
        here = replace(host(), lanes=machine.lanes, registers=machine.registers, fma=False)
        compiled = compile_schedule(planned, here, task_of(Recipe(), training=False))
        self.classes = next(b.size for op in planned.program.ops for b in op.buffers if b.name == "probabilities")
        self.pointers = tuple(predict_pointers(planned.program))
        types = [ctypes.c_void_p] * len(self.pointers) + [ctypes.c_int64] * len(PREDICT_SCALARS)
        self.function = compiled.code.function("predict", types)
        self.arrays: dict[str, NDArray[Any]] = {
            "arena": aligned(planned.arena_bytes),
            "scratch": aligned(planned.scratch_bytes),
            "scale": np.array(scaling.scale, np.float32),
            "shift": np.array(scaling.shift, np.float32),
        }
        self.arrays["arena"][:] = made.constants

    def probabilities(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities of each image, float32 (N, K): the bits of the exported code.

        images: stored as the Program expects.
        """
        found = np.empty((len(images), self.classes), np.float32)
        given = {"images": np.ascontiguousarray(images), "order": np.arange(len(images)), "probabilities": found}
        arrays = {**self.arrays, **given}
        addresses = [arrays[name].ctypes.data for name in self.pointers]
        float_mode.in_ieee_mode(lambda: self.function(*addresses, 0, len(images)))
        return found

    def seconds(self, images: NDArray[Any]) -> float:
        """Return the seconds that one image takes: of a few runs the fastest."""
        times: list[float] = []
        while sum(times) < _MEASURED:
            begin = time.perf_counter()
            self.probabilities(images)
            times.append(time.perf_counter() - begin)
        return min(times) / len(images)
