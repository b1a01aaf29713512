"""Buffers share memory by lifetime: the bits stay, whatever the memory held, in hardly more than the least memory."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from checked_kernels import given_room, integers
from checking_pen import CheckingPen
from forward_runner import run
from kernel_runner import aligned, image
from kernel_runner import run as run_kernel
from preset_shapes import SHAPES
from trained_like import drawn, images_of

from layerline.compiler.compilation import plan
from layerline.compiler.kernels.border import ClearBorder
from layerline.compiler.lifetimes import Life, least, lives, needed, placed, shared
from layerline.compiler.machine import Machine, named
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Buffer, Per
from layerline.compiler.schedule import schedule
from layerline.compiler.task import End, task_of
from layerline.export.forward import forward
from layerline.network.source import presets, read
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.compiler.program import Op, Program, Schedule
    from layerline.network import Network

NARROW: Final = [Machine("c99", "c99", "", lanes, 16, fma=False) for lanes in (1, 4)]


def program_of(network: Network, machine: Machine) -> Program:
    task = replace(task_of(Recipe(exact=True), training=False, even_scaling=False), end=End.PROBABILITIES)
    return plan(network, machine, task).program


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("seed", range(12))
def test_shared_memory_full_of_nan_gives_the_bits_of_separate_memory(seed: int, lanes: int) -> None:
    """Separate memory starts as zeros, shared memory as NaN, and each image finds what the last one left."""
    model, machine = drawn(seed), named("x86-64", lanes)
    x, scaling = images_of(model.network, 3), model.card.scaling
    made = forward(model, machine)
    apart = schedule(replace(made.schedule.program, group=1))
    apart = replace(apart, in_arena=made.schedule.in_arena, arena_bytes=made.schedule.arena_bytes)
    without = replace(apart, program=replace(apart.program, ops=tuple(_plain(apart))))
    expected = run(without, made.constants, machine, scaling, x, 0.0)
    found = run(made.schedule, made.constants, machine, scaling, x, np.nan)
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


def _plain(planned: Schedule) -> list[Op]:
    return [op for op in planned.program.ops if not isinstance(op.kernel, ClearBorder)]


@pytest.mark.parametrize("machine", NARROW, ids=["1 lane", "4 lanes"])
@pytest.mark.parametrize("preset", presets())
def test_presets_need_no_more_than_the_least(preset: str, machine: Machine) -> None:
    """At most 1.05 times the largest sum of what one op needs; resnet20 was at 1.67 MB."""
    planned = shared(program_of(read(preset, input_shape=SHAPES[preset], classes=10), machine), machine)
    assert planned.scratch_bytes <= 1.05 * least(lives(planned, needed(planned, machine)))
    if preset == "resnet20":
        assert planned.scratch_bytes < 214_000


@pytest.mark.parametrize("seed", range(40))
def test_no_two_buffers_that_meet_overlap(seed: int) -> None:
    """Lives are drawn at random; no op finds one buffer in another, and all lie within the end."""
    rng = Random(seed)
    alive = []
    for number in range(rng.randint(1, 25)):
        first = rng.randint(0, 20)
        buffer = Buffer(f"b{number}", 1, Per.IMAGE)
        alive.append(Life(buffer, 4 * rng.randint(1, 50), first, first + rng.choice((0, 1, 1, 2, 9))))
    places, end = placed(alive)
    for one in alive:
        assert 0 <= places[one.buffer] <= end - one.size
        for other in alive:
            apart = (
                places[one.buffer] + one.size <= places[other.buffer]
                or places[other.buffer] + other.size <= places[one.buffer]
            )
            assert one is other or apart or not one.meets(other)
    assert least(alive) <= end <= 1.3 * least(alive)


@pytest.mark.parametrize("machine", NARROW, ids=["1 lane", "4 lanes"])
def test_no_kernel_leaves_the_memory_that_a_buffer_keeps(machine: Machine) -> None:
    """Of one image: at one lane to the element, at four with one vector more."""
    networks = [read(name, input_shape=SHAPES[name], classes=10) for name in presets()]
    for network in [*networks, *(drawn(seed).network for seed in range(30))]:
        planned = shared(program_of(network, machine), machine)
        sizes = needed(planned, machine)
        for op in {op.kernel: op for op in planned.program.ops}.values():
            rooms = {}
            for name, buffer in zip(op.kernel.arguments, op.buffers, strict=True):
                if buffer.per is Per.GIVEN:
                    rooms[name] = given_room(op.kernel, buffer.name)
                else:
                    rooms[name] = sizes[buffer] // buffer.dtype.bytes if buffer in sizes else buffer.size
            pen = CheckingPen(machine, op.kernel, rooms, {"images": 1}, {**integers(op.kernel), "order": _first})
            op.kernel.write(pen)
            assert pen.accesses > 0


def _first(_: object) -> np.ndarray:
    return np.array([0])


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("plane", [Plane(5, 4, 7, 1, 2, 0, 1), Plane(3, 1, 1, 1, 1, 1, 1), Plane(2, 3, 2, 0, 1, 2, 0)])
def test_a_border_is_cleared_and_nothing_else(plane: Plane, lanes: int) -> None:
    """In memory full of NaN: the border and the tail become zero, the image and what follows stay NaN."""
    machine, kernel = named(lanes=lanes), ClearBorder(plane, 3)
    memory = aligned(2 * capacity(plane.size))
    run_kernel(kernel, machine, {"y": memory}, images=2)
    expected = np.full((2, capacity(plane.size)), np.nan, np.float32)
    expected[:, : plane.size + 3] = 0
    image(plane, 2).values(expected.reshape(-1))[...] = np.nan
    np.testing.assert_array_equal(memory, expected.reshape(-1))
