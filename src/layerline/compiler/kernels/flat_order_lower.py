"""The order of flattened values in memory.

Flat moves no data, so a vector may lie in memory as its image does, in the order H, W, C, while its values are numbered
in the order C, H, W. Layers that combine several vectors need them in one order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.compiler.builder import LayerValue
from layerline.compiler.kernels.copies import Copy, Reorder
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Buffer, Per

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder


def alike(b: Builder, values: list[LayerValue]) -> list[LayerValue]:
    """Return vectors in one order: as they are if all have the same, else in the order of their numbers."""
    orders = {None if _is_numbered(x) else x.image for x in values}
    return values if len(orders) == 1 else [numbered(b, x) for x in values]


def numbered(b: Builder, x: LayerValue) -> LayerValue:
    """Return a vector in the order of its numbers. The backward pass puts the gradient back into the image's order."""
    if _is_numbered(x):
        return x
    (C, H, W), size = x.image, x.plane.size
    plane = Plane(size, 1, 1)
    buffer = Buffer(f"{x.buffer.name}_listed{len(b.ops)}", capacity(size), Per.IMAGE, plane=plane)
    y = LayerValue(buffer, plane, (size, 1, 1), x.needs_gradient)
    b.op(Reorder(C, H * W), x.buffer, buffer)
    if x.needs_gradient:

        def back() -> None:
            dy = b.gradient(y)[0]
            dx, add = b.gradient(x)
            if not add:
                b.op(Reorder(H * W, C), dy, dx)
                return
            again = Buffer(f"d{buffer.name}_image", capacity(size), Per.IMAGE, plane=x.plane)
            b.op(Reorder(H * W, C), dy, again)
            b.op(Copy(x.plane, x.plane, add), again, dx)

        b.backward.append(back)
    return y


def _is_numbered(x: LayerValue) -> bool:
    C, H, W = x.image
    return C == 1 or H * W == 1
