"""Windows in the lanes of a filter gradient: the sums of the one with taps in the lanes, where it is chosen."""

from __future__ import annotations

from random import Random
from typing import Final

import numpy as np
import pytest
from kernel_runner import aligned, planes, run

from layerline.compiler.compilation import plan
from layerline.compiler.kernels.conv_across import ConvAcross
from layerline.compiler.kernels.conv_filters_across import ConvFiltersAcross, filters_across
from layerline.compiler.kernels.conv_formula import ConvShape
from layerline.compiler.kernels.conv_gradients import ConvFilters, filters_tile
from layerline.compiler.kernels.optimizers import Sgd
from layerline.compiler.machine import Machine, host, named
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.task import Task
from layerline.network import parse

MACHINES: Final = [host(), named("haswell"), named("x86-64")]
WIDE: Final = Machine("x86_64-unknown-linux-gnu", "x86-64-v4", "", 16, 32, fma=True)
N: Final = 3


def by_filter(at: np.ndarray, across: int) -> np.ndarray:
    """Return places (N, O, P, Q) filter by filter; what rows are padded with is no place."""
    N, O, P, Q = at.shape
    memory = aligned(N * capacity(O * P * across), np.int32)
    for to, of_image in zip(memory.reshape(N, -1), at, strict=True):
        rows = np.full((O, P, across), -1, np.int32)
        rows[..., :Q] = of_image
        to[: rows.size] = rows.reshape(-1)
    return memory


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.lanes} lanes, {m.registers} registers")
@pytest.mark.parametrize("seed", range(10))
def test_windows_in_the_lanes_add_the_same_terms(machine: Machine, seed: int) -> None:
    """Whatever the kernel, stride, dilation, window and tile; places may come filter by filter, and give the same
    bits. Two float32 sums of n terms differ by at most 2 n roundings of the sum of their sizes."""
    rng, numbers = Random(seed), np.random.default_rng(seed)
    R, S, dilation = rng.randint(1, 5), rng.randint(1, 5), (rng.choice([1, 2]), rng.choice([1, 2]))
    stride, window = (rng.choice([1, 2]), rng.choice([1, 2])), rng.choice([(2, 2), (1, 3), (3, 2)])
    units, filters = (rng.randint(1, 5), rng.choice([3, 7, 16, 18])), rng.choice([1, 6, 9, 16, 20])
    out = (units[0] * window[0] + rng.choice([0, 1]), units[1] * window[1] + rng.choice([0, 1]))
    H, W = ((out[i] - 1) * stride[i] + ((R, S)[i] - 1) * dilation[i] + 1 for i in (0, 1))
    shape = ConvShape(Plane(1, H, W, 1, 0, 0, 2), filters, (R, S), stride, dilation, (0, 0), out)
    dy = Plane(filters, *units, 0, 1, 1, 0)
    rows, size = shape.rows(machine), (N, filters, *units)
    images = numbers.standard_normal((N, 1, H, W)).astype(np.float32)
    gradient = (numbers.standard_normal(size) * (numbers.random(size) < 0.5)).astype(np.float32)
    at = numbers.choice(shape.places(window), size).astype(np.int32)
    arrays = {"x": planes(images, (1, 0, 0, 2)), "dy": planes(gradient, (0, 1, 1, 0))}
    begun = rows.pack(numbers.standard_normal(shape.weights).astype(np.float32))
    lanes = machine.lanes_for(units[1])
    across = ConvFiltersAcross(shape, dy, window, rng.randint(1, R), lanes)
    planar = ConvFiltersAcross(shape, dy, window, across.rows, lanes, planar=True)
    results = []
    for kernel in (ConvFilters(shape, dy, filters_tile(shape, machine, places=True), True, window), across, planar):
        dw = aligned(capacity(rows.size), fill=0.0)
        dw[: rows.size] = begun
        places = by_filter(at, planar.across) if kernel is planar else planes(at.astype(np.float32)).astype(np.int32)
        work = aligned(capacity(across.workspace), fill=np.nan)
        run(kernel, machine, {**arrays, "at": places, "dw": dw, "work": work}, images=N)
        results.append(rows.unpack(dw))
    terms = N * units[0] * units[1]
    size_of_sum = np.abs(begun).max() + np.abs(gradient).sum((0, 2, 3)).max() * np.abs(images).max()
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=2 * terms * 2.0**-24 * size_of_sum)
    np.testing.assert_array_equal(results[2], results[1])


def kernels(layers: str, machine: Machine, images: str = "1 28 28") -> list[object]:
    """Return the kernels of a training with some layers before Flat."""
    network = parse(f"Input {images}\n{layers}\nFlat\nFC 10\n", name="n")
    return [op.kernel for op in plan(network, machine, Task(50, Sgd(momentum=True, decay=False))).program.ops]


@pytest.mark.parametrize(
    ("layers", "images", "wanted"),
    [
        ("Conv 6 5 1 2\nReLU\nPool 2", "1 28 28", True),
        ("Conv 16 5\nReLU\nPool 2", "1 28 28", True),
        ("Conv 32 3\nReLU\nPool 2", "1 28 28", False),  # filters fill the lanes
        ("Conv 6 5\nReLU\nPool 2", "3 32 32", False),  # 15 taps in a row do
        ("Conv 6 5\nReLU\nPool 3 2", "1 28 28", False),  # windows overlap: the pool is not fused
        ("Conv 6 5\nReLU", "1 28 28", False),
        ("Conv 6 5 1 2\nReLU\nPool 2", "1 400 400", False),  # the columns exceed the cache
    ],
)
def test_it_is_chosen_where_it_takes_fewer_vector_operations(layers: str, images: str, wanted: bool) -> None:
    """For 5×5 kernels on gray images, behind a pool."""
    assert sum(isinstance(kernel, ConvFiltersAcross) for kernel in kernels(layers, WIDE, images)) == wanted


def test_places_come_filter_by_filter_from_conv_across() -> None:
    """That kernel has them so in its registers; others sort them window by window. One lane has nothing to gain."""
    few, many = kernels("Conv 6 5\nReLU\nPool 2", WIDE), kernels("Conv 16 5\nReLU\nPool 2", WIDE)
    assert [kernel.places for kernel in few if isinstance(kernel, ConvAcross)] == [16]
    assert [kernel.planar for kernel in few if isinstance(kernel, ConvFiltersAcross)] == [True]
    assert [kernel.planar for kernel in many if isinstance(kernel, ConvFiltersAcross)] == [False]
    assert not any(
        isinstance(kernel, ConvFiltersAcross) for kernel in kernels("Conv 6 5\nReLU\nPool 2", named(lanes=1))
    )


def test_filters_owned_by_an_item_stay() -> None:
    """Their sums run over the whole batch."""
    shape = ConvShape(Plane(1, 28, 28), 6, (5, 5), (1, 1), (1, 1), (0, 0), (24, 24))
    plain = ConvFilters(shape, Plane(6, 12, 12), filters_tile(shape, WIDE, places=True), True, (2, 2))
    assert filters_across(plain, WIDE) is not None
    assert filters_across(ConvFilters(shape, plain.dy, plain.tile, True, (2, 2), owned=True), WIDE) is None
