"""The forward-only Program of an exported model, with the contents of its constant memory."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from layerline.compiler.dtype import DType
from layerline.compiler.folding import folded_weights
from layerline.compiler.lifetimes import shared
from layerline.compiler.optimized import optimized_program
from layerline.compiler.task import End, task_of
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule
    from layerline.export.subject import Subject

_EXACT = Recipe(exact=True)
"""Transformed filters would take up to four times the memory of the weights."""


@dataclass(frozen=True, eq=False)
class Forward:
    """A Program that computes the probabilities of one image at a time."""

    schedule: Schedule
    constants: NDArray[np.uint8]
    """The arena, which holds the parameters and which no kernel writes to."""


def forward(subject: Subject, machine: Machine, source: DType = DType.U8, *, channels_last: bool = False) -> Forward:
    """Return the Program of a model for a machine; images are (C, H, W) or (H, W, C), of the type `source`."""
    network, scaling = subject.network.unfrozen, subject.card.scaling
    even = len(set(zip(scaling.scale, scaling.shift, strict=True))) == 1
    task = task_of(_EXACT, training=False, source=source, channels_last=channels_last, even_scaling=even)
    program = optimized_program(network, machine, dataclasses.replace(task, end=End.PROBABILITIES))
    planned = shared(program, machine)
    constants = np.zeros(planned.arena_bytes, np.uint8)
    folded = folded_weights(network, subject.weights)
    for tensor in program.tensors:
        for buffer, layout in tensor.homes:
            if buffer in planned.in_arena:
                at = planned.in_arena[buffer]
                floats = constants[at : at + DType.F32.bytes * layout.size].view(np.float32)
                floats[:] = layout.pack(folded[tensor.name])
    return Forward(planned, constants)
