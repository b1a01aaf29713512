"""Network → machine code, all stages in a row."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler import jit
from layerline.compiler.build import build
from layerline.compiler.driver import write_module
from layerline.compiler.passes import optimize
from layerline.compiler.schedule import schedule

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule
    from layerline.compiler.task import Task
    from layerline.network import Network

KEPT: Final = 8
"""So many networks' machine code is kept in the process for who asks again, up to 24 MB each (resnet20): a search or a
cross-validation fits one network again and again. Five folds of a small one on digits take 0.88 s instead of 3.42 s,
scikit-learn's checks of an estimator 7.4 s instead of 19 s (benchmarks/estimator.py: medians of seven pairs, two cores
of an AMD EPYC, Zen 4, beside other work, 2026-11-23)."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """Machine code, and where it wants its memory. It holds nothing of a run: any number of engines may share it."""

    task: Task
    schedule: Schedule
    code: jit.Code


@functools.lru_cache(KEPT)
def plan(network: Network, machine: Machine, task: Task) -> Schedule:
    """Return the network's Program, optimized and cut into phases."""
    program = optimize(build(network, machine, task), machine, fuse_updates=task.fuse_updates)
    return schedule(program)


def compile_network(network: Network, machine: Machine, task: Task) -> Compiled:
    """Return the network's machine code; that of the last few is kept, and is the same object for equal arguments.

    Threads that ask for the same at once wait for one compilation.
    """
    return jit.alone(lambda: compiled_alone(network, machine, task))


@functools.lru_cache(KEPT)
def compiled_alone(network: Network, machine: Machine, task: Task) -> Compiled:
    """Return what `compile_network` does; for a thread that has LLVM alone."""
    return compile_schedule(plan(network, machine, task), machine, task)


def compile_schedule(planned: Schedule, machine: Machine, task: Task) -> Compiled:
    """Return the machine code of a Program that is planned."""
    return Compiled(task, planned, jit.compile_text(write_module(planned, machine), machine))
