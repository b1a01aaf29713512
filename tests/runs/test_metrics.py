"""Accuracy, precision, recall and F1 from a confusion matrix, against scikit-learn and exact fractions."""

from __future__ import annotations

import io
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from layerline.cli.screen import Screen
from layerline.cli.terminal import Terminal
from layerline.runs import metrics
from layerline.runs.history import EpochRow
from layerline.training import Interrupt

if TYPE_CHECKING:
    from numpy.typing import NDArray

MATRICES = st.integers(1, 8).flatmap(
    lambda K: arrays.arrays(np.int64, (K, K), elements=st.sampled_from([0, 0, 0, 1, 2, 7, 30]))
)


def labels_of(matrix: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return truth and prediction of images that give this matrix."""
    K = len(matrix)
    truth = np.repeat(np.arange(K), matrix.sum(axis=1))
    prediction = np.concatenate([np.repeat(np.arange(K), row) for row in matrix])
    return truth, prediction


@settings(max_examples=150, deadline=None)
@given(MATRICES.filter(lambda matrix: matrix.sum() > 0))
def test_equals_scikit_learn(matrix: NDArray[np.int64]) -> None:
    """Every score equals scikit-learn's to 1e-12, classes that are absent included."""
    from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

    truth, prediction = labels_of(matrix)
    K = len(matrix)
    scores = metrics.measure(matrix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macro = f1_score(truth, prediction, average="macro")
        expected = precision_recall_fscore_support(truth, prediction, labels=range(K), zero_division=0)
    assert scores.macro_f1 == pytest.approx(macro, rel=0, abs=1e-12)
    assert scores.accuracy == pytest.approx(accuracy_score(truth, prediction), rel=0, abs=1e-12)
    for ours, theirs in zip((scores.precision, scores.recall, scores.f1), expected[:3], strict=True):
        np.testing.assert_allclose(np.nan_to_num(ours), theirs, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(scores.support, expected[3])
    occurs = np.union1d(truth, prediction)
    assert scores.occurring == len(occurs)
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(scores.f1)), occurs)


@settings(max_examples=50, deadline=None)
@given(MATRICES)
def test_confusion_counts_every_image(matrix: NDArray[np.int64]) -> None:
    """The matrix of labels made from a matrix is that matrix, int64, row = truth."""
    truth, prediction = labels_of(matrix)
    found = metrics.confusion(truth.astype(np.int32), prediction, len(matrix))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, matrix)


def test_row_is_the_truth() -> None:
    np.testing.assert_array_equal(metrics.confusion([0, 0, 2], [1, 1, 0], 3), [[0, 2, 0], [0, 0, 0], [1, 0, 0]])


def test_counts_beyond_float32_stay_exact() -> None:
    """2²⁴ + 1 images, and 2⁴⁰: the scores are the quotients of the whole counts, rounded once or twice."""
    a, b, c, d = 2**24 + 1, 3, 5, 2**40 + 1
    scores = metrics.measure(np.array([[a, b], [c, d]]))
    f1 = [Fraction(2 * a, 2 * a + b + c), Fraction(2 * d, 2 * d + b + c)]
    assert scores.accuracy == float(Fraction(a + d, a + b + c + d))
    assert scores.f1.tolist() == [float(value) for value in f1]
    assert scores.macro_f1 == pytest.approx(float(sum(f1) / 2), rel=2**-51)
    assert scores.support.tolist() == [a + b, c + d]


def test_an_absent_class_is_left_out_of_the_mean() -> None:
    """With class 1 in neither truth nor prediction the mean is over two classes, and class 1 has no score."""
    scores = metrics.measure(np.array([[8, 0, 2], [0, 0, 0], [0, 0, 10]]))
    assert scores.occurring == 2
    assert scores.classes == 3
    assert np.isnan([scores.precision[1], scores.recall[1], scores.f1[1]]).all()
    assert scores.macro_f1 == pytest.approx((16 / 18 + 20 / 22) / 2, abs=1e-15)


def test_the_row_of_an_epoch_says_over_how_many_classes_its_mean_is() -> None:
    """Where validation or training has 2 of 3 classes, the screen says so below the row, and otherwise nothing."""
    whole, part = metrics.measure(np.eye(3, dtype=int)), metrics.measure(np.array([[8, 0, 2], [0, 0, 0], [0, 0, 10]]))
    row = EpochRow(1, 1.0, 0.5, 0.5, 1.0, 0.5, 0.5, 0.01, 1.0, 1.0, 100.0, best=True)
    told = {}
    for name, train, validation in (("validation", whole, part), ("training", part, whole), ("", whole, whole)):
        screen = io.StringIO()
        Screen(Terminal(screen, {}), Interrupt(()), quiet=False).epoch(row, train, validation)
        told[name] = [line.strip() for line in screen.getvalue().splitlines()[3:]]
    said = "{} macro F1 covers 2 of 3 classes: the others did not occur"
    assert told == {name: [said.format(name)] if name else [] for name in told}


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    scores = metrics.measure(np.array([[9, 1], [0, 0]]))
    assert (scores.precision[1], scores.recall[1], scores.f1[1], scores.occurring) == (0, 0, 0, 2)


def test_no_images_have_no_score() -> None:
    scores = metrics.measure(np.zeros((3, 3), np.int64))
    assert np.isnan([scores.accuracy, scores.macro_f1]).all()
    assert scores.occurring == 0


@pytest.mark.parametrize(("truth", "prediction"), [([0, 3], [0, 0]), ([0, 0], [0, -1]), ([0], [0, 0]), ([[0]], [[0]])])
def test_labels_that_cannot_be_are_refused(truth: list[int], prediction: list[int]) -> None:
    with pytest.raises(ValueError, match=r"label|equal length"):
        metrics.confusion(truth, prediction, 3)
