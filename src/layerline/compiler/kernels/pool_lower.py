"""Lowering of Pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.pool import PoolBackward, PoolForward, PoolShape
from layerline.compiler.plane import Plane

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder
    from layerline.layers import Pool
    from layerline.network import Node


def lower(b: Builder, node: Node) -> None:
    """Lower a max pooling and its backward pass."""
    layer, x = cast("Pool", node.layer), b.value(node.inputs[0])
    top, left, _, _ = layer.slides().around(x.plane.height, x.plane.width)
    _, P, Q = node.shape
    shape = PoolShape(x.plane, layer.window, layer.stride, (top, left), (P, Q))
    _add(b, node, shape)


def lower_global(b: Builder, node: Node) -> None:
    """Lower a global max pool: one window over the whole image."""
    x = b.value(node.inputs[0])
    whole = (x.plane.height, x.plane.width)
    _add(b, node, PoolShape(x.plane, whole, whole, (0, 0), (1, 1)))


def _add(b: Builder, node: Node, shape: PoolShape) -> None:
    x, (C, P, Q) = b.value(node.inputs[0]), node.shape
    y = b.output(node, Plane(C, P, Q))
    if not x.needs_gradient:
        b.op(PoolForward(shape, y.plane), x.buffer, y.buffer)
        return
    at = b.scratch(f"at{node.index}", P * Q * C, DType.I32)
    b.op(PoolForward(shape, y.plane, places=True), x.buffer, y.buffer, at)

    def back() -> None:
        dy = b.gradient(y)[0]
        dx, add = b.gradient(x)
        b.op(PoolBackward(y.plane, x.plane, add), dy, at, dx)

    b.backward.append(back)
