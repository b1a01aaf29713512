"""The confusion matrix of the page: cells that link to their images; for many classes an image and the worst pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.numbers import display
from layerline.report import thumbnails
from layerline.runs import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from layerline.runs.metrics import Counts
    from layerline.runs.predictions import Predictions

MOST_CLASSES: Final = 30
"""With more classes the matrix is an image, with a table of the most frequent confusions."""
_MOST_PAIRS: Final = 60
_LARGEST_PICTURE: Final = 500
MOST_WRONG: Final = 50
"""Maximum images of a cell off the diagonal."""
MOST_RIGHT: Final = 12
"""Maximum images of a cell on the diagonal."""
MOST_NAMED: Final = 2000
"""Maximum images in all cells if only their names are shown."""
_NAMED: Final = 12
_LONGEST_NAME: Final = 24
DARKEST: Final = 0.78
"""Strength of the color of the darkest cell: its number stays readable (contrast 4.5) in light and dark mode."""


@dataclass(frozen=True)
class Cell:
    """A cell of the table: its number of images, its shade, and the panel that it opens (empty: none)."""

    count: int
    reads: str
    label: str
    shade: str
    style: str
    panel: str


@dataclass(frozen=True)
class MatrixRow:
    """A row of the table: the true class, its cells, its number of images."""

    name: str
    cells: tuple[Cell, ...]
    total: str


@dataclass(frozen=True)
class ClassPair:
    """The images of one cell, which a panel shows: their positions in the split, in order of display."""

    truth: int
    prediction: int
    count: int
    places: tuple[int, ...]

    @property
    def panel(self) -> str:
        """Return the panel's id."""
        return f"cell-{self.truth}-{self.prediction}"


def rows(confusion: NDArray[np.int64], classes: Sequence[str], panels: frozenset[str]) -> list[MatrixRow]:
    """Return the table of an int64 (K, K) matrix, row = truth, for at most MOST_CLASSES classes."""
    names = [display.name(name, _LONGEST_NAME) for name in classes]
    found = []
    for j, counts in enumerate(confusion.tolist()):
        total = sum(counts)
        cells = []
        for k, count in enumerate(counts):
            share = math.sqrt(count / total) if total else 0.0  # a square root, so that one mistake in a hundred shows
            panel = f"cell-{j}-{k}"
            images = display.counted(count, "image")
            label = f"{images} of {names[j]}: " + ("correct" if j == k else f"predicted as {names[k]}")
            style = ("right" if j == k else "wrong") + ("" if count else " none")
            cells.append(
                Cell(
                    count,
                    display.count(count),
                    label,
                    f"{DARKEST * share:.2f}",
                    style,
                    panel if panel in panels else "",
                )
            )
        found.append(MatrixRow(names[j], tuple(cells), display.count(total)))
    return found


def pairs(confusion: Counts, predictions: Predictions | None) -> list[ClassPair]:
    """Return the non-empty cells, mistakes first, most images first; for many classes only the worst mistakes.

    Misclassified images are sorted by loss, highest first; correct ones by probability, lowest first.
    """
    K = len(confusion)
    wrong = metrics.worst(confusion, None if K <= MOST_CLASSES else _MOST_PAIRS)
    right = [cell for cell in np.stack(metrics.cells(confusion), axis=1).tolist() if cell[0] == cell[1]]
    right.sort(key=lambda cell: -cell[2])
    cells = [*wrong, *(right if K <= MOST_CLASSES else ())]
    places = {} if predictions is None else _places(predictions, {(j, k) for j, k, _ in cells})
    return [ClassPair(j, k, count, places.get((j, k), ())) for j, k, count in cells]


def _places(predictions: Predictions, cells: set[tuple[int, int]]) -> dict[tuple[int, int], tuple[int, ...]]:
    found: dict[tuple[int, int], list[int]] = {cell: [] for cell in cells}
    truth, prediction = predictions.truth.tolist(), predictions.prediction.tolist()
    for place in np.argsort(predictions.of_truth(), kind="stable").tolist():
        cell = (truth[place], prediction[place])
        if cell in found and len(found[cell]) < (MOST_RIGHT if cell[0] == cell[1] else MOST_WRONG):
            found[cell].append(place)
    return {cell: tuple(places) for cell, places in found.items()}


def in_turn(found: Sequence[ClassPair]) -> Iterator[tuple[ClassPair, int]]:
    """Yield the first image of each pair, then the second of each, …: all mistakes before all correct images."""
    for right in (False, True):
        group = [pair for pair in found if (pair.truth == pair.prediction) == right]
        for k in range(max((len(pair.places) for pair in group), default=0)):
            yield from ((pair, pair.places[k]) for pair in group if k < len(pair.places))


def named(found: Sequence[ClassPair]) -> dict[str, list[int]]:
    """Return the images of each panel, for a page that shows only their names."""
    chosen: dict[str, list[int]] = {}
    for number, (pair, place) in enumerate(in_turn(found)):
        panel = chosen.setdefault(pair.panel, [])
        if number >= MOST_NAMED:
            break
        if len(panel) < _NAMED:
            panel.append(place)
    return chosen


def picture(confusion: Counts) -> str:
    """Return the matrix as a PNG, one pixel per cell: blue on the diagonal, orange off it; "" for too many classes."""
    K = len(confusion)
    if isinstance(confusion, metrics.SparseCounts) or K > _LARGEST_PICTURE:
        return ""
    total = np.maximum(confusion.sum(axis=1), 1)[:, None]
    pixels = np.zeros((K, K, 4), np.uint8)
    pixels[...] = (213, 94, 0, 0)
    pixels[np.arange(K), np.arange(K)] = (0, 114, 178, 0)
    pixels[..., 3] = np.rint(np.sqrt(confusion / total) * 255)
    return thumbnails.png(pixels)
