"""Nothing that was in memory before is in a result: not what an allocator hands out, not what a NaN has left.

Beside the state of a training, a Program needs zeros in three places alone: around an image, where a convolution reads
its padding; behind the inputs of FC, up to a whole vector; in the outputs of a convolution that no window of its pool
takes in, on the way back. All other memory may hold any bits.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from random_networks import draw
from test_compiler import EVERY_LAYER
from test_spec import RECIPES
from test_vocabulary import EVERYTHING

from layerline.compiler.kernels.fc import FCForward, FCWeights
from layerline.compiler.kernels.pool import Unpool
from layerline.compiler.machine import Machine, host, named
from layerline.compiler.program import Per
from layerline.compiler.schedule import item_bytes
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import plan_epoch
from layerline.engines.interface import Running, State
from layerline.network import parse

if TYPE_CHECKING:
    from layerline.compiler.plane import Plane
    from layerline.compiler.program import Buffer, Schedule
    from layerline.recipe import Recipe

MACHINES: Final = (host(), named(lanes=1))
N: Final = 23
"""Images: the last batch of each recipe is ragged."""

NETWORKS: Final = {
    "every layer": EVERY_LAYER,
    "everything": EVERYTHING,
    "unpooled": "Input 1 12 12\nConv 6 3\nReLU\nConv 8 3 1 1\nReLU\nPool 3\nFlat\nFC 5\n",
    "high filters": "Input 1 13 13\nConv 6 3\nReLU\nPool 2\nConv 21 1\nConv 5 3 padding=1\nFlat\nFC 11\nReLU\nFC 5\n",
    **{f"random {seed}": draw(Random(seed)) for seed in range(100, 106)},
}
"""Among them a pool that leaves a row over, whose way back is dense, and filters that Muon turns."""

CASES: Final = [
    pytest.param(text, recipe, machine, id=f"{name}-{recipe.optimizer}-{machine.lanes}")
    for number, (name, text) in enumerate(NETWORKS.items())
    for recipe in (RECIPES[:2] if number < 4 else [RECIPES[number % len(RECIPES)]])
    for machine in (MACHINES if number < 4 else [MACHINES[number // len(RECIPES) % 2]])
]


def images_for(text: str, *, bad: bool = False) -> Split:
    """Return images at random; bad ones hold NaN and infinities, as files of floats may."""
    network, numbers = parse(text, name="net"), np.random.default_rng(0)
    images = numbers.standard_normal((N, *network.input_shape)).astype(np.float32)
    if bad:
        for image, value in zip(images, np.resize([np.nan, np.inf, -np.inf, 3e38], N), strict=True):
            image.flat[numbers.integers(0, image.size, 1 + image.size // 3)] = value
    return Split(ImageSet(images, numbers.integers(0, network.classes, N).astype(np.int32)), np.arange(N))


def engine(text: str, recipe: Recipe, machine: Machine) -> CompiledEngine:
    network = parse(text, name="net")
    C = network.input_shape[0]
    return CompiledEngine(network, Scaling((0.5,) * C, (0.1,) * C), recipe, 2, machine=machine)


def trained(e: CompiledEngine, images: Split) -> dict[str, np.ndarray]:
    """Train an epoch; return all that comes out of it."""
    e.train(plan_epoch(e._recipe, images, 1, e._network.classes), 0)
    state, running = e.state(), e.running()
    return {**state.weights, **state.optimizer, "loss": np.array(running.loss), "tallies": running.tallies}


def seen(e: CompiledEngine, images: Split) -> dict[str, np.ndarray]:
    """Predict; return all that comes out of it."""
    outputs = e.evaluate(images)
    return {"probabilities": outputs.probabilities, "losses": outputs.losses}


def same_bits(found: dict[str, np.ndarray], fresh: dict[str, np.ndarray]) -> None:
    assert found.keys() == fresh.keys()
    for name, value in fresh.items():
        assert np.isfinite(value).all(), f"{name} would hide a stain"
        assert found[name].tobytes() == value.tobytes(), name


def inside(plane: Plane, elements: np.ndarray) -> np.ndarray:
    """Return the elements of an image without its border: rows, columns, channels."""
    rows = elements[: plane.size].reshape(-1, plane.pitch // plane.channels, plane.channels)
    return rows[plane.top : plane.top + plane.height, plane.left : plane.left + plane.width]


def zeros(schedule: Schedule, buffer: Buffer) -> np.ndarray:
    """Return which elements of an item must be zero."""
    zero = np.zeros(buffer.size, bool)
    if buffer.plane is not None:
        zero[: buffer.plane.size] = True
        inside(buffer.plane, zero)[...] = False
    for op in schedule.program.ops:
        kernel = op.kernel
        if isinstance(kernel, FCForward | FCWeights) and op["x"] == buffer:
            zero[kernel.shape.inputs : kernel.shape.padded] = True
        elif isinstance(kernel, Unpool) and op["dy"] == buffer:
            (a, b), outputs = kernel.pool, inside(kernel.dy, zero)
            outputs[a * kernel.g.height :] = True
            outputs[:, b * kernel.g.width :] = True
    return zero


def state_of(schedule: Schedule) -> set[Buffer]:
    """Return what a training changes: parameters, what is kept beside them, and what it has gathered."""
    tensors = schedule.program.tensors
    kept = {home for t in tensors for home, _ in t.homes} | {slot for t in tensors for _, slot in t.slots}
    return kept | {buffer for buffer in schedule.program.buffers if buffer.name in ("total", "tallies")}


def overwrite(
    memory: np.ndarray, places: dict[Buffer, int], schedule: Schedule, numbers: np.random.Generator | None
) -> int:
    """Fill memory with random bits, or where no numbers are given with ones, NaN for every float; return how many
    bytes."""
    filled, program, state = 0, schedule.program, state_of(schedule)
    in_scratch = places is schedule.in_scratch
    for buffer, at in places.items():
        if buffer in state:
            continue
        images = program.group if in_scratch else program.batch_size
        items = {Per.SHARD: program.shards, Per.IMAGE: images}.get(buffer.per, 1)
        rows = memory[at : at + items * item_bytes(buffer)].reshape(items, buffer.size, -1)
        free = ~zeros(schedule, buffer)
        bits = np.full(rows[:, free].shape, 255, np.uint8)
        if numbers is not None:
            bits = numbers.integers(0, 256, bits.shape, dtype=np.uint8)
        rows[:, free] = bits
        filled += bits.size
    return filled


POISONS: Final = (None, np.random.default_rng(5))


@pytest.mark.parametrize(("text", "recipe", "machine"), CASES)
def test_memory_of_any_bits_trains_to_the_same(text: str, recipe: Recipe, machine: Machine) -> None:
    """An epoch in an arena and scratches full of NaN, or of random bits, ends in the state, loss and tallies of one in
    zeros."""
    images = images_for(text)
    fresh = trained(engine(text, recipe, machine), images)
    for poison in POISONS:
        e = engine(text, recipe, machine)
        e.prepare(images.source)
        assert e._trainer is not None
        schedule = e._trainer.compiled.schedule
        assert overwrite(e._trainer.memory.arena, schedule.in_arena, schedule, poison) > 0
        for scratch in e._trainer.scratches:
            overwrite(scratch, schedule.in_scratch, schedule, poison)
        same_bits(trained(e, images), fresh)


@pytest.mark.parametrize(("text", "recipe", "machine"), CASES)
def test_memory_of_any_bits_predicts_the_same(text: str, recipe: Recipe, machine: Machine) -> None:
    """Predictions in scratches full of NaN, or of random bits, are those in zeros, on a desk too."""
    images, e = images_for(text), engine(text, recipe, machine)
    fresh = seen(e, images)
    (weighed,) = e._weighed.values()
    predictor, first = weighed.predictor, images.source.images[images.indices[:1]]
    e.probabilities(first)
    (desk,) = weighed.desks._free
    for poison in POISONS:
        for scratch in (*predictor._scratches, desk._arrays["scratch"]):
            schedule = predictor.compiled.schedule
            assert overwrite(scratch, schedule.in_scratch, schedule, poison) > 0
        same_bits(seen(e, images), fresh)
        np.testing.assert_array_equal(e.probabilities(first)[0], fresh["probabilities"][0])


@pytest.mark.parametrize(("text", "recipe", "machine"), CASES)
def test_what_is_no_number_leaves_no_stain(text: str, recipe: Recipe, machine: Machine) -> None:
    """An engine that has trained on, and predicted, images with NaN and infinities, and with weights that have become
    NaN, and is then given a fresh state, predicts and trains as a fresh engine, bit for bit."""
    clean, bad = images_for(text), images_for(text, bad=True)
    fresh, e = engine(text, recipe, machine), engine(text, recipe, machine)
    begun = e.state()
    assert not np.isfinite(seen(e, bad)["losses"]).all()
    same_bits(seen(e, clean), seen(fresh, clean))
    trained(e, bad)
    assert e.diverged_step is not None
    assert not all(np.isfinite(value).all() for value in e.state().weights.values())
    seen(e, clean)
    e.set_state(State(begun.weights, begun.optimizer))
    e.set_running(Running(0.0, np.zeros((3, e._network.classes), np.int64)))
    same_bits(seen(e, clean), seen(fresh, clean))
    same_bits(trained(e, clean), trained(fresh, clean))
