"""Phases that are one function: called with a phase's places, it does what that phase does."""

from __future__ import annotations

import pytest
from preset_shapes import SHAPES

from layerline.compiler.compilation import plan
from layerline.compiler.equal_phases import kinds
from layerline.compiler.kernel import Over
from layerline.compiler.kernels.sum import Sum
from layerline.compiler.machine import named
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Buffer, Op, Per, Phase, Program, Schedule
from layerline.compiler.task import task_of
from layerline.network.source import presets, read
from layerline.recipe import Recipe


def scheduled(preset: str) -> Schedule:
    """Return a training by Muon, which has the most phases."""
    network = read(preset, input_shape=SHAPES[preset], classes=10)
    return plan(network, named(), task_of(Recipe(optimizer="muon", momentum=0.95, batch_size=64)))


def where(schedule: Schedule, buffer: Buffer) -> tuple[str, int | str]:
    """Return the memory of a buffer, and its place there, or its name."""
    if buffer.per in (Per.GIVEN, Per.POSITION):
        return "caller", buffer.name
    if buffer in schedule.in_arena:
        return "arena", schedule.in_arena[buffer]
    return "scratch", schedule.in_scratch[buffer]


@pytest.mark.parametrize("preset", presets())
def test_the_model_with_a_phase_s_places_is_that_phase(preset: str) -> None:
    """Every phase is of one kind. The same kernels get the same addresses, however many of a call's are equal."""
    schedule = scheduled(preset)
    found = kinds(schedule)
    assert sorted(number for kind in found for number in kind.places) == list(range(len(schedule.phases)))
    for kind in found:
        for number, places in kind.places.items():
            moved, phase = dict(zip(kind.moving, places, strict=True)), schedule.phases[number]
            assert phase.over is kind.model.over
            assert [op.kernel for op in phase.ops] == [op.kernel for op in kind.model.ops]
            for op, like in zip(phase.ops, kind.model.ops, strict=True):
                for own, written in zip(op.buffers, like.buffers, strict=True):
                    memory, place = where(schedule, written)
                    assert where(schedule, own) == (memory, moved.get(written, place))
                    assert (own.per, own.size, own.dtype) == (written.per, written.size, written.dtype)


def test_phases_with_other_memory_are_others() -> None:
    """Addresses are told apart by number alone: neither a phase whose calls share other arguments, nor one whose
    buffers are in the scratch memory, may be one of those."""
    plane = Plane(16, 2, 2)
    calls = {"abc abd": "arena", "efg feh": "arena", "ijk ijl": "scratch", "mno mnp": "arena"}
    buffers = {n: Buffer(n, capacity(plane.size), Per.IMAGE, plane=plane) for n in "abcdefghijklmnop"}
    places: dict[str, dict[Buffer, int]] = {"arena": {}, "scratch": {}}
    phases = []
    for names, memory in calls.items():
        ops = [Op(Sum(plane, plane, plane), tuple(buffers[n] for n in call)) for call in names.split()]
        places[memory].update({b: 64 * ord(b.name) for op in ops for b in op.buffers})
        phases.append(Phase(tuple(ops), Over.IMAGES))
    program = Program(tuple(op for phase in phases for op in phase.ops), (), True, 4, 4, 1)
    found = kinds(Schedule(program, tuple(phases), places["arena"], places["scratch"], 0, 0))
    assert [sorted(kind.places) for kind in found] == [[0, 3], [1], [2]]


def test_layers_of_a_shape_share_their_phases() -> None:
    """resnet20 has three stages, each with six equal convolutions and BatchNorms."""
    schedule = scheduled("resnet20")
    assert len(kinds(schedule)) <= len(schedule.phases) / 2
