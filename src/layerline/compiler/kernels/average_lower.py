"""Lowering of AvgPool and GlobalPool."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from layerline.compiler.kernels.average import AverageBackward, AverageForward
from layerline.compiler.kernels.pool import PoolShape
from layerline.compiler.plane import Plane

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder
    from layerline.layers import AvgPool
    from layerline.network import Node


def lower(b: Builder, node: Node) -> None:
    """Lower an average pooling and its backward pass."""
    layer, x = cast("AvgPool", node.layer), b.value(node.inputs[0])
    C, P, Q = node.shape
    top, left, _, _ = layer.slides().around(x.plane.height, x.plane.width)
    shape = PoolShape(x.plane, layer.window, layer.stride, (top, left), (P, Q))
    _add(b, node, shape, Plane(C, P, Q), real=layer.padding == "same")


def lower_global(b: Builder, node: Node) -> None:
    """Lower an average over the whole image: one window that covers it."""
    x = b.value(node.inputs[0])
    whole = (x.plane.height, x.plane.width)
    _add(b, node, PoolShape(x.plane, whole, whole, (0, 0), (1, 1)), Plane(x.plane.channels, 1, 1))


def _add(b: Builder, node: Node, shape: PoolShape, plane: Plane, *, real: bool = False) -> None:
    x, y = b.value(node.inputs[0]), b.output(node, plane)
    b.op(AverageForward(shape, y.plane, real), x.buffer, y.buffer)
    if x.needs_gradient:

        def back() -> None:
            dy = b.gradient(y)[0]
            dx, add = b.gradient(x)
            b.op(AverageBackward(shape, y.plane, add, real), dy, dx)

        b.backward.append(back)
