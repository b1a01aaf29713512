"""Warnings at the line of the program that called Layerline."""

from __future__ import annotations

import sys
import warnings


def warn(text: str, category: type[Warning]) -> None:
    """Issue a warning at the caller's line: the nearest that is neither ours nor scikit-learn's."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (
        "layerline",
        "sklearn",
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
