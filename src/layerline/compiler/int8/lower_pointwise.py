"""Lowering of the layers without weights: activations, Add, Concat, Gate and pools."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from layerline.compiler.dtype import DType
from layerline.compiler.int8.scales import factor_of
from layerline.compiler.kernels.int8_pointwise import (
    PARTS,
    Int8Concatenate,
    Int8Product,
    Int8ScaledChannels,
    Int8Sum,
    Int8Table,
)
from layerline.compiler.kernels.int8_pool import PARTS as PARTS_OF_MEAN
from layerline.compiler.kernels.int8_pool import Int8Average, Int8Pool
from layerline.compiler.kernels.int8_values import HIGHEST, LOWEST
from layerline.compiler.kernels.pool import PoolShape

if TYPE_CHECKING:
    from layerline.compiler.int8.int8_builder import Int8Builder, Int8Value
    from layerline.compiler.int8.int8_steps import Int8Step
    from layerline.layers import AvgPool, Pool

MOST_RATIO = 7.5
"""The largest sum of the ratios of scales in a sum of values: |x| · ratio · PARTS, and as much for zero points, are
below 2³¹ then."""
MOST_POINTS = 1 << 19
"""The most values in a mean: 16 · 255 · 2¹⁹ < 2³¹."""


def lower_table(b: Int8Builder, step: Int8Step) -> None:
    """Lower an activation: its results for all 256 values."""
    x, (y, plane) = b.read(step), b.output(step)
    scale = b.scale(step, 0.0)
    numbers = x.scale.numbers(np.arange(LOWEST, HIGHEST + 1, dtype=np.int16)).astype(np.float32)
    content = scale.values(b.function(step.node, numbers).astype(np.float64))
    table = b.parameter(f"table{step.value}", content, DType.I8)
    b.op(Int8Table(x.plane, plane), x.buffer, table, b.integers(step, scale.border), y)
    b.made(step, (y, plane), scale)


def lower_sum(b: Int8Builder, step: Int8Step) -> None:
    """Lower the sum at the End of a Residual."""
    values, (y, plane) = [b.read(step, k) for k in range(len(step.inputs))], b.output(step)
    scale = b.scale(step, sum(value.scale.scale for value in values) / MOST_RATIO)
    ratios = [value.scale.scale / scale.scale for value in values]
    constant = -sum(value.scale.zero * ratio for value, ratio in zip(values, ratios, strict=True))
    numbers = [round(number * PARTS) for number in (*ratios, constant)]
    kernel = Int8Sum(values[0].plane, values[1].plane, plane)
    b.op(kernel, *(value.buffer for value in values), b.integers(step, *b.limits(step, scale), *numbers), y)
    b.made(step, (y, plane), scale)


def lower_concat(b: Int8Builder, step: Int8Step) -> None:
    """Lower a Concat: each branch gets the scale of the whole."""
    values, (y, plane) = [b.read(step, k) for k in range(len(step.inputs))], b.output(step)
    scale = b.scale(step, max(value.scale.scale for value in values) / MOST_RATIO)
    numbers = []
    for value in values:
        ratio = value.scale.scale / scale.scale
        numbers += [round(ratio * PARTS), round(-value.scale.zero * ratio * PARTS)]
    t = b.integers(step, *b.limits(step, scale), *numbers)
    kernel = Int8Concatenate(tuple(value.plane for value in values), plane)
    b.op(kernel, *(value.buffer for value in values), t, y)
    b.made(step, (y, plane), scale)


def lower_gate(b: Int8Builder, step: Int8Step) -> None:
    """Lower the product at the End of a Gate."""
    values, (y, plane) = [b.read(step, k) for k in range(2)], b.output(step)
    gate, x = values
    unit = gate.scale.scale * x.scale.scale
    scale = b.scale(step, 2 * unit)
    numbers = (gate.scale.border, x.scale.border, int(factor_of(unit / scale.scale)))
    by_channel = step.node.input_shapes[0] != step.node.input_shapes[1]
    kernel = (Int8ScaledChannels if by_channel else Int8Product)(gate.plane, x.plane, plane)
    b.op(kernel, gate.buffer, x.buffer, b.integers(step, *b.limits(step, scale), *numbers), y)
    b.made(step, (y, plane), scale)


def lower_pool(b: Int8Builder, step: Int8Step) -> None:
    """Lower a max pool: its values have the scale of its input."""
    layer, x = cast("Pool", step.node.layer), b.read(step)
    top, left, _, _ = layer.slides().around(x.plane.height, x.plane.width)
    _largest(b, step, x, PoolShape(x.plane, layer.window, layer.stride, (top, left), step.node.shape[1:]))  # type: ignore[arg-type]  # an image's


def lower_global_max(b: Int8Builder, step: Int8Step) -> None:
    """Lower the maximum over a whole image."""
    x = b.read(step)
    _largest(b, step, x, _whole(x))


def lower_average(b: Int8Builder, step: Int8Step) -> None:
    """Lower an average pool."""
    layer, x = cast("AvgPool", step.node.layer), b.read(step)
    top, left, _, _ = layer.slides().around(x.plane.height, x.plane.width)
    shape = PoolShape(x.plane, layer.window, layer.stride, (top, left), step.node.shape[1:])  # type: ignore[arg-type]  # an image's
    _mean(b, step, x, shape, real=layer.padding == "same")


def lower_global_average(b: Int8Builder, step: Int8Step) -> None:
    """Lower the mean over a whole image."""
    x = b.read(step)
    _mean(b, step, x, _whole(x), real=False)


def _whole(x: Int8Value) -> PoolShape:
    size = (x.plane.height, x.plane.width)
    return PoolShape(x.plane, size, size, (0, 0), (1, 1))


def _largest(b: Int8Builder, step: Int8Step, x: Int8Value, shape: PoolShape) -> None:
    y, plane = b.output(step)
    b.op(Int8Pool(shape, plane), x.buffer, b.integers(step, x.scale.border), y)
    b.made(step, (y, plane), x.scale)


def _mean(b: Int8Builder, step: Int8Step, x: Int8Value, shape: PoolShape, *, real: bool) -> None:
    """Add a mean over windows; real: of the points inside the image, otherwise zeros outside are counted."""
    points, (y, plane) = math.prod(shape.window), b.output(step)
    if points > MOST_POINTS:
        reason = f"int8: a mean of {points:,d} values may need more than 32 bits"
        raise b.network.refusal(step.node, reason, f"at most {MOST_POINTS:,d} values can be averaged")
    kernel = Int8Average(shape, plane)
    inside = [points] if kernel.entries == 1 else list(range(1, points + 1))
    divisors = np.array(inside if real else [points] * len(inside), np.float64)
    scale = b.scale(step, 2 * x.scale.scale / (PARTS_OF_MEAN * divisors.min()))
    factors = factor_of(x.scale.scale / (PARTS_OF_MEAN * divisors * scale.scale))
    biases = [round(-PARTS_OF_MEAN * count * x.scale.zero) for count in inside]
    b.op(kernel, x.buffer, b.integers(step, *b.limits(step, scale), *biases, *factors.tolist()), y)
    b.made(step, (y, plane), scale)
