"""Classification metrics from integer counts: accuracy, precision, recall and F1 from one confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


MOST_DENSE: Final = 1000
"""Up to this many classes, files are dense: a number for each pair of classes, and for each class of every image. Above
it they are sparse: 10,000 classes have 100 million pairs."""


@dataclass(frozen=True, eq=False)
class Scores:
    """The metrics of a confusion matrix. TP, FP, FN are a class's true positives, false positives and false negatives.

    A class that occurs neither in the truth nor among the predictions has no precision, recall or F1: they are NaN and
    excluded from the mean. If a class occurs, 0/0 counts as 0, as in scikit-learn.
    """

    accuracy: float
    """ΣTP / images; NaN without images."""
    macro_f1: float
    """The mean of F1 over the classes that occur; NaN without images."""
    precision: NDArray[np.float64]
    """(K,): TP / (TP + FP)."""
    recall: NDArray[np.float64]
    """(K,): TP / (TP + FN)."""
    f1: NDArray[np.float64]
    """(K,): 2TP / (2TP + FP + FN)."""
    support: NDArray[np.int64]
    """(K,): images whose truth is the class, TP + FN."""
    occurring: int
    """Number of classes that occur in the truth or among the predictions."""

    @property
    def classes(self) -> int:
        """Return K, the number of classes of the matrix."""
        return len(self.support)


@final
@dataclass(frozen=True, eq=False)
class SparseCounts:
    """A confusion matrix of many classes: only its nonzero cells, in row order, each once."""

    K: int
    truth: NDArray[np.int64]
    prediction: NDArray[np.int64]
    images: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """Return (K, K)."""
        return self.K, self.K

    def __len__(self) -> int:
        """Return K."""
        return self.K

    def sum(self, axis: int | None = None) -> NDArray[np.int64]:
        """Return the sum over each column (axis 0), each row (axis 1) or all cells, like numpy.ndarray.sum."""
        if axis is None:
            return np.asarray(self.images.sum())
        found = np.zeros(self.K, np.int64)
        np.add.at(found, self.truth if axis else self.prediction, self.images)
        return found

    def toarray(self) -> NDArray[np.int64]:
        """Return the dense (K, K) matrix."""
        found = np.zeros(self.shape, np.int64)
        found[self.truth, self.prediction] = self.images
        return found


Counts = NDArray[np.int64] | SparseCounts
"""A confusion matrix, (K, K): counts[j, k] images of class j were predicted as k. An array up to MOST_DENSE classes."""


def confusion(truth: ArrayLike, prediction: ArrayLike, K: int) -> Counts:
    """Return the confusion matrix: rows are true classes, columns predictions.

    Raises ValueError if a label is not in 0 … K−1, or if the two differ in length.
    """
    rows, columns = np.asarray(truth, np.int64), np.asarray(prediction, np.int64)
    if rows.ndim != 1 or rows.shape != columns.shape:
        raise ValueError(
            f"truth {rows.shape} and prediction {columns.shape} must be one-dimensional and of equal length"
        )
    if len(rows) and (min(rows.min(), columns.min()) < 0 or max(rows.max(), columns.max()) >= K):
        raise ValueError(f"a label is not in 0 … {K - 1}")
    if K <= MOST_DENSE:
        return np.bincount(rows * K + columns, minlength=K * K).reshape(K, K).astype(np.int64, copy=False)
    there, images = np.unique(rows * K + columns, return_counts=True)
    return SparseCounts(K, there // K, there % K, images)


def cells(counts: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return truth, prediction and number of images of the nonzero cells, in row order."""
    if isinstance(counts, SparseCounts):
        return counts.truth, counts.prediction, counts.images
    rows, columns = np.nonzero(counts)
    return rows, columns, counts[rows, columns]


def worst(counts: Counts, most: int | None = None) -> list[tuple[int, int, int]]:
    """Return the nonzero cells off the diagonal, (truth, prediction, images), most images first, at most `most`."""
    rows, columns, images = (found[None, :] for found in cells(counts))
    wrong = np.concatenate([rows, columns, images])[:, rows[0] != columns[0]]
    order = np.argsort(-wrong[2], kind="stable")[:most]
    return [(j, k, count) for j, k, count in wrong[:, order].T.tolist()]


def tallies(truth: ArrayLike, prediction: ArrayLike, K: int) -> NDArray[np.int64]:
    """Return per class, int64 (3, K): images of the class, images predicted as it, and those predicted correctly.

    This is all that `measure` needs from the K² counts of a confusion matrix. truth and prediction are in 0 … K−1.
    """
    rows, columns = np.asarray(truth, np.int64), np.asarray(prediction, np.int64)
    counted = (rows, columns, rows[rows == columns])
    return np.stack([np.bincount(labels, minlength=K) for labels in counted]).astype(np.int64, copy=False)


def measure(counts: Counts) -> Scores:
    """Return the scores of a confusion matrix. All divisions are in float64."""
    rows, columns, images = cells(counts)
    right = np.zeros(len(counts), np.int64)
    right[rows[rows == columns]] = images[rows == columns]
    return of_tallies(np.stack([counts.sum(axis=1), counts.sum(axis=0), right]))


def of_tallies(counted: NDArray[np.int64]) -> Scores:
    """Return the scores from the result of `tallies`: bit-identical to those from the confusion matrix."""
    support, predicted, right = counted
    occurs = (support + predicted) > 0
    f1 = _quotient(2 * right, support + predicted, occurs)
    images = int(support.sum())
    return Scores(
        accuracy=int(right.sum()) / images if images else float("nan"),
        macro_f1=float(f1[occurs].mean()) if images else float("nan"),
        precision=_quotient(right, predicted, occurs),
        recall=_quotient(right, support, occurs),
        f1=f1,
        support=support,
        occurring=int(occurs.sum()),
    )


def _quotient(top: NDArray[np.int64], bottom: NDArray[np.int64], occurs: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return top / bottom; 0 where bottom is 0, NaN where the class does not occur."""
    values = np.where(occurs, 0.0, np.nan)
    np.divide(top, bottom, out=values, where=bottom > 0)
    return values
