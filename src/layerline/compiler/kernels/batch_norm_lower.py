"""Lowering of BatchNorm."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.batch_norm import (
    LINEAR,
    RUNNING,
    BatchNormBackward,
    BatchNormForward,
    BatchNormGradients,
    BatchNormGradientSums,
    BatchNormStatistics,
    BatchNormSums,
    stride,
)
from layerline.compiler.kernels.update import Grid
from layerline.compiler.layout import Vector
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Buffer, Per

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder, LayerValue
    from layerline.layers import BatchNorm
    from layerline.network import Node


def lower(b: Builder, node: Node) -> None:
    """Lower a normalization and its backward pass; unless it trains it is folded if possible."""
    x = b.value(node.inputs[0])
    if node.index in b.folds:
        b.values[node.index + 1] = x
        return
    y = b.output(node, x.plane, trained=True, image=x.image)
    planes = (_norm_plane(node, x), _norm_plane(node, y))
    if not b.trains(node):
        linear = [_per_channel(b, node, x, name, trained=False) for name in LINEAR]
        b.op(BatchNormForward(*planes), x.buffer, *linear, _per_channel(b, node, x, "bias", trained=False), y.buffer)
        return
    layer, C, pixels = cast("BatchNorm", node.layer), planes[0].channels, planes[0].height * planes[0].width
    w, bias = (_per_channel(b, node, x, name, trained=True) for name in ("weight", "bias"))
    running = [_per_channel(b, node, x, name, trained=False) for name in RUNNING]
    sums = Buffer(f"sums{node.index}", capacity(2 * stride(C)), Per.SHARD, DType.F64)
    exact = Buffer(f"exact{node.index}", capacity(2 * stride(C)), Per.ONCE, DType.F64)
    linear = [Buffer(f"{name}{node.index}", stride(C), Per.ONCE) for name in LINEAR]
    b.op(BatchNormSums(planes[0]), x.buffer, sums)
    b.op(BatchNormStatistics(C, pixels, layer.momentum, layer.eps), sums, w, exact, *linear, *running)
    b.op(BatchNormForward(*planes), x.buffer, *linear, bias, y.buffer)
    b.backward.append(lambda: _back(b, node, (x, y), exact, linear))


def _norm_plane(node: Node, value: LayerValue) -> Plane:
    """Return the plane of a value for normalization: after Flat each value is a channel."""
    return value.plane if len(node.shape) == 3 else Plane(value.plane.size, 1, 1)


def _per_channel(b: Builder, node: Node, x: LayerValue, name: str, *, trained: bool) -> Buffer:
    """Create a parameter with one number per channel."""
    C = node.shape[0]
    layout = Vector(C, C, x.image if len(node.shape) == 1 else None)
    grid = Grid(1, C, C) if trained else None
    (buffer,) = b.tensor(node, name, name, (("", layout),), grid)
    return buffer


def _back(b: Builder, node: Node, values: tuple[LayerValue, LayerValue], exact: Buffer, linear: list[Buffer]) -> None:
    x, y = values
    planes = (_norm_plane(node, x), _norm_plane(node, y))
    C, pixels = planes[0].channels, planes[0].height * planes[0].width
    dy = b.gradient(y)[0]
    sums = Buffer(f"dsums{node.index}", capacity(2 * stride(C)), Per.SHARD, DType.F64)
    slope = Buffer(f"slope{node.index}", capacity(4 * stride(C)), Per.ONCE)
    dw, db = (b.whole_gradient(f"{node.path}.{name}") for name in ("weight", "bias"))
    b.op(BatchNormGradientSums(*planes), x.buffer, dy, exact, sums)
    b.op(BatchNormGradients(C, pixels), sums, exact, dw, db, slope)
    for name in ("weight", "bias"):
        b.step(f"{node.path}.{name}")
    if x.needs_gradient:
        dx, add = b.gradient(x)
        b.op(BatchNormBackward(*planes, add), x.buffer, dy, *linear, slope, dx)
