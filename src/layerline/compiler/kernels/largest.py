"""Lane-wise maximum of several values in registers, and its position."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType

if TYPE_CHECKING:
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Value


def first_largest(pen: Pen, window: list[tuple[Value, int]]) -> tuple[Value, Value]:
    """Return, lane by lane, the first maximum of (value, position) pairs and its position (i32). NaN propagates."""
    lanes = window[0][0].lanes
    largest, place = window[0][0], pen.constant(window[0][1], lanes, DType.I32)
    for value, where in window[1:]:
        better = pen.greater(value, largest)
        largest = pen.select(better, value, largest)
        place = pen.select(better, pen.constant(where, lanes, DType.I32), place)
    values = [value for value, _ in window]
    odd = pen.not_numbers(values[0], values[-1])
    for one, other in zip(values[1:-1:2], [*values[2:-1:2], values[-1]], strict=False):
        odd = pen.either(odd, pen.not_numbers(one, other))
    return pen.select(odd, pen.constant(math.nan, lanes), largest), place
