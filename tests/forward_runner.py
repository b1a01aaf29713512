"""Runs the forward-only Program of an exported model on the host, in scratch memory that held other values before."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
from kernel_runner import aligned

from layerline.compiler import jit
from layerline.compiler.calls import PREDICT_SCALARS, predict_pointers
from layerline.compiler.driver import write_module

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule
    from layerline.data.dataset import Scaling


def run(
    planned: Schedule, constants: np.ndarray, machine: Machine, scaling: Scaling, stored: np.ndarray, fill: float
) -> np.ndarray:
    """Return the probabilities of each image; `stored` in the order of the Program, scratch memory filled with `fill`
    before the first image."""
    function = jit.linked(jit.object_code(write_module(planned, machine), machine), machine, ["predict"])
    classes = next(b.size for op in planned.program.ops for b in op.buffers if b.name == "probabilities")
    probabilities = np.full((len(stored), classes), np.nan, np.float32)
    arrays: dict[str, Any] = {
        "arena": aligned(max(len(constants), 1), np.uint8),
        "scratch": aligned(-(-planned.scratch_bytes // 4), fill=fill),
        "images": np.ascontiguousarray(stored),
        "order": np.arange(len(stored)),
        "scale": np.array(scaling.scale, np.float32),
        "shift": np.array(scaling.shift, np.float32),
        "probabilities": probabilities,
    }
    arrays["arena"][: len(constants)] = constants
    pointers = predict_pointers(planned.program)
    types = [ctypes.c_void_p] * len(pointers) + [ctypes.c_int64] * len(PREDICT_SCALARS)
    function.function("predict", types)(*(arrays[name].ctypes.data for name in pointers), 0, len(stored))
    return probabilities
