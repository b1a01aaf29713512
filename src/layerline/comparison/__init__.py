"""COMPARE: runs side by side, two models on the same images, one recipe with several seeds."""

from __future__ import annotations

from layerline.comparison.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
