"""Single values that a user gives: NumPy's become Python's, and truth values are no numbers."""

from __future__ import annotations

import math
from typing import Any, TypeGuard


def plain(value: Any) -> Any:
    """Return a number, truth value or text of NumPy's, also as an array without dimensions, as Python's.

    Of a tuple or a list, every item. Everything else, and a masked value, is returned as it is.
    """
    if isinstance(value, tuple | list):
        return (list if isinstance(value, list) else tuple)(map(plain, value))
    if type(value).__module__ == "builtins":
        return value
    import numpy as np  # whoever gives such a value has imported it already

    single = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    if not single or value.dtype.kind not in "biufU" or np.ma.is_masked(value):
        return value
    found = value.item()
    return float(found) if isinstance(found, np.floating) else found  # a long double's item is one again


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a plain value is a whole number: 2 is, and neither 2.0 nor True."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a plain value is a finite number; True is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
