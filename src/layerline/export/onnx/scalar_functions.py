"""Functions of one number that several operations compute: recognized by their values, however they are written.

GELU alone has a dozen spellings. So each function is carried along as its values, in float64, at fixed points on both
sides of every bend of our activations; whichever of these it equals at all of them, it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.layers import GELU, HardSigmoid, HardSwish, Mish, ReLU, ReLU6, Sigmoid, SiLU, Tanh

if TYPE_CHECKING:
    from layerline.layers import Layer

Points = np.ndarray[Any, np.dtype[np.float64]]

POINTS: Final[Points] = np.concatenate(
    [
        np.linspace(-8, 8, 97) + 1 / 64,  # no bend is at a point
        np.array([-1e4, -300.0, -80.0, -40.0, -20.0, -12.0, 12.0, 20.0, 40.0, 80.0, 300.0, 1e4]),
        np.array([bend + side * 1e-3 for bend in (-3.0, 0.0, 3.0, 6.0) for side in (-1, 1)]),
    ]
)
"""The points at which functions are compared."""
_CLOSE: Final = 3e-6
"""The largest difference, absolute or relative: constants such as 1/6 and √2 are float32 in a file."""
erf: Final = np.vectorize(math.erf, otypes=[np.float64])


def softplus(x: Points) -> Points:
    """Return ln(1 + e^x)."""
    values: Points = np.logaddexp(0, x)
    return values


def sigmoid(x: Points) -> Points:
    """Return 1 / (1 + e^−x)."""
    values: Points = np.exp(-np.logaddexp(0, -x))
    return values


def hard_sigmoid(x: Points, alpha: float = 1 / 6, beta: float = 0.5) -> Points:
    """Return ONNX's HardSigmoid."""
    values: Points = np.clip(alpha * x + beta, 0, 1)
    return values


def gelu(x: Points) -> Points:
    """Return GELU as it is defined, with erf."""
    values: Points = x * (1 + erf(x / math.sqrt(2))) / 2
    return values


def tanh_gelu(x: Points) -> Points:
    """Return the approximation of GELU by tanh."""
    values: Points = x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    return values


_KNOWN: Final[tuple[tuple[Layer | None, Points], ...]] = (
    (None, POINTS),
    (ReLU(), np.maximum(POINTS, 0)),
    (ReLU6(), np.clip(POINTS, 0, 6)),
    (Sigmoid(), sigmoid(POINTS)),
    (Tanh(), np.tanh(POINTS)),
    (SiLU(), POINTS * sigmoid(POINTS)),
    (HardSigmoid(), hard_sigmoid(POINTS)),
    (HardSwish(), POINTS * hard_sigmoid(POINTS)),
    (GELU(), gelu(POINTS)),
    (Mish(), POINTS * np.tanh(softplus(POINTS))),
)
"""A layer, or None for y = x, and its values."""
_VALUES: Final = np.stack([values for _, values in _KNOWN])


def recognized(values: Points) -> tuple[Layer, ...] | None:
    """Return the layer with these values, () if they are the points themselves; None if there is none."""
    equal = (np.abs(_VALUES - values) <= _CLOSE * np.maximum(1, np.abs(_VALUES))).all(axis=1)
    if not equal.any():
        return None
    layer = _KNOWN[int(equal.argmax())][0]
    return () if layer is None else (layer,)


def linear(values: Points) -> tuple[float, float] | None:
    """Return scale and shift of a function that is x · scale + shift; None if it is none, or a constant."""
    low, high = values[int(POINTS.argmin())], values[int(POINTS.argmax())]  # at −10⁴ and 10⁴
    scale, shift = float(high - low) / (2 * float(POINTS.max())), float(high + low) / 2
    close = 1e-9 * (np.abs(scale * POINTS) + abs(shift))
    return (scale, shift) if scale and bool((np.abs(scale * POINTS + shift - values) <= close).all()) else None


def is_tanh_gelu(values: Points) -> bool:
    """Return whether a function is the approximation of GELU by tanh, which is not available."""
    expected = tanh_gelu(POINTS)
    return bool((np.abs(values - expected) <= _CLOSE * np.maximum(1, np.abs(expected))).all())
