"""Runs an exported Program on this CPU, with the arithmetic of C and WebAssembly: no multiply-add is rounded once."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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


def probabilities(made: Forward, machine: Machine, scaling: Scaling, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the probabilities of each image, float32 (N, K): the bits of the exported code.

    machine: the one that the Program was made for; images: stored as the Program expects.
    """
    planned = made.schedule
    here = replace(host(), lanes=machine.lanes, registers=machine.registers, fma=False)
    compiled = compile_schedule(planned, here, task_of(Recipe(), training=False))
    classes = next(b.size for op in planned.program.ops for b in op.buffers if b.name == "probabilities")
    found = np.empty((len(images), classes), np.float32)
    arena, scratch = aligned(planned.arena_bytes), aligned(planned.scratch_bytes)
    arena[: len(made.constants)] = made.constants
    arrays: dict[str, NDArray[Any]] = {
        "arena": arena,
        "scratch": scratch,
        "images": np.ascontiguousarray(images),
        "order": np.arange(len(images)),
        "scale": np.array(scaling.scale, np.float32),
        "shift": np.array(scaling.shift, np.float32),
        "probabilities": found,
    }
    pointers = predict_pointers(planned.program)
    types = [ctypes.c_void_p] * len(pointers) + [ctypes.c_int64] * len(PREDICT_SCALARS)
    function = compiled.code.function("predict", types)
    addresses = [arrays[name].ctypes.data for name in pointers]
    float_mode.in_ieee_mode(lambda: function(*addresses, 0, len(images)))
    return found
