"""The confusion matrix as a figure: color is the fraction of the row, numbers are images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.measure import class_rows
from layerline.numbers import display
from layerline.report import sheet
from layerline.report.sheet import Frame, Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LONGEST_NAME: Final = 16
_DARK: Final = 0.45
"""From this fraction of the row on, a cell is so dark that its numbers are white."""
_PAIRS: Final = 5
_BAR: Final = 0.62
"""Space at the right for the color bar, in inches."""


@dataclass(frozen=True)
class _Layout:
    cell: float
    """Inches."""
    names: float
    """Size of the class names in points."""
    counts: bool
    shares: bool
    every: int = 1
    """Every how many classes a name is written."""


def picture(confusion: NDArray[np.int64], classes: Sequence[str], source: str = "test images") -> Sheet:
    """Return the sheet of an int64 (K, K) matrix (row = truth).

    Up to 12 classes a cell has its number of images and their fraction of the row, up to 25 its number of images; above
    that only color. From 13 classes on, the most frequent confusions are listed below. Empty cells have no text.
    """
    K = len(classes)
    layout = _layout(K)
    labels = [display.name(label, _LONGEST_NAME) for label in classes]
    length = sheet.longest(labels, layout.names)
    turned = length > layout.cell * layout.every * 0.95
    pairs = class_rows.confused(confusion, classes, _PAIRS, _LONGEST_NAME) if K > 12 else []
    left, below = 0.42 + length, 0.34 + (length if turned else 0.12)
    right, bottom, top = _BAR, below + 0.08 + 0.14 * (len(pairs) + bool(pairs)), 0.46
    side = layout.cell * K
    spare = max(sheet.COLUMN - left - right - side, 0.0)
    width, height = left + side + right + spare, bottom + side + top
    paper = Sheet(width, height)
    frame = Frame(left + spare / 2, bottom, side, side, x=(-0.5, K - 0.5), y=(K - 0.5, -0.5))
    shares = confusion / np.where(confusion.sum(axis=1) > 0, confusion.sum(axis=1), np.nan)[:, None]
    paper.pixels(frame, sheet.shaded(np.sqrt(shares), sheet.BLUES))
    paper.outline(frame)
    _names(paper, frame, labels, layout, turned, length)
    if layout.counts:
        _numbers(paper, frame, confusion, shares, layout)
    _bar(paper, frame)
    title = f"{display.count(int(np.trace(confusion)))} of {display.count(int(confusion.sum()))} {source} correct"
    paper.text(frame.left, height - 0.1, title, up="top", size=sheet.TITLE, bold=True)
    if pairs:
        text = "most frequent confusions (true → predicted):\n" + "\n".join(pairs)
        paper.text(frame.left, 0.06, text, up="bottom", spacing=1.25)
    return paper


def _layout(K: int) -> _Layout:
    if K <= 12:
        return _Layout(cell=max(0.33, min(0.8, 2.2 / K)), names=sheet.TEXT, counts=True, shares=True)
    if K <= 25:
        return _Layout(cell=0.31, names=sheet.TEXT, counts=True, shares=False)
    if K <= 100:
        cell = max(0.085, 6.5 / K)
        return _Layout(cell, names=min(sheet.TEXT, cell * 72 * 0.85), counts=False, shares=False)
    return _Layout(8.5 / K, names=5.2, counts=False, shares=False, every=-(-K // 100))


def _names(paper: Sheet, frame: Frame, labels: list[str], layout: _Layout, turned: bool, length: float) -> None:
    """Write every class name, or every few, below and at the left; then the axis labels."""
    ticks = [(k, labels[k]) for k in range(0, len(labels), layout.every)]
    paper.below(frame, ticks, size=layout.names, length=0, pad=2, turned=turned)
    paper.beside(frame, ticks, size=layout.names, length=0, pad=2)
    high = length if turned else layout.names / 72
    paper.text(frame.left + frame.width / 2, frame.bottom - high - 5 / 72, "predicted class", across="center", up="top")
    x = frame.left - length - 5 / 72
    paper.text(x, frame.bottom + frame.height / 2, "true class", across="center", turned=True)


def _numbers(
    paper: Sheet, frame: Frame, confusion: NDArray[np.int64], shares: NDArray[np.float64], layout: _Layout
) -> None:
    """Write the number of images in each non-empty cell, and below it their fraction of the row."""
    up = 0.054 if layout.shares else 0.0
    for j, k in np.argwhere(confusion).tolist():
        number, share = display.count(int(confusion[j, k])), float(shares[j, k])
        color = sheet.WHITE if share > _DARK else sheet.INK
        room = layout.cell * 72 * 0.92
        size = min(sheet.TEXT, room / (0.62 * len(number)))
        x, y = frame.across(k), frame.up(j)
        paper.text(x, y + up, number, size=size, color=color, across="center", up="center")
        if layout.shares:
            paper.text(x, y - 1.5 * up, display.percent(share), size=5.6, color=color, across="center", up="center")


def _bar(paper: Sheet, frame: Frame) -> None:
    """Draw the color bar: fraction of the row on a square-root scale, so that one mistake in a hundred shows."""
    scale = Frame(frame.right + 0.1, frame.bottom, 0.09, frame.height)
    marks = ((0, "0"), (0.01, "1%"), (0.1, "10%"), (0.25, "25%"), (0.5, "50%"), (1, "100%"))
    paper.bar(scale, sheet.BLUES, [(math.sqrt(share), reads) for share, reads in marks])
    paper.text(scale.left, scale.top + 7 / 72, "of row", size=6.5)
