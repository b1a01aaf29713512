"""Sums of two branches: y = a + b.

The backward pass propagates the gradient to both branches. If a branch has no other reader, its gradient aliases the
sum's buffer and nothing is copied; otherwise it is copied (kernels/copies.py), because others accumulate into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.kernel import Kernel, reads, sets
from layerline.compiler.kernels.loops import elementwise

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class Sum(Kernel):
    """y = a + b."""

    a: Plane
    b: Plane
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"a": reads(self.a), "b": reads(self.b), "y": sets(self.y)}

    @property
    def symbol(self) -> str:
        return f"sum_{self.a.label}_{self.b.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            return pen.add(*(pen.load(m, i, lanes) for m, i in zip(memory[:2], places[:2], strict=True)))

        elementwise(pen, ((self.a, "a"), (self.b, "b"), (self.y, "y")), step)
