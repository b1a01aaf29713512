"""The element types of buffers."""

from __future__ import annotations

import enum
import functools


class DType(enum.Enum):
    """An element type; the value is its name in symbols."""

    U8 = "u8"
    I8 = "i8"
    I32 = "i32"
    I64 = "i64"
    F32 = "f32"
    F64 = "f64"

    @functools.cached_property
    def bytes(self) -> int:
        """The size of an element in bytes."""
        return int(self.value[1:]) // 8
