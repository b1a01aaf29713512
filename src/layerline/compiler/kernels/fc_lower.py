"""Lowering of FC, Flat and Softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from layerline.compiler.kernels.bias_lower import bias_sum
from layerline.compiler.kernels.copies import Copy
from layerline.compiler.kernels.fc import (
    FCForward,
    FCInput,
    FCWeights,
    fc_shape,
    forward_tile,
    input_tile,
    weights_tile,
)
from layerline.compiler.kernels.update import Grid
from layerline.compiler.layout import Matrix, Vector
from layerline.compiler.plane import Plane
from layerline.compiler.program import Kind, Op

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder, LayerValue
    from layerline.compiler.kernels.fc import FCShape
    from layerline.compiler.program import Buffer
    from layerline.layers import FC
    from layerline.network import Node


def lower_flat(b: Builder, node: Node) -> None:
    """Lower a Flat, which moves no data: it aliases its input with another shape. The weight layout absorbs the order.

    Only if another reader needs a border around the image, it makes a copy without one.
    """
    x = b.value(node.inputs[0])
    bare = Plane(x.plane.channels, x.plane.height, x.plane.width)
    if x.plane == bare:
        b.values[node.index + 1] = x
        return
    y = b.output(node, bare, image=x.image)
    b.op(Copy(x.plane, bare), x.buffer, y.buffer)
    if x.needs_gradient:

        def back() -> None:
            dy = b.gradient(y)[0]
            dx, add = b.gradient(x)
            b.op(Copy(bare, x.plane, add), dy, dx)

        b.backward.append(back)


def lower_softmax(b: Builder, node: Node) -> None:
    """Lower a Softmax to nothing: it is computed with the loss."""
    b.values[node.index + 1] = b.value(node.inputs[0])


def lower(b: Builder, node: Node) -> None:
    """Lower a fully connected layer and its backward pass."""
    layer, x = cast("FC", node.layer), b.value(node.inputs[0])
    shape = fc_shape(x.plane.size, layer.outputs, b.machine)
    y = b.output(node, Plane(layer.outputs, 1, 1), trained=True)
    grid = Grid(layer.outputs, shape.inputs, shape.padded)
    layout = Matrix(layer.outputs, x.image, shape.padded)
    weights = b.tensor(node, "weight", "w", (("", layout),), grid, Kind.MATRIX)
    O, has_bias = layer.outputs, layer.bias or b.absorbs_norm(node)
    bias = b.tensor(node, "bias", "b", (("", Vector(O, O)),), Grid(1, O, O)) if has_bias else ()
    b.op(FCForward(shape, forward_tile(shape, b.machine, images=1), has_bias), x.buffer, *weights, *bias, y.buffer)
    if b.trains(node):
        b.backward.append(lambda: _back(b, node, shape, (x, y), weights[0]))


def _back(b: Builder, node: Node, shape: FCShape, values: tuple[LayerValue, LayerValue], w: Buffer) -> None:
    x, y = values
    dy, name = b.gradient(y)[0], f"{node.path}.weight"
    if cast("FC", node.layer).bias:
        bias_sum(b, f"{node.path}.bias", y, dy)
    b.sums.append(Op(FCWeights(shape, weights_tile(shape, b.machine)), (x.buffer, dy, b.whole_gradient(name))))
    b.step(name)
    if x.needs_gradient:
        dx, add = b.gradient(x)
        b.op(FCInput(shape, input_tile(shape, b.machine, images=1), add), dy, w, dx)
