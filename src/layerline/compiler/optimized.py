"""Network → Program, optimized."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from layerline.compiler.build import build
from layerline.compiler.exchanging import exchanging
from layerline.compiler.passes import optimize

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Program
    from layerline.compiler.task import Task
    from layerline.network import Network

CACHED: Final = 8
"""Programs cached per process: as many as have cached code."""


@functools.lru_cache(CACHED)
def optimized_program(network: Network, machine: Machine, task: Task) -> Program:
    """Return the network's Program after all passes."""
    program = build(network, machine, task)
    if task.exchanges:
        program = exchanging(program)
    return optimize(program, machine, fuse_updates=task.fuse_updates, exact=task.exact)
