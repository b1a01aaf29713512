"""Lowering of the concatenation at the End of a Concat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.compiler.kernels.concatenation import Concatenate, ConcatenateBackward
from layerline.compiler.kernels.flat_order_lower import numbered
from layerline.compiler.plane import Plane

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder
    from layerline.network import Node


def lower(b: Builder, node: Node) -> None:
    """Lower a concatenation and its backward pass."""
    branches = [b.value(i) for i in node.inputs]
    planes = tuple(x.plane for x in branches)
    if len(node.shape) == 1:
        branches = [numbered(b, x) for x in branches]
        planes = tuple(x.plane.listed for x in branches)
    y = b.output(node, Plane(sum(x.channels for x in planes), planes[0].height, planes[0].width))
    b.op(Concatenate(planes, y.plane), *(x.buffer for x in branches), y.buffer)
    if y.needs_gradient:

        def back() -> None:
            dy, first = b.gradient(y)[0], 0
            for x, plane in zip(branches, planes, strict=True):
                if x.needs_gradient:
                    dx, add = b.gradient(x)
                    b.op(ConcatenateBackward(y.plane, plane, first, add), dy, dx)
                first += plane.channels

        b.backward.append(back)
