"""A Program whose kernels measure their own time.

    op(buffers…)  →  timed op(buffers…, ticks of this op, one sum per thread)

Nothing else changes: phases, memory and results are those of the Program that trains.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from layerline.compiler.compilation import compile_schedule, plan
from layerline.compiler.dtype import DType
from layerline.compiler.kernels.timed import Timed
from layerline.compiler.program import Buffer, Op, Per
from layerline.compiler.schedule import schedule

if TYPE_CHECKING:
    from layerline.compiler.compilation import Compiled
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Program
    from layerline.compiler.task import Task
    from layerline.network import Network


def timed(program: Program) -> Program:
    """Return a Program in which every kernel is timed."""
    ops = [
        Op(Timed(op.kernel), (*op.buffers, Buffer(f"ticks{k}", 1, Per.THREAD, DType.I64)))
        for k, op in enumerate(program.ops)
    ]
    return replace(program, ops=tuple(ops))


def compile_timed(network: Network, machine: Machine, task: Task) -> Compiled:
    """Return the machine code of a network whose kernels are timed."""
    planned = plan(network, machine, task)
    return compile_schedule(schedule(timed(planned.program)), machine, task)
