"""The memory that training needs with the compiled engine, computed from the Programs before weights are allocated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.compiler import compilation
from layerline.compiler.dtype import DType
from layerline.compiler.kernels.step_lower import slots_of
from layerline.compiler.machine import host
from layerline.compiler.task import task_of
from layerline.engines.arena import memory_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerline.compiler.machine import Machine
    from layerline.compiler.task import Task
    from layerline.network import Network
    from layerline.recipe import Recipe

COPIES: Final = 4
"""Copies of the state during training: first, last, best, and one that is being written."""
_BYTES: Final = {"float32": 4, "int64": 8}


def training_bytes(network: Network, recipe: Recipe, threads: int) -> int:
    """Return the bytes that training on uint8 images (C, H, W) needs on this machine, without the images."""
    tasks = [
        task_of(recipe, training=training, source=DType.U8, channels_last=False, even_scaling=True)
        for training in (True, False)
    ]
    return needed(network, recipe, tasks, host(), threads)


def needed(network: Network, recipe: Recipe, tasks: Iterable[Task], machine: Machine, threads: int) -> int:
    """Return the bytes of the tasks' Programs and of the copies of the state."""
    programs = [compilation.plan(network, machine, task) for task in tasks]
    return sum(memory_of(each, threads) for each in programs) + COPIES * _state_bytes(network, recipe)


def _state_bytes(network: Network, recipe: Recipe) -> int:
    """Return the bytes of the weights and the optimizer state."""
    weights = {name: math.prod(w.shape) * _BYTES[w.dtype] for name, w in network.weights.items()}
    optimizer = sum(weights[name] * len(slots) for name, slots in slots_of(network, task_of(recipe)).items())
    return sum(weights.values()) + optimizer
