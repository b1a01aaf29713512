"""The confusion matrix as a picture: colour is the share of the row, numbers are images, for 2 to 100 classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline import figures
from layerline.report import sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_LONGEST_NAME: Final = 16
_DARK: Final = 0.45
"""From this share on a cell is so dark that its numbers are white."""
_PAIRS: Final = 5
_BAR: Final = 0.62
"""Inches at the right for the colour bar."""


@dataclass(frozen=True)
class _Layout:
    cell: float
    """Inches."""
    names: float
    """Size of the class names in points."""
    counts: bool
    shares: bool
    every: int = 1
    """Every how many classes a name stands."""


def picture(confusion: NDArray[np.int64], classes: Sequence[str], source: str = "test images") -> Figure:
    """Return the figure of an int64 (K, K) matrix (row = truth).

    Up to 12 classes a cell says its images and their share of the row, up to 25 its images; above that only colour
    speaks. From 13 classes on the pairs that are confused most often are listed below. Empty cells say nothing.
    """
    K = len(classes)
    layout = _layout(K)
    labels = [figures.name(label, _LONGEST_NAME) for label in classes]
    length = sheet.longest(labels, layout.names)
    turned = length > layout.cell * layout.every * 0.95
    pairs = _worst(confusion, labels) if K > 12 else []
    left, below = 0.42 + length, 0.34 + (length if turned else 0.12)
    right, bottom, top = _BAR, below + 0.08 + 0.14 * (len(pairs) + bool(pairs)), 0.46
    side = layout.cell * K
    spare = max(sheet.COLUMN - left - right - side, 0.0)
    width, height = left + side + right + spare, bottom + side + top
    figure, axes = sheet.sheet(width, height, left + spare / 2, right + spare / 2, bottom, top)
    shares = confusion / np.where(confusion.sum(axis=1) > 0, confusion.sum(axis=1), np.nan)[:, None]
    colours = _cells(axes, shares)
    _names(axes, labels, layout, turned)
    if layout.counts:
        _numbers(axes, confusion, shares, layout)
    _bar(figure, axes, colours)
    title = f"{figures.count(int(np.trace(confusion)))} of {figures.count(int(confusion.sum()))} {source} right"
    figure.text((left + spare / 2) / width, 1 - 0.1 / height, title, va="top", fontsize=8.5, fontweight="bold")
    if pairs:
        text = "most often confused (truth → prediction):\n" + "\n".join(pairs)
        figure.text((left + spare / 2) / width, 0.06 / height, text, va="bottom", linespacing=1.25)
    return figure


def _layout(K: int) -> _Layout:
    if K <= 12:
        return _Layout(cell=max(0.33, min(0.8, 2.2 / K)), names=sheet.TEXT, counts=True, shares=True)
    if K <= 25:
        return _Layout(cell=0.31, names=sheet.TEXT, counts=True, shares=False)
    if K <= 100:
        cell = max(0.085, 6.5 / K)
        return _Layout(cell, names=min(sheet.TEXT, cell * 72 * 0.85), counts=False, shares=False)
    return _Layout(8.5 / K, names=5.2, counts=False, shares=False, every=-(-K // 100))


def _cells(axes: Axes, shares: NDArray[np.float64]) -> ScalarMappable:
    """Colour each cell by its share of the row; the scale is a square root, so that one mistake in a hundred shows.

    The cells are a mesh, as an image would first be stretched to the size of the paper, in float64: 120 MB for 100
    classes. A mesh of more than 25 classes is pixels in the SVG as well (1.6 MB of paths for 100 otherwise).
    """
    import matplotlib as mpl
    from matplotlib.colors import PowerNorm

    K = len(shares)
    edges = np.arange(K + 1) - 0.5
    colours = mpl.colormaps["Blues"].with_extremes(bad=sheet.EMPTY)
    mesh = axes.pcolormesh(edges, edges, shares, cmap=colours, norm=PowerNorm(0.5, 0.0, 1.0), rasterized=K > 25)
    axes.set_ylim(K - 0.5, -0.5)
    return mesh


def _names(axes: Axes, labels: list[str], layout: _Layout, turned: bool) -> None:
    places = range(0, len(labels), layout.every)
    shown = [labels[k] for k in places]
    axes.set_xticks(places, shown, rotation=90 if turned else 0, fontsize=layout.names)
    axes.set_yticks(places, shown, fontsize=layout.names)
    axes.tick_params(length=0, pad=2)
    axes.set_xlabel("prediction", labelpad=3)
    axes.set_ylabel("truth", labelpad=3)
    for spine in axes.spines.values():
        spine.set_visible(True)


def _numbers(axes: Axes, confusion: NDArray[np.int64], shares: NDArray[np.float64], layout: _Layout) -> None:
    """Write the images of each cell that has any, and under them the share of the row."""
    up = 0.054 / layout.cell
    for j, k in np.argwhere(confusion):
        number, share = figures.count(int(confusion[j, k])), float(shares[j, k])
        colour = "white" if share > _DARK else sheet.INK
        room = layout.cell * 72 * 0.92
        size = min(sheet.TEXT, room / (0.62 * len(number)))
        axes.text(k, j - up * layout.shares, number, ha="center", va="center", color=colour, fontsize=size)
        if layout.shares:
            text = figures.percent(share)
            axes.text(k, j + 1.5 * up, text, ha="center", va="center", color=colour, fontsize=5.6)


def _bar(figure: Figure, axes: Axes, colours: ScalarMappable) -> None:
    box = axes.get_position()
    inch = 1 / figure.get_figwidth()
    bar = figure.add_axes((box.x1 + 0.1 * inch, box.y0, 0.09 * inch, box.height))
    scale = figure.colorbar(colours, cax=bar, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
    scale.ax.set_yticklabels(["0", "1 %", "10 %", "25 %", "50 %", "100 %"], fontsize=6.5)
    scale.ax.tick_params(length=2, pad=1.5)
    scale.outline.set_linewidth(0.4)
    bar.set_title("of row", fontsize=6.5, loc="left", pad=7)


def _worst(confusion: NDArray[np.int64], labels: list[str]) -> list[str]:
    """Return the pairs most often confused, as lines, the most frequent first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    first = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    pairs = [divmod(int(place), len(labels)) for place in first if wrong.flat[place] > 0]
    return [
        f"{labels[j]} → {labels[k]}: {figures.count(int(wrong[j, k]))} of {figures.count(int(confusion[j].sum()))}"
        for j, k in pairs
    ]
