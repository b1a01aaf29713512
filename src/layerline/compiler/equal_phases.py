"""Phases that differ in nothing but the places of their buffers: they are one function of those places.

BatchNorm has four phases for each layer, and layers of the same shape have the same ones: of the 108 of a training of
resnet20, half are like another. With one function each, LLVM took 0.06 s of 0.97 longer (Zen 5, 2026-11-30).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.program import Per

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from layerline.compiler.program import Buffer, Phase, Schedule


@dataclass(frozen=True)
class EqualPhases:
    """Phases that are one function."""

    model: Phase
    """The first of them, which the function is written for."""
    moving: tuple[Buffer, ...]
    """The buffers of the model that are elsewhere in others."""
    places: dict[int, tuple[int, ...]]
    """The number of each phase, and its places of the moving buffers, in bytes."""


def kinds(schedule: Schedule) -> list[EqualPhases]:
    """Return the kinds of a Schedule's phases, in the order of their models."""
    alike: dict[Hashable, list[int]] = {}
    for number, phase in enumerate(schedule.phases):
        alike.setdefault(_pattern(schedule, phase), []).append(number)
    return [_kind(schedule, numbers) for numbers in alike.values()]


def _kind(schedule: Schedule, numbers: Sequence[int]) -> EqualPhases:
    every = {number: _buffers(schedule.phases[number]) for number in numbers}
    places = {number: [_place(schedule, buffer) for buffer in buffers] for number, buffers in every.items()}
    moving = [k for k, found in enumerate(zip(*places.values(), strict=True)) if len(set(found)) > 1]
    return EqualPhases(
        schedule.phases[numbers[0]],
        tuple(every[numbers[0]][k] for k in moving),
        {number: tuple(found[k] for k in moving) for number, found in places.items()},
    )


def _buffers(phase: Phase) -> list[Buffer]:
    return list(dict.fromkeys(buffer for op in phase.ops for buffer in op.buffers))


def _place(schedule: Schedule, buffer: Buffer) -> int:
    """Return the place in the arena or the scratch memory; 0 for the caller's memory, whose name is in the pattern."""
    return schedule.in_arena.get(buffer, schedule.in_scratch.get(buffer, 0))


def _pattern(schedule: Schedule, phase: Phase) -> Hashable:
    """Return all that the function of a phase depends on, except for the places of its buffers."""
    buffers = _buffers(phase)
    numbers = {buffer: number for number, buffer in enumerate(buffers)}
    ops = tuple((op.kernel, tuple(numbers[buffer] for buffer in op.buffers)) for op in phase.ops)
    facts = tuple((b.per, b.size, b.dtype, b in schedule.in_arena, _name(b)) for b in buffers)
    return phase.over, ops, facts


def _name(buffer: Buffer) -> str | None:
    """Return the name of a buffer that is addressed by it: the caller's, and the loss that ends a step."""
    return buffer.name if buffer.per in (Per.GIVEN, Per.POSITION) or buffer.name == "total" else None
