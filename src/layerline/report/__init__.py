"""The graphs of a run: loss, accuracy and macro F1 over the epochs, the confusion matrix, the first filters."""

from __future__ import annotations

from layerline.report.graphs import Graphs, draw

__all__ = ["Graphs", "draw"]
