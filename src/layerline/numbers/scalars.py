"""Single values passed by a user: NumPy's are converted to Python's, and booleans are not numbers."""

from __future__ import annotations

import math
from typing import Any, TypeGuard


def plain(value: Any) -> Any:
    """Return a NumPy number, boolean or string, also in a 0-dimensional array, as Python's.

    The items of a tuple or list are converted. Everything else, and a masked value, is returned unchanged.
    """
    if isinstance(value, tuple | list):
        return (list if isinstance(value, list) else tuple)(map(plain, value))
    if type(value).__module__ == "builtins":
        return value
    import numpy as np  # a caller with such a value has imported it already

    single = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    if not single or value.dtype.kind not in "biufU" or np.ma.is_masked(value):
        return value
    found = value.item()
    return float(found) if isinstance(found, np.floating) else found  # the item of a long double is a long double again


def is_true(value: object) -> bool:
    """Return whether a value is True, also NumPy's or a tensor with one; 1 and "yes" are not.

    >>> is_true(True), is_true(1)
    (True, False)
    """
    if isinstance(value, bool):
        return value
    kind = str(getattr(value, "dtype", "")).rpartition(".")[2]  # "bool" of NumPy, "torch.bool" of PyTorch
    return kind == "bool" and math.prod(getattr(value, "shape", (0, 0))) == 1 and bool(value)


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a plain value is an integer: 2 is, but 2.0 and True are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a plain value is a finite number; True is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
