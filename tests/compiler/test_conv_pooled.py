"""Gradients behind a pool, from the outputs alone that have one: the same as from all, whatever the tile."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import numpy as np
import pytest
from kernel_runner import aligned, planes, run

from layerline.compiler.kernels.conv_formula import ConvShape
from layerline.compiler.kernels.conv_gradients import (
    ConvFilters,
    ConvInput,
    filters_tile,
    input_tile,
)
from layerline.compiler.kernels.conv_pooled import (
    ConvPooledFilters,
    ConvPooledInput,
    PatchTile,
    compared,
    patch_tile,
)
from layerline.compiler.kernels.pool import Unpool
from layerline.compiler.machine import Machine, host, named
from layerline.compiler.plane import Plane, capacity

MACHINES: Final = [host(), named("haswell"), named("x86-64"), named(lanes=1)]
N: Final = 3


class Drawn:
    """A convolution with a pool at random, and its arrays: half of the gradients are zero."""

    def __init__(self, rng: Random, machine: Machine) -> None:
        """Draw it."""
        groups, (R, S) = rng.choice([1, 1, 1, 2, 3]), (rng.randint(1, 4), rng.randint(1, 4))
        stride, dilation = (
            (rng.choice([1, 1, 2]), rng.choice([1, 1, 2])),
            (rng.choice([1, 1, 2]), rng.choice([1, 1, 2])),
        )
        self.window = rng.choice([(2, 2), (3, 3), (1, 2), (2, 3), (1, 1)])
        out = (rng.randint(self.window[0], 9), rng.randint(self.window[1], rng.choice([9, 30])))
        top, left = rng.randint(0, 1), rng.randint(0, 2)
        H, W = ((out[i] - 1) * stride[i] + ((R, S)[i] - 1) * dilation[i] + 1 for i in (0, 1))
        x = Plane(groups * rng.choice([1, 2, 5, 17]), H, W, top, left, 0, 0)
        filters = groups * rng.choice([1, 3, 16, 33, 70])
        self.shape = ConvShape(x, filters, (R, S), stride, dilation, (top, left), out, groups)
        self.dy = Plane(filters, out[0] // self.window[0], out[1] // self.window[1], rng.randint(0, 1), 0, 0, 1)
        self.machine, self.rows = machine, self.shape.rows(machine)
        numbers = np.random.default_rng(rng.randint(0, 1 << 30))
        shape = (N, filters, self.dy.height, self.dy.width)
        dy = (numbers.standard_normal(shape) * (numbers.random(shape) < 0.5)).astype(np.float32)
        at = numbers.choice(self.shape.places(self.window), shape)
        w = aligned(capacity(self.rows.size))
        w[: self.rows.size] = self.rows.pack(numbers.standard_normal(self.shape.weights).astype(np.float32))
        images = numbers.standard_normal((N, x.channels, H, W)).astype(np.float32)
        self.arrays = {
            "x": planes(images, (x.top, x.left, x.bottom, x.right)),
            "dy": planes(dy, (self.dy.top, self.dy.left, self.dy.bottom, self.dy.right)),
            "at": planes(at).astype(np.int32),
            "w": w,
        }

    def tiles(self) -> list[PatchTile]:
        """Return several tiles, the one that is used first."""
        return [patch_tile(self.shape, self.machine), PatchTile(1, 1), PatchTile(2, 2), PatchTile(3, 1)]

    def filters(self, kernel: Any) -> np.ndarray:
        """Return what a kernel makes of the filters' gradient."""
        dw = aligned(capacity(self.rows.size), fill=0.5)
        for item in range(kernel.slices or 1):
            run(kernel, self.machine, {**self.arrays, "dw": dw}, images=N, item=item)
        return dw[: self.rows.size].reshape(-1, self.rows.padded)[:, : self.rows.length]

    def input(self, kernel: Any, arrays: dict[str, np.ndarray] | None = None) -> np.ndarray:
        """Return what a kernel makes of the input's gradient."""
        size = capacity(self.shape.x.size)
        dx = aligned(N * size, fill=0.5)
        run(kernel, self.machine, {**(arrays or self.arrays), "dx": dx}, images=N)
        return dx.reshape(N, size)[:, : self.shape.x.size]

    def from_all_outputs(self) -> np.ndarray:
        """Return the input's gradient, unpooled first."""
        dy = aligned(N * capacity(self.shape.filters * self.shape.out[0] * self.shape.out[1]), fill=0.0)
        plain = Plane(self.shape.filters, *self.shape.out)
        unpool = Unpool(self.dy, plain, self.window, self.shape.steps)
        run(unpool, self.machine, {"g": self.arrays["dy"], "at": self.arrays["at"], "dy": dy}, images=N)
        kernel = ConvInput(self.shape, plain, input_tile(self.shape, self.machine))
        return self.input(kernel, {"dy": dy, "w": self.arrays["w"]})


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.lanes} lanes, {m.registers} registers")
@pytest.mark.parametrize("seed", range(8))
def test_gradients_are_those_by_all_outputs(machine: Machine, seed: int) -> None:
    """Of the filters bit for bit, partial or owned; of the input within rounding; and no tile changes a bit."""
    drawn = Drawn(Random(seed), machine)
    shape, window = drawn.shape, drawn.window
    for owned in (False, True):
        plain = drawn.filters(
            ConvFilters(shape, drawn.dy, filters_tile(shape, machine, places=True), True, window, owned)
        )
        for tile in drawn.tiles():
            for filters in {1, compared(shape, machine)}:
                found = drawn.filters(ConvPooledFilters(shape, drawn.dy, window, tile, filters, owned))
                np.testing.assert_array_equal(found, plain)
    results = [drawn.input(ConvPooledInput(shape, drawn.dy, window, tile)) for tile in drawn.tiles()]
    np.testing.assert_allclose(results[0], drawn.from_all_outputs(), atol=2e-5, rtol=0)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.lanes} lanes, {m.registers} registers")
def test_nan_is_not_skipped_and_zero_is(machine: Machine) -> None:
    """A gradient that is NaN reaches its patch and its filter; one that is zero adds nothing."""
    x, window = Plane(16, 8, 8), (2, 2)
    shape, dy = ConvShape(x, 6, (3, 3), (1, 1), (1, 1), (0, 0), (6, 6)), Plane(6, 3, 3)
    gradient, tile, rows = np.zeros((1, 6, 3, 3), np.float32), patch_tile(shape, machine), shape.rows(machine)
    gradient[0, 4, 1, 2] = np.nan
    at = planes(np.full((1, 6, 3, 3), shape.places(window)[3])).astype(np.int32)  # row 3, column 5 of the output
    w, weights = aligned(capacity(rows.size)), np.full(shape.weights, np.inf, np.float32)
    weights[4] = 1
    w[: rows.size] = rows.pack(weights)
    dx, dw = aligned(capacity(x.size)), aligned(capacity(rows.size), fill=0.0)
    arrays = {
        "dy": planes(gradient),
        "at": at,
        "x": planes(np.ones((1, 16, 8, 8), np.float32)),
        "w": w,
        "dx": dx,
        "dw": dw,
    }
    run(ConvPooledInput(shape, dy, window, tile), machine, arrays, images=1)
    run(ConvPooledFilters(shape, dy, window, tile, compared(shape, machine)), machine, arrays, images=1)
    reached = np.zeros((8, 8), bool)
    reached[3:6, 5:8] = True
    found = dx[: x.size].reshape(8, 8, 16)  # whole vectors a kernel row: what they are padded with is NaN, too
    assert np.isnan(found[reached]).all()
    np.testing.assert_array_equal(found[~reached], 0)
    filters = rows.unpack(dw)
    assert np.isnan(filters[4]).all()
    np.testing.assert_array_equal(np.delete(filters, 4, 0), 0)
