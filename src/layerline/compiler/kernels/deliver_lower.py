"""Lowering of the end at which the caller gets values of layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from layerline.compiler.given import values
from layerline.compiler.kernels.copies import Deliver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.compiler.builder import Builder, LayerValue


def deliver(b: Builder, delivered: Sequence[LayerValue]) -> None:
    """Add the copies of values for the caller, one after the other."""
    sizes = [math.prod(value.image) for value in delivered]
    for number, value in enumerate(delivered):
        part = None if len(sizes) == 1 else (sum(sizes[:number]), sum(sizes))
        b.op(Deliver(value.plane, part), value.buffer, values(sum(sizes)))
