"""Network → machine code, all stages in a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler import jit
from layerline.compiler.build import build
from layerline.compiler.driver import write_module
from layerline.compiler.passes import optimise
from layerline.compiler.schedule import schedule

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule
    from layerline.compiler.task import Task
    from layerline.network import Network


@dataclass(frozen=True, eq=False)
class Compiled:
    """Machine code, and where it wants its memory."""

    task: Task
    schedule: Schedule
    code: jit.Code


def plan(network: Network, machine: Machine, task: Task) -> Schedule:
    """Return the network's Program, optimised and cut into phases."""
    program = optimise(build(network, machine, task), machine, fuse_updates=task.fuse_updates)
    return schedule(program)


def compile_network(network: Network, machine: Machine, task: Task) -> Compiled:
    """Return the network's machine code."""
    planned = plan(network, machine, task)
    return Compiled(task, planned, jit.compile_text(write_module(planned, machine), machine))
