"""What a model said of images: the mistakes that cost most, and the labels that are worth a second look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SURE: Final = 0.9
"""The least probability of another class for which a label is listed."""
_BLOCK: Final = 4096
"""Images that are compared with the thresholds at once."""


@dataclass(frozen=True, eq=False)
class Judged:
    """The images of a split with what the model said of each; all arrays are in the order of the split."""

    split: str
    """test or validation."""
    truth: NDArray[np.int64]
    """(M,): the class by the label."""
    prediction: NDArray[np.int64]
    """(M,): the most probable class."""
    probabilities: NDArray[np.float32]
    """(M, K); or of many classes, where `largest` is given, the largest of each image."""
    index: NDArray[np.int64] | None
    """(M,): which image of the loaded data it is; None in a run of an older version."""
    names: tuple[str, ...] | None
    """Of the images' files; None where there are none."""
    largest: NDArray[np.int64] | None = None
    """Of which classes the probabilities are, as many for each image; None: of all, in order."""
    own: NDArray[np.float32] | None = None
    """(M,): beside `largest`, the probability of the true class."""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.truth)

    def of_truth(self) -> NDArray[np.float64]:
        """Return the probability of the true class, float64 (M,)."""
        found = self.probabilities[np.arange(len(self)), self.truth] if self.own is None else self.own
        return found.astype(np.float64)

    def of(self, place: int, k: int) -> float:
        """Return the probability of class k for an image; 0 where it was too small to be kept."""
        if self.largest is None:
            return float(self.probabilities[place, k])
        if self.own is not None and k == self.truth[place]:
            return float(self.own[place])
        return float(self.probabilities[place][self.largest[place] == k].sum())

    def worst(self, most: int) -> NDArray[np.int64]:
        """Return the places of the mistakes with the highest loss −ln p(truth), highest first, `most` of them."""
        wrong = np.flatnonzero(self.prediction != self.truth)
        return wrong[np.argsort(self.of_truth()[wrong], kind="stable")][:most]


@dataclass(frozen=True, eq=False)
class Suspects:
    """Images whose label may be wrong: their places in the split, the other class and its probability."""

    places: NDArray[np.int64]
    other: NDArray[np.int64]
    margin: NDArray[np.float64]
    """p(other class) − p(label); the list is sorted by it, largest first."""


def suspects(judged: Judged, sure: float = SURE) -> Suspects:
    """Return the images that confident learning counts to another class, and of which the model is `sure`.

    t_j = mean of p_j over the images labelled j. An image labelled i is listed where the most probable class j among
    those with p_j ≥ t_j is not i, and p_j ≥ sure. Nothing is counted to a class without images: it has no threshold.
    Source: Northcutt, Jiang and Chuang 2021, "Confident Learning", JAIR 70, equations 1 and 2; `sure` is ours.
    """
    M, K = len(judged), _classes(judged)
    support = np.bincount(judged.truth, minlength=K)
    sums = np.bincount(judged.truth, judged.of_truth(), minlength=K)
    t = np.where(support > 0, sums / np.maximum(support, 1), np.inf)
    other, of_other = np.empty(M, np.int64), np.empty(M)
    for start in range(0, M, _BLOCK):  # in blocks, as float64 of a large test set would be many times its size
        block = slice(start, start + _BLOCK)
        p = judged.probabilities[block].astype(np.float64)
        classes = None if judged.largest is None else judged.largest[block]
        counted = np.where(p >= (t if classes is None else t[classes]), p, -1.0)
        most = counted.argmax(axis=1)
        other[block] = most if classes is None else classes[np.arange(len(most)), most]
        of_other[block] = counted.max(axis=1)
    places = np.flatnonzero((other != judged.truth) & (of_other >= sure))
    margin = (of_other - judged.of_truth())[places]
    order = np.argsort(-margin, kind="stable")
    return Suspects(places[order], other[places][order], margin[order])


def _classes(judged: Judged) -> int:
    """Return a number that all classes are below."""
    if judged.largest is None:
        return int(judged.probabilities.shape[1])
    return 1 + max(int(judged.truth.max()), int(judged.largest.max()))
