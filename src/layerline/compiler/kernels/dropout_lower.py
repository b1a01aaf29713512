"""Lowering of Dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from layerline.compiler.given import ORDER, RNG_KEY
from layerline.compiler.kernels.copies import Reorder
from layerline.compiler.kernels.dropout import DropoutMask, Masked, MaskedChannels, mask_size
from layerline.compiler.plane import capacity
from layerline.compiler.program import Buffer, Per

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder
    from layerline.layers import Dropout, Dropout2d
    from layerline.network import Node


def lower(b: Builder, node: Node) -> None:
    """Lower a dropout and its backward pass; unless it trains it is a no-op."""
    x = b.value(node.inputs[0])
    if not b.trains(node):
        b.values[node.index + 1] = x
        return
    p, size = cast("Dropout", node.layer).p, x.plane.channels * x.plane.height * x.plane.width
    m = Buffer(f"m{node.index}", capacity(mask_size(size)), Per.IMAGE)
    y = b.output(node, x.plane, image=x.image)
    b.op(DropoutMask(size, p, node.index), ORDER, RNG_KEY, m)
    C, H, W = x.image
    if len(node.shape) == 1 and C > 1 and H * W > 1:  # flattened values are numbered in C, H, W order
        listed, m = m, Buffer(f"n{node.index}", capacity(mask_size(size)), Per.IMAGE)
        b.op(Reorder(H * W, C, mask_size(size)), listed, m)
    b.op(Masked(x.plane, y.plane), x.buffer, m, y.buffer)
    if x.needs_gradient:

        def back() -> None:
            dy = b.gradient(y)[0]
            dx, add = b.gradient(x)
            b.op(Masked(y.plane, x.plane, add), dy, m, dx)

        b.backward.append(back)


def lower_channels(b: Builder, node: Node) -> None:
    """Lower a dropout of whole channels and its backward pass; unless it trains it is a no-op."""
    x = b.value(node.inputs[0])
    if not b.trains(node):
        b.values[node.index + 1] = x
        return
    p, C = cast("Dropout2d", node.layer).p, x.plane.channels
    m = Buffer(f"m{node.index}", capacity(mask_size(C)), Per.IMAGE)
    y = b.output(node, x.plane, image=x.image)
    b.op(DropoutMask(C, p, node.index), ORDER, RNG_KEY, m)
    b.op(MaskedChannels(x.plane, y.plane), x.buffer, m, y.buffer)
    if x.needs_gradient:

        def back() -> None:
            dy = b.gradient(y)[0]
            dx, add = b.gradient(x)
            b.op(MaskedChannels(y.plane, x.plane, add), dy, m, dx)

        b.backward.append(back)
