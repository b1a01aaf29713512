"""Filters in the lanes of a filter gradient: bit for bit the one with taps in the lanes, where it could be chosen."""

from __future__ import annotations

from random import Random
from typing import Final

import numpy as np
import pytest
from kernel_runner import aligned, planes, run

from layerline.compiler.compilation import plan
from layerline.compiler.kernels.conv_few_taps import ConvFewTaps, few_taps
from layerline.compiler.kernels.conv_filters_across import ConvFiltersAcross
from layerline.compiler.kernels.conv_formula import ConvShape
from layerline.compiler.kernels.conv_gradients import ConvFilters, filters_tile
from layerline.compiler.kernels.optimizers import Sgd
from layerline.compiler.machine import Machine, host, named
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.task import Task
from layerline.compiler.tile import filter_blocks
from layerline.network import parse

MACHINES: Final = [host(), named("haswell"), named("x86-64"), named(lanes=1)]
N: Final = 3


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.lanes} lanes, {m.registers} registers")
@pytest.mark.parametrize("seed", range(8))
def test_filters_in_the_lanes_change_no_bit(machine: Machine, seed: int) -> None:
    """With and without a pool, some values infinite, whatever the tile."""
    rng, numbers = Random(seed), np.random.default_rng(seed)
    (R, S), stride, dilation = (rng.randint(1, 4), rng.randint(1, 4)), (rng.choice([1, 2]), 1), (1, rng.choice([1, 2]))
    window = rng.choice([None, None, (2, 2), (1, 3)])
    out, filters = (rng.randint(2, 7), rng.randint(3, 9)), rng.choice([1, 6, 16, 21, 40])
    H, W = ((out[i] - 1) * stride[i] + ((R, S)[i] - 1) * dilation[i] + 1 for i in (0, 1))
    shape = ConvShape(Plane(rng.choice([1, 1, 3]), H, W, 1, 0, 0, 2), filters, (R, S), stride, dilation, (0, 0), out)
    dy = Plane(filters, out[0] // (window or (1, 1))[0], out[1] // (window or (1, 1))[1], 0, 1, 1, 0)
    rows = shape.rows(machine)
    images = numbers.standard_normal((N, shape.x.channels, H, W)).astype(np.float32)
    images[numbers.random(images.shape) < 0.01] = np.inf
    gradient = numbers.standard_normal((N, filters, dy.height, dy.width)).astype(np.float32)
    gradient *= numbers.random(gradient.shape) < 0.5
    arrays = {"x": planes(images, (1, 0, 0, 2)), "dy": planes(gradient, (0, 1, 1, 0))}
    if window:
        arrays["at"] = planes(numbers.choice(shape.places(window), gradient.shape)).astype(np.int32)
    begun = rows.pack(numbers.standard_normal(shape.weights).astype(np.float32))
    plain = ConvFilters(shape, dy, filters_tile(shape, machine, places=bool(window)), bool(window), window or (1, 1))
    results = []
    for kernel in (plain, *(ConvFewTaps(shape, dy, taps, filter_blocks(filters, machine, most), window)
                            for taps, most in ((1, 1), (5, 2), (shape.taps, 1)))):  # fmt: skip
        dw = aligned(capacity(rows.size), fill=0.0)
        dw[: rows.size] = begun
        run(kernel, machine, {**arrays, "dw": dw}, images=N)
        results.append(rows.unpack(dw))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_it_is_chosen_where_taps_leave_lanes_empty() -> None:
    """For 32 filters of 9 taps on 16 lanes, pooled or not; not for 6 filters of 25 taps, nor for single numbers."""
    wide, single = Machine("x86_64-unknown-linux-gnu", "x86-64-v4", "", 16, 32, fma=True), named(lanes=1)
    for layers, machine, wanted in (("Conv 32 3\nReLU", wide, 1), ("Conv 32 3\nReLU\nPool 2 2", wide, 1),
                                    ("Conv 6 5\nReLU\nPool 2 2", wide, 0), ("Conv 32 3\nReLU", single, 0)):  # fmt: skip
        network = parse(f"Input 1 28 28\n{layers}\nFlat\nFC 10\n", name="n")
        ops = plan(network, machine, Task(50, Sgd(momentum=True, decay=False))).program.ops
        assert sum(isinstance(op.kernel, ConvFewTaps) for op in ops) == wanted, layers
        assert sum(isinstance(op.kernel, ConvFilters | ConvFiltersAcross) for op in ops) == 1 - wanted, layers


def test_filters_owned_by_an_item_stay() -> None:
    """Their sums run over the whole batch; groups have few filters each."""
    shape = ConvShape(Plane(1, 9, 9), 32, (3, 3), (1, 1), (1, 1), (0, 0), (7, 7))
    wide = Machine("x86_64-unknown-linux-gnu", "x86-64-v4", "", 16, 32, fma=True)
    plain = ConvFilters(shape, Plane(32, 7, 7), filters_tile(shape, wide, places=False))
    assert few_taps(plain, wide) is not None
    assert few_taps(ConvFilters(shape, plain.dy, plain.tile, owned=True), wide) is None
