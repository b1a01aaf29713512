"""Schedules: the factor of the learning rate at step t (from 0) of a run of T steps, float64.

constant    1
linear      1 − t / T
cosine      (1 + cos πt/T) / 2                     (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, no restarts)
step        factor^⌊t / (step_epochs · steps)⌋
one-cycle   rises from 1/25 to 1 over the first 30% of the steps and falls to 1/250,000, both as half a cosine
            (Smith & Topin 2018, arXiv:1708.07120; PyTorch's OneCycleLR, without its momentum cycle)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RISING: Final = 0.3
FIRST: Final = 1 / 25
LAST: Final = 1 / 25e4


def one_cycle(t: NDArray[np.float64], T: int) -> NDArray[np.float64]:
    """Return the factor of the one-cycle schedule."""
    top = RISING * T - 1
    rise = _between(FIRST, 1.0, t / top) if top > 0 else np.ones_like(t)
    fall = _between(1.0, LAST, (t - top) / (T - 1 - top))
    return np.where((t <= top), rise, fall)


def _between(start: float, end: float, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half a cosine from start to end."""
    return np.asarray(end + (start - end) / 2 * (1 + np.cos(np.pi * share)))


CURVES: Final[dict[str, Callable[[NDArray[np.float64], int], NDArray[np.float64]]]] = {
    "constant": lambda t, _: np.ones_like(t),
    "linear": lambda t, T: 1 - t / T,
    "cosine": lambda t, T: (1 + np.cos(np.pi * t / T)) / 2,
    "one-cycle": one_cycle,
}
"""All schedules except `step`, which has its own settings."""


def stairs(t: NDArray[np.float64], apart: float, factor: float) -> NDArray[np.float64]:
    """Return factor^⌊t / apart⌋."""
    return np.asarray(factor ** np.floor(t / apart))
