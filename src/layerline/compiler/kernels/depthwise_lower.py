"""Lowering of a convolution with one filter per channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from layerline.compiler.kernels.bias_lower import bias_sum
from layerline.compiler.kernels.conv_formula import ConvShape
from layerline.compiler.kernels.depthwise import DepthwiseFilters, DepthwiseForward, padded_channels
from layerline.compiler.kernels.depthwise_input import DepthwiseInput
from layerline.compiler.kernels.muon import Filters
from layerline.compiler.kernels.update import Grid
from layerline.compiler.layout import Taps, Vector
from layerline.compiler.plane import Plane
from layerline.compiler.program import Kind

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder, LayerValue
    from layerline.compiler.program import Buffer
    from layerline.layers import Depthwise
    from layerline.network import Node


def lower_depthwise(b: Builder, node: Node, *, dilation: tuple[int, int], bias: bool) -> None:
    """Lower a convolution with one filter per channel, and its backward pass."""
    layer, x = cast("Depthwise", node.layer), b.value(node.inputs[0])
    C, P, Q = node.shape
    top, left, _, _ = layer.window.around(*node.input_shapes[0][1:])
    shape = ConvShape(x.plane, C, layer.kernel, layer.stride, dilation, (top, left), (P, Q), groups=C)
    padded = padded_channels(C, b.machine)
    grid = Grid(layer.kernel[0] * layer.kernel[1], C, padded)
    y = b.output(node, Plane(C, P, Q), trained=True)
    bias = bias or b.absorbs_norm(node)
    layout = Taps((C, 1, *layer.kernel), padded)
    (w,) = b.tensor(node, "weight", "w", (("", layout),), grid, Kind.FILTERS)
    extra = b.tensor(node, "bias", "b", (("", Vector(C, C)),), Grid(1, C, C)) if bias else ()
    b.op(DepthwiseForward(shape, y.plane, bias), x.buffer, w, *extra, y.buffer)
    if b.trains(node):
        b.backward.append(lambda: _back(b, node, shape, (x, y), (w, grid), bias=bias))


def _back(
    b: Builder,
    node: Node,
    shape: ConvShape,
    values: tuple[LayerValue, LayerValue],
    weights: tuple[Buffer, Grid],
    *,
    bias: bool,
) -> None:
    (x, y), (w, grid), name = values, weights, f"{node.path}.weight"
    dy = b.gradient(y)[0]
    if bias:
        bias_sum(b, f"{node.path}.bias", y, dy)
    b.op(DepthwiseFilters(shape, y.plane), x.buffer, dy, b.partial(name))
    b.step(name, Filters(grid.rows, 1, grid.length, grid.padded))
    if x.needs_gradient:
        dx, add = b.gradient(x)
        b.op(DepthwiseInput(shape, y.plane, add), dy, w, dx)
