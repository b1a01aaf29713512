"""Network → machine code: all stages in sequence."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler import code_cache, jit
from layerline.compiler.lifetimes import shared
from layerline.compiler.object_code import object_of
from layerline.compiler.optimized import optimized_program
from layerline.compiler.schedule import schedule

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule
    from layerline.compiler.task import Task
    from layerline.network import Network

CACHE_SIZE: Final = 8
"""Compiled networks cached per process, 2 MB each (resnet20), because a search or a cross-validation fits the same
network repeatedly; code on disk takes 0.01 s to schedule and link (benchmarks/estimator.py)."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """Machine code and its memory layout. It has no run state, so any number of engines may share it."""

    task: Task
    schedule: Schedule
    code: jit.Code


@functools.lru_cache(CACHE_SIZE)
def plan(network: Network, machine: Machine, task: Task) -> Schedule:
    """Return the network's Program in phases, with a place for each buffer; large predicting ones share places."""
    program = optimized_program(network, machine, task)
    return shared(program, machine) if program.group == 1 and not program.training else schedule(program)


def compile_network(network: Network, machine: Machine, task: Task) -> Compiled:
    """Return the network's machine code: for equal arguments the same object, also to threads that wait for it."""
    found = jit.alone(lambda: compiled_alone(network, machine, task))
    code_cache.report()  # here, because a filter may make it an exception
    return found


@functools.lru_cache(CACHE_SIZE)
def compiled_alone(network: Network, machine: Machine, task: Task) -> Compiled:
    """`compile_network` for a thread that has exclusive use of LLVM."""
    return compile_schedule(plan(network, machine, task), machine, task)


def compile_schedule(planned: Schedule, machine: Machine, task: Task) -> Compiled:
    """Return the machine code of a schedule, ready to be called."""
    code = object_of(planned, machine)
    return Compiled(task, planned, jit.linked(code, machine, ["train" if task.training else "predict"]))
