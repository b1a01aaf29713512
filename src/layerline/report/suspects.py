"""Possible label errors: images that the model confidently assigns to a class other than their label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.runs.predictions import Predictions

SURE: Final = 0.9
"""The minimum probability of another class for an image to be listed."""
_BLOCK: Final = 4096
"""Images compared with the thresholds at once."""


@dataclass(frozen=True, eq=False)
class Suspects:
    """Images whose label may be wrong: their positions in the split, the other class and its margin."""

    places: NDArray[np.int64]
    other: NDArray[np.int64]
    margin: NDArray[np.float64]
    """p(other class) − p(label); the list is sorted by it, largest first."""


def suspects(predictions: Predictions, sure: float = SURE) -> Suspects:
    """Return the images that confident learning assigns to another class, with a probability of at least `sure`.

    t_j = mean of p_j over the images labeled j. An image labeled i is listed if the most probable class j among those
    with p_j ≥ t_j is not i, and p_j ≥ sure. No image is assigned to a class without images: it has no threshold.
    Source: Northcutt, Jiang and Chuang 2021, "Confident Learning", JAIR 70, equations 1 and 2; `sure` is ours.
    """
    M, K = len(predictions), _classes(predictions)
    support = np.bincount(predictions.truth, minlength=K)
    sums = np.bincount(predictions.truth, predictions.of_truth(), minlength=K)
    t = np.where(support > 0, sums / np.maximum(support, 1), np.inf)
    other, of_other = np.empty(M, np.int64), np.empty(M)
    for start in range(0, M, _BLOCK):  # in blocks: a large test set in float64 would take much memory
        block = slice(start, start + _BLOCK)
        p = predictions.probabilities[block].astype(np.float64)
        classes = None if predictions.largest is None else predictions.largest[block]
        counted = np.where(p >= (t if classes is None else t[classes]), p, -1.0)
        most = counted.argmax(axis=1)
        other[block] = most if classes is None else classes[np.arange(len(most)), most]
        of_other[block] = counted.max(axis=1)
    places = np.flatnonzero((other != predictions.truth) & (of_other >= sure))
    margin = (of_other - predictions.of_truth())[places]
    order = np.argsort(-margin, kind="stable")
    return Suspects(places[order], other[places][order], margin[order])


def _classes(predictions: Predictions) -> int:
    """Return a number greater than every class number."""
    if predictions.largest is None:
        return int(predictions.probabilities.shape[1])
    return 1 + max(int(predictions.truth.max()), int(predictions.largest.max()))
