"""Lowering of the layers with weights: Conv, Depthwise, FC, and a BatchNorm that is not folded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from layerline.compiler.dtype import DType
from layerline.compiler.int8.int8_steps import by_channel
from layerline.compiler.int8.scales import TooLargeError, effective_biases, factor_of, filters_of, least_scale
from layerline.compiler.kernels.batch_norm import LINEAR
from layerline.compiler.kernels.conv_formula import ConvShape
from layerline.compiler.kernels.depthwise import padded_channels
from layerline.compiler.kernels.int8_conv import Int8Conv, Int8Scores, int8_tile
from layerline.compiler.kernels.int8_depthwise import Int8Depthwise
from layerline.compiler.layout import Taps
from layerline.compiler.plane import capacity
from layerline.compiler.program import Buffer, Per

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.compiler.int8.int8_builder import Int8Builder, Int8Value
    from layerline.compiler.int8.int8_steps import Int8Step
    from layerline.compiler.int8.scales import Int8Filters, Scale
    from layerline.layers import Conv, Depthwise


@dataclass(frozen=True, eq=False)
class _Weighted:
    """A layer with weights: what it reads, its sizes, and its weights (O, C, R, S) and biases in float64."""

    x: Int8Value
    shape: ConvShape
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    mean: NDArray[np.float64]
    """The mean input of each weight, of a shape that broadcasts to that of the weights."""


def lower_conv(b: Int8Builder, step: Int8Step) -> None:
    """Lower a Conv or Depthwise."""
    layer, x = cast("Conv | Depthwise", step.node.layer), b.read(step)
    window = layer.window
    top, left, _, _ = window.around(*step.node.input_shapes[0][1:])
    O, P, Q = step.node.shape
    groups = x.plane.channels if layer.kind == "depthwise" else cast("Conv", layer).groups
    shape = ConvShape(x.plane, O, layer.kernel, window.stride, window.dilation, (top, left), (P, Q), groups)
    weights, biases = _weights(b, step)
    mean = np.repeat(x.mean.mean((1, 2)).reshape(groups, -1), O // groups, 0)[:, :, None, None]
    weighted = _Weighted(x, shape, weights.reshape(shape.weights), biases, mean)
    (_by_channel if by_channel(step.node) else _dense)(b, step, weighted)


def lower_fc(b: Int8Builder, step: Int8Step) -> None:
    """Lower an FC."""
    _dense(b, step, _connected(b, step))


def lower_scores(b: Int8Builder, step: Int8Step) -> Buffer:
    """Lower the last FC, whose results are float32, and return their buffer."""
    layer = _connected(b, step)
    filters = _filters(b, step, layer, None)
    rows = layer.shape.rows(b.machine)
    w = b.parameter(f"w{step.value}", filters.weights, DType.I8, rows)
    units = (filters.scales * layer.x.scale.scale).astype(np.float32)
    s = b.parameter(f"s{step.value}", units, DType.F32)
    z = Buffer("z", capacity(len(units)), Per.IMAGE)
    kernel = Int8Scores(layer.shape, rows, int8_tile(b.machine))
    b.op(kernel, layer.x.buffer, w, b.integers(step, *filters.biases.tolist()), s, z)
    return z


def lower_norm(b: Int8Builder, step: Int8Step) -> None:
    """Lower a BatchNorm: a weight and a bias for each channel."""
    x, path = b.read(step), step.node.path
    C, H, W = x.plane.channels, x.plane.height, x.plane.width
    mean, rest, a = (np.asarray(b.weights[f"{path}.{name}"], np.float64) for name in LINEAR)
    shape = ConvShape(x.plane, C, (1, 1), (1, 1), (1, 1), (0, 0), (H, W), C)
    biases = np.asarray(b.weights[f"{path}.bias"], np.float64) - (mean + rest) * a
    of_input = x.mean.mean((1, 2)).reshape(C, 1, 1, 1)
    _by_channel(b, step, _Weighted(x, shape, a.reshape(C, 1, 1, 1), biases, of_input))


def _connected(b: Int8Builder, step: Int8Step) -> _Weighted:
    """Return an FC as a convolution whose kernel is the whole image; without a border, a list in memory order."""
    x = b.values[step.inputs[0]]
    C, H, W = x.plane.channels, x.plane.height, x.plane.width
    weights, biases = _weights(b, step)
    weights, mean = weights.reshape(-1, C, H, W), x.mean[None]
    plane, kernel = x.plane, (H, W)
    if plane.bare:
        weights, mean = (each.transpose(0, 2, 3, 1).reshape(-1, C * H * W, 1, 1) for each in (weights, mean))
        plane, kernel = plane.listed, (1, 1)
    shape = ConvShape(plane, len(weights), kernel, (1, 1), (1, 1), (0, 0), (1, 1))
    return _Weighted(x, shape, weights, biases, mean)


def _weights(b: Int8Builder, step: Int8Step) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a layer's weights, and its biases: zeros if it has none."""
    path = step.node.path
    weights = np.asarray(b.weights[f"{path}.weight"], np.float64)
    return weights, np.asarray(b.weights.get(f"{path}.bias", np.zeros(len(weights))), np.float64)


def _filters(b: Int8Builder, step: Int8Step, layer: _Weighted, y: float | None) -> Int8Filters:
    """Return the weights of a layer as integers. Raises NetworkError if its sums may overflow."""
    try:
        return filters_of(layer.weights, layer.biases, layer.x.scale, y, layer.mean)
    except TooLargeError as error:
        raise b.network.refusal(step.node, f"int8: {error}", "use fewer inputs per filter, or float32") from error


def _finished(b: Int8Builder, step: Int8Step, layer: _Weighted) -> tuple[Int8Filters, Scale, Buffer]:
    """Return the integers of a layer, the scale of its output, and its parameter t."""
    x = layer.x.scale
    scale = b.scale(step, least_scale(layer.weights, np.zeros(1), x))
    layer = replace(layer, biases=effective_biases(layer.weights, layer.biases, x, scale.scale))
    scale = b.scale(step, least_scale(layer.weights, layer.biases, x))
    filters = _filters(b, step, layer, scale.scale)
    factors = factor_of(x.scale * filters.scales / scale.scale)
    t = b.integers(step, *b.limits(step, scale), *filters.biases.tolist(), *factors.tolist())
    return filters, scale, t


def _dense(b: Int8Builder, step: Int8Step, layer: _Weighted) -> None:
    filters, scale, t = _finished(b, step, layer)
    rows, (y, plane) = layer.shape.rows(b.machine), b.output(step)
    w = b.parameter(f"w{step.value}", filters.weights, DType.I8, rows)
    b.op(Int8Conv(layer.shape, rows, plane, int8_tile(b.machine), step.pool), layer.x.buffer, w, t, y)
    b.made(step, (y, plane), scale)


def _by_channel(b: Int8Builder, step: Int8Step, layer: _Weighted) -> None:
    filters, scale, t = _finished(b, step, layer)
    shape = layer.shape
    taps, (y, plane) = Taps(shape.weights, padded_channels(shape.filters, b.machine)), b.output(step)
    w = b.parameter(f"w{step.value}", filters.weights, DType.I8, taps)
    b.op(Int8Depthwise(shape, taps, plane), layer.x.buffer, w, t, y)
    b.made(step, (y, plane), scale)
