"""Lowering of the sum at the end of a Residual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.compiler.kernels.copies import Copy
from layerline.compiler.kernels.flat_order_lower import alike
from layerline.compiler.kernels.sum import Sum

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder, LayerValue
    from layerline.compiler.program import Buffer
    from layerline.network import Node


def lower(b: Builder, node: Node) -> None:
    """Lower a sum and its backward pass."""
    branches = [b.value(i) for i in node.inputs]
    if len(node.shape) == 1:
        branches = alike(b, branches)
    y = b.output(node, branches[0].plane, image=branches[0].image)
    b.op(Sum(branches[0].plane, branches[1].plane, y.plane), *(x.buffer for x in branches), y.buffer)
    if y.needs_gradient:

        def back() -> None:
            dy = b.gradient(y)[0]
            for x in branches:
                if x.needs_gradient:
                    propagate(b, dy, y, x)

        b.backward.append(back)


def propagate(b: Builder, dy: Buffer, y: LayerValue, x: LayerValue) -> None:
    """Propagate the gradient of y to x, by aliasing or accumulating."""
    if x.gradient is None and b.readers(x) == 1 and x.plane == y.plane:
        x.gradient = dy
    else:
        dx, add = b.gradient(x)
        b.op(Copy(y.plane, x.plane, add), dy, dx)
