"""Runs a Program on 8-bit values on this CPU: the reported accuracy is that of the code that is exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from layerline.compiler.compilation import compile_schedule
from layerline.compiler.machine import host
from layerline.compiler.schedule import schedule
from layerline.compiler.task import storage_of, task_of
from layerline.engines.arena import Memory
from layerline.engines.predictor import Predictor
from layerline.recipe import Recipe
from layerline.system.cores import cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from layerline.compiler.int8.int8_builder import Int8Program
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule
    from layerline.data.dataset import Scaling, Split
    from layerline.network import Network


def arena_of(planned: Schedule, program: Int8Program) -> NDArray[np.uint8]:
    """Return the contents of a Program's constant memory."""
    arena = np.zeros(planned.arena_bytes, np.uint8)
    for buffer, content in program.constants.items():
        if buffer in planned.in_arena:
            at, data = planned.in_arena[buffer], np.frombuffer(content.tobytes(), np.uint8)
            arena[at : at + len(data)] = data
    return arena


def probabilities(
    network: Network,
    scaling: Scaling,
    made: Callable[[Machine, bool], Int8Program],
    split: Split,
    machine: Machine | None = None,
) -> NDArray[np.float32]:
    """Return the probabilities of the images of a split, float32 (N, K).

    made: returns the Program for a machine and for images in H, W, C order or not. Its integers are the same for every
    machine; the last step, softmax in float32, may differ in its last bits.
    """
    machine = host() if machine is None else machine
    storage = storage_of(split.source.images, scaling)
    program = made(machine, storage["channels_last"])
    planned = schedule(program.program)
    compiled = compile_schedule(planned, machine, task_of(Recipe(), training=False, **storage))
    memory = Memory(compiled)
    memory.arena[:] = arena_of(planned, program)
    memory.arena.flags.writeable = False
    predictor = Predictor(compiled, network, cores(), {})
    return predictor.run(memory, split.source, split.indices).probabilities


def accuracy(found: NDArray[Any], split: Split) -> float:
    """Return the fraction of images whose most probable class is theirs."""
    return float((found.argmax(1) == split.labels).mean())
