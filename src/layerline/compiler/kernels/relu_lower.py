"""Lowering of ReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.compiler.kernels.relu import ReLUBackward, ReLUForward

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder
    from layerline.network import Node


def lower(b: Builder, node: Node) -> None:
    """Lower a ReLU and its backward pass."""
    x = b.value(node.inputs[0])
    y = b.output(node, x.plane, image=x.image)
    b.op(ReLUForward(x.plane, y.plane), x.buffer, y.buffer)
    if x.needs_gradient:

        def back() -> None:
            dy = b.gradient(y)[0]
            dx, add = b.gradient(x)
            b.op(ReLUBackward(y.plane, x.plane, add), dy, y.buffer, dx)

        b.backward.append(back)
