"""Lowering of Conv and Depthwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.bias_lower import bias_sum
from layerline.compiler.kernels.conv import ConvForward, conv_tile
from layerline.compiler.kernels.conv_formula import Convolution, ConvShape
from layerline.compiler.kernels.conv_gradients import ConvFilters, ConvInput, filters_tile, input_tile
from layerline.compiler.kernels.depthwise_lower import lower_depthwise
from layerline.compiler.kernels.muon import Filters
from layerline.compiler.kernels.update import Grid
from layerline.compiler.kernels.winograd_choice import gradient_border, input_border, tiles_border, wider
from layerline.compiler.layout import Columns, Vector
from layerline.compiler.plane import Plane
from layerline.compiler.program import Kind, Op

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder, LayerValue
    from layerline.compiler.kernels.winograd_choice import Sides
    from layerline.compiler.program import Buffer
    from layerline.compiler.task import Task
    from layerline.layers import Conv, Depthwise
    from layerline.network import Node


MAX_PARTIAL_BYTES: Final = 64 * 1024 * 1024
"""Memory limit for the partial gradients of one convolution over all shards; above it, each item owns some filters."""


def border(node: Node, task: Task) -> Sides:
    """Return the zero border that a convolution needs around its input."""
    window = cast("Conv | Depthwise", node.layer).window.around(*node.input_shapes[0][1:])
    if task.exact or node.layer.kind != "conv":
        return window
    layer, x, (O, P, Q) = cast("Conv", node.layer), Plane(*node.input_shapes[0]), node.shape
    shape = ConvShape(x, O, layer.kernel, layer.stride, layer.dilation, window[:2], (P, Q), layer.groups)
    return wider(window, input_border(shape))


def lower(b: Builder, node: Node) -> None:
    """Lower a convolution and its backward pass."""
    layer, channels = cast("Conv", node.layer), b.value(node.inputs[0]).plane.channels
    if layer.groups == node.shape[0] == channels > 1:
        lower_depthwise(b, node, dilation=layer.dilation, bias=layer.bias)
    else:
        _lower_groups(b, node, layer.groups, dilation=layer.dilation, bias=layer.bias)


def lower_each_channel(b: Builder, node: Node) -> None:
    """Lower a depthwise convolution and its backward pass; with several filters per channel, as a grouped one."""
    layer = cast("Depthwise", node.layer)
    if layer.multiplier == 1:
        lower_depthwise(b, node, dilation=(1, 1), bias=layer.bias)
    else:
        _lower_groups(b, node, b.value(node.inputs[0]).plane.channels, dilation=(1, 1), bias=layer.bias)


def _lower_groups(b: Builder, node: Node, groups: int, *, dilation: tuple[int, int], bias: bool) -> None:
    layer, x = cast("Conv | Depthwise", node.layer), b.value(node.inputs[0])
    O, P, Q = node.shape
    top, left, _, _ = border(node, b.task)
    shape = ConvShape(x.plane, O, layer.kernel, layer.stride, dilation, (top, left), (P, Q), groups)
    tile = conv_tile(shape, b.machine)
    assert tile is not None  # noqa: S101 - one pixel always fits
    margin = (0, 0, 0, 0)
    if b.trains(node) and not b.task.exact:  # zeros around the gradient of y, for tiles
        margin = wider(tiles_border(shape), gradient_border(shape) if x.needs_gradient else margin)
    y, has_bias = b.output(node, Plane(O, P, Q), trained=True, margin=margin), bias or b.absorbs_norm(node)
    kernel = ConvForward(Convolution(shape, y.plane, has_bias), tile)
    rows, columns = shape.rows(b.machine), kernel.columns
    grid = Grid(O * rows.runs, rows.length, rows.padded)
    layouts = (("r", rows), ("c", columns)) if b.trains(node) else (("c", columns),)
    weights = b.tensor(node, "weight", "w", layouts, grid, Kind.FILTERS)
    extra = b.tensor(node, "bias", "b", (("", Vector(O, O)),), Grid(1, O, O)) if has_bias else ()
    b.op(kernel, x.buffer, weights[-1], *extra, y.buffer)
    if b.trains(node):
        b.backward.append(lambda: _back(b, node, shape, (x, y), (weights[0], grid, columns)))


def _back(
    b: Builder,
    node: Node,
    shape: ConvShape,
    values: tuple[LayerValue, LayerValue],
    weights: tuple[Buffer, Grid, Columns],
) -> None:
    (x, y), (w, grid, columns) = values, weights
    dy = b.gradient(y)[0]
    if cast("Conv | Depthwise", node.layer).bias:
        bias_sum(b, f"{node.path}.bias", y, dy)
    name, tile = f"{node.path}.weight", filters_tile(shape, b.machine, places=False)
    if grid.size * DType.F32.bytes * b.shards > MAX_PARTIAL_BYTES:
        kernel = ConvFilters(shape, y.plane, tile, owned=True)
        b.sums.append(Op(kernel, (x.buffer, dy, b.whole_gradient(name))))
    else:
        b.op(ConvFilters(shape, y.plane, tile), x.buffer, dy, b.partial(name))
    b.step(name, Filters(shape.filters, columns.runs, grid.length, grid.padded))
    if x.needs_gradient:
        dx, add = b.gradient(x)
        b.op(ConvInput(shape, y.plane, input_tile(shape, b.machine), add), dy, w, dx)
