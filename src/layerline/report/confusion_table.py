"""The confusion matrix of the page: cells that lead to their images; for many classes a picture and the worst pairs."""

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
"""Above that the matrix is a picture, and the pairs that are confused most often stand beside it."""
_MOST_PAIRS: Final = 60
_LARGEST_PICTURE: Final = 500
MOST_WRONG: Final = 50
"""Images of a cell off the diagonal."""
MOST_RIGHT: Final = 12
"""Images of a cell on the diagonal."""
MOST_NAMED: Final = 2000
"""Images in all cells where only their names are shown."""
_NAMED: Final = 12
_LONGEST_NAME: Final = 24
DARKEST: Final = 0.78
"""How much of the color the darkest cell has: its number stays readable (a contrast of 4.5) in light and dark."""


@dataclass(frozen=True)
class Cell:
    """A cell of the table: how many images, how dark, and which panel it opens (empty: none)."""

    count: int
    reads: str
    label: str
    shade: str
    style: str
    panel: str


@dataclass(frozen=True)
class MatrixRow:
    """A row of the table: the truth, its cells, its images."""

    name: str
    cells: tuple[Cell, ...]
    total: str


@dataclass(frozen=True)
class ClassPair:
    """What a panel shows: the images of one cell, by their places in the split, those to be shown first in front."""

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
            label = f"{images} of {names[j]}: " + ("right" if j == k else f"taken for {names[k]}")
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
    """Return the cells that have images, mistakes first, most images first; for many classes only the worst mistakes.

    The images of a mistake come with the highest loss first, those that are right with the least probability first.
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
    """Yield the first image of each pair, then the second of each, …: all mistakes before all that is right."""
    for right in (False, True):
        group = [pair for pair in found if (pair.truth == pair.prediction) == right]
        for k in range(max((len(pair.places) for pair in group), default=0)):
            yield from ((pair, pair.places[k]) for pair in group if k < len(pair.places))


def named(found: Sequence[ClassPair]) -> dict[str, list[int]]:
    """Return the images of each panel where only their names are shown."""
    chosen: dict[str, list[int]] = {}
    for number, (pair, place) in enumerate(in_turn(found)):
        panel = chosen.setdefault(pair.panel, [])
        if number >= MOST_NAMED:
            break
        if len(panel) < _NAMED:
            panel.append(place)
    return chosen


def picture(confusion: Counts) -> str:
    """Return the matrix as a PNG, a pixel a cell: blue on the diagonal, orange off it; empty for too many classes."""
    K = len(confusion)
    if isinstance(confusion, metrics.SparseCounts) or K > _LARGEST_PICTURE:
        return ""
    total = np.maximum(confusion.sum(axis=1), 1)[:, None]
    pixels = np.zeros((K, K, 4), np.uint8)
    pixels[...] = (213, 94, 0, 0)
    pixels[np.arange(K), np.arange(K)] = (0, 114, 178, 0)
    pixels[..., 3] = np.rint(np.sqrt(confusion / total) * 255)
    return thumbnails.png(pixels)
