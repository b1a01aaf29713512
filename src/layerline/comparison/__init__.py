"""COMPARE: lists of runs, two models on the same images, two recipes with several seeds each."""

from __future__ import annotations

from layerline.comparison.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
