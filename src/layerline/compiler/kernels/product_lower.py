"""Lowering of the product at the End of a Gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.compiler.kernels.flat_order_lower import alike
from layerline.compiler.kernels.product import Product, ProductSums, ScaledChannels

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder
    from layerline.network import Node


def lower(b: Builder, node: Node) -> None:
    """Lower a product and its backward pass: of two values of one shape, or with a factor for each channel."""
    gate, x = (b.value(i) for i in node.inputs)
    if len(node.shape) == 1:
        gate, x = alike(b, [gate, x])
    y = b.output(node, x.plane, image=x.image)
    by_channel = node.input_shapes[0] != node.input_shapes[1]
    kernel = ScaledChannels if by_channel else Product
    b.op(kernel(gate.plane, x.plane, y.plane), gate.buffer, x.buffer, y.buffer)
    if not y.needs_gradient:
        return

    def back() -> None:
        dy = b.gradient(y)[0]
        if x.needs_gradient:
            dx, add = b.gradient(x)
            b.op(kernel(gate.plane, y.plane, x.plane, add), gate.buffer, dy, dx)
        if gate.needs_gradient:
            dg, add = b.gradient(gate)
            sums = ProductSums if by_channel else Product
            b.op(sums(y.plane, x.plane, gate.plane, add), dy, x.buffer, dg)

    b.backward.append(back)
