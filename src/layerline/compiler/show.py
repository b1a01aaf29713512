"""The output of `layerline engine show`: each compilation stage as text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from layerline.compiler.build import build
from layerline.compiler.compilation import plan
from layerline.compiler.driver import write_module
from layerline.compiler.lifetimes import shared
from layerline.compiler.machine import named, target
from layerline.compiler.optimized import optimized_program
from layerline.compiler.program import Per
from layerline.compiler.task import End, task_of
from layerline.errors import UserError
from layerline.numbers.display import count, counted, size
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Buffer, Op, Program, Schedule
    from layerline.compiler.task import Task
    from layerline.network import Network

_PREDICTING: Final = replace(task_of(Recipe(exact=True), training=False), end=End.PROBABILITIES)
"""For machines that cannot train: the task of an export."""
STAGES: Final = ("plan", "program", "llvm", "asm")


def show(
    network: Network,
    recipe: Recipe,
    stage: str = "plan",
    *,
    cpu: str | None = None,
    to: str | None = None,
    lanes: int | None = None,
    training: bool = True,
) -> str:
    """Return a stage as text: the phases with their kernels, all ops with their buffers, LLVM IR, or assembly.

    cpu: a CPU of the host's family; to: a machine of any; default: the host. One that cannot train gets the Program of
    an export, which predicts one image at a time. Raises UserError for an unknown stage, CPU or target, NetworkError
    for a layer without kernels.
    """
    from layerline.compiler import jit

    if stage not in STAGES:
        raise UserError(f"--stage {stage}: unknown stage", "one of: " + ", ".join(STAGES))
    if cpu is not None and to is not None:
        raise UserError("--cpu and --target: both specified", "omit one; --target is for other kinds of machines")
    machine = named(cpu, lanes) if to is None else target(to, lanes)
    task = task_of(recipe, training=training) if machine.target.trains else _PREDICTING
    if stage == "program":
        return program_text(network, machine, task)
    alone = not machine.target.trains
    schedule = shared(optimized_program(network, machine, task), machine) if alone else plan(network, machine, task)
    if stage == "plan":
        return plan_text(network, machine, schedule)
    text = write_module(schedule, machine)
    return jit.optimized_text(text, machine) if stage == "llvm" else jit.assembly(text, machine)


def plan_text(network: Network, machine: Machine, schedule: Schedule) -> str:
    """Return the phases, the kernels of each, and the memory."""
    program = schedule.program
    name = machine.triple.partition("-")[0] if machine.cpu == "generic" else machine.cpu
    lines = [f"{network.name} on {name}: {counted(machine.lanes, 'lane')}, {machine.registers} registers"]
    if program.training:
        lines.append(
            f"batch {count(program.batch_size)}: {counted(program.shards, 'shard')} of "
            f"{counted(program.shard_size, 'image')}, {count(program.group)} at a time"
        )
    for number, phase in enumerate(schedule.phases, 1):
        lines += ["", f"phase {number}, over {phase.over.value}"]
        lines += [f"  {_call(op)}" for op in phase.ops]
    arena, scratch = size(schedule.arena_bytes), size(schedule.scratch_bytes)
    lines += ["", f"memory: {arena} for all threads, {scratch} for each"]
    return "\n".join(lines) + "\n"


def _call(op: Op) -> str:
    slices = op.kernel.slices
    return op.kernel.symbol + (f"  ({slices} slices)" if slices and slices > 1 else "")


def program_text(network: Network, machine: Machine, task: Task) -> str:
    """Return the Program before and after the passes, op by op with their buffers."""
    plain, schedule = build(network, machine, task), plan(network, machine, task)
    return "\n".join(["# before passes", *_ops(plain), "", "# after passes", *_ops(schedule.program), ""])


def _ops(program: Program) -> list[str]:
    lines = []
    for op in program.ops:
        reads, writes = (", ".join(map(_buffer, some)) for some in (op.read, op.written))
        lines += [op.kernel.symbol, f"    {reads} → {writes}"]
    return lines


def _buffer(buffer: Buffer) -> str:
    if buffer.per in (Per.GIVEN, Per.POSITION):
        return buffer.name
    of = "" if buffer.per == Per.ONCE else f" per {buffer.per.value}"
    return f"{buffer.name}[{buffer.size} {buffer.dtype.value}{of}]"
