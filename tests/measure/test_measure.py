"""Intervals and baselines: against plain resampling, scipy-free formulas, and scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from work import Work

import layerline
from layerline.data.dataset import Dataset, ImageSet, Scaling, Split
from layerline.measure import baselines, logistic
from layerline.measure import intervals as bootstrap
from layerline.measure.intervals import draw, intervals


def matrix(truth: np.ndarray, said: np.ndarray, K: int) -> np.ndarray:
    counts = np.zeros((K, K), np.int64)
    np.add.at(counts, (truth, said), 1)
    return counts


def plain(truth: np.ndarray, said: np.ndarray, resamples: int) -> dict[str, np.ndarray]:
    """Return the quantiles by drawing images, with NumPy's generator and scikit-learn's figures."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(resamples):
        chosen = rng.integers(len(truth), size=len(truth))
        t, s = truth[chosen], said[chosen]
        found.append((accuracy_score(t, s), f1_score(t, s, average="macro", zero_division=0)))
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    return {"test_accuracy": np.array([low[0], high[0]]), "test_macro_f1": np.array([low[1], high[1]])}


@pytest.mark.parametrize(("M", "K"), [(40, 3), (300, 5)])
def test_intervals_are_those_of_resampled_images(M: int, K: int) -> None:
    """Drawing counts gives the intervals that drawing images gives, but for the error of 2,000 resamples.

    A quantile at q has a standard error of √(q(1−q)/n) / density; for a normal figure at 2.5 % that is 0.060 of its
    standard deviation, and four of the two's difference are 0.34 of it. A figure also moves in steps of 1/M.
    """
    rng = np.random.default_rng(M)
    truth = rng.integers(K, size=M)
    said = np.where(rng.random(M) < 0.7, truth, rng.integers(K, size=M))
    ours = intervals(matrix(truth, said, K))
    assert ours is not None
    for name, expected in plain(truth, said, 2000).items():
        deviation = (expected[1] - expected[0]) / 3.92
        np.testing.assert_allclose(ours[name], expected, atol=0.34 * deviation + 1 / M)


def test_drawn_counts_are_multinomial() -> None:
    """Counts sum to N, and have the means N p and the covariances N (diag p − p pᵀ) of the multinomial."""
    cells = np.array([900, 60, 25, 10, 4, 1])
    N, n = int(cells.sum()), 20000
    drawn = draw(cells, 3, np.arange(n))
    assert (drawn.sum(axis=1) == N).all()
    assert (drawn >= 0).all()
    p = cells / N
    covariance = N * (np.diag(p) - np.outer(p, p))
    assert (np.abs(drawn.mean(axis=0) - cells) < 5 * np.sqrt(np.diag(covariance) / n)).all()
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    # A covariance of n draws errs by √((1 + ρ²)/n) of the two deviations, and more (kurtosis 3 + 1/(N p)) with few.
    least = np.minimum.outer(np.diag(covariance), np.diag(covariance))
    assert (np.abs(np.cov(drawn.T) - covariance) < 5 * scale * np.sqrt((2 + 1 / least) / n)).all()


def test_a_resample_with_too_many_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no images to spare about half of the Poisson sums are too large; the counts sum to N all the same."""
    monkeypatch.setattr(bootstrap, "_SPARE", 0.0)
    drawn = draw(np.array([50, 30, 20]), 0, np.arange(4000))
    assert (drawn.sum(axis=1) == 100).all()
    assert (np.abs(drawn.mean(axis=0) - [50, 30, 20]) < 5 * np.sqrt(np.array([25, 21, 16]) / 4000)).all()


def test_intervals_by_seed() -> None:
    """The same seed gives the same interval, and another one hardly another; nothing gives none."""
    counts = np.array([[80, 20], [10, 40]])
    assert intervals(counts, 1) == intervals(counts, 1) != intervals(counts, 2)
    assert intervals(np.zeros((2, 2), np.int64)) is None
    assert intervals(np.diag([7, 9])) == {"test_accuracy": (1.0, 1.0), "test_macro_f1": (1.0, 1.0)}
    only = intervals(np.array([[0, 1], [0, 0]]))
    assert only == {"test_accuracy": (0.0, 0.0), "test_macro_f1": (0.0, 0.0)}


def test_blocks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the random numbers are drawn in many blocks, the intervals are the same."""
    counts = np.array([[80, 20], [10, 40]])
    whole = intervals(counts)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 1000)
    assert intervals(counts) == whole


def test_intervals_take_as_much_work_for_many_images() -> None:
    """10,000 images of 10 classes take no more calls than 1,000: what is drawn is a count a cell."""
    counts, calls = np.full((10, 10), 5) + np.diag([50] * 10), []
    for images in (counts, counts, counts + np.diag([900] * 10)):
        with Work() as work:
            intervals(images)
        calls.append(work.calls)
    assert calls[2] <= calls[1]


def made(images: np.ndarray, labels: np.ndarray, train: int, K: int) -> Dataset:
    """Return images (N, C, H, W) as a data set whose first `train` are for training and the others the test."""
    source = ImageSet(images, labels.astype(np.int32))
    C = images.shape[1]
    at = np.arange(len(images))
    return Dataset(
        "made",
        tuple("abcdefghij"[:K]),
        Split(source, at[:train]),
        None,
        Split(source, at[train:]),
        Scaling((1 / 255,) * C, (0.0,) * C),
        "",
    )


def test_logistic_regression_is_scikit_learn_s() -> None:
    """On digits the accuracy on the test images is within a point of scikit-learn's, with the same penalty."""
    data = layerline.load_data("digits")
    assert data.test is not None
    x, t = (part.source.images[part.indices].reshape(len(part), -1).astype(float) for part in (data.train, data.test))
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation = np.maximum(deviation, deviation.max() / 100)
    model = LogisticRegression(C=1 / (logistic.PENALTY * len(x)), max_iter=2000, tol=1e-8)
    model.fit((x - mean) / deviation, data.train.labels)
    expected = model.predict((t - mean) / deviation)
    found = baselines.measured(data)
    assert found is not None
    assert abs(found["thumbnails"]["accuracy"] - accuracy_score(data.test.labels, expected)) <= 0.01
    assert abs(found["thumbnails"]["macro_f1"] - f1_score(data.test.labels, expected, average="macro")) <= 0.01


def test_fit_reaches_the_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """With enough steps the weights are scikit-learn's, though it fits in float64 and by other code."""
    monkeypatch.setattr(logistic, "STEPS", 500)
    monkeypatch.setattr(logistic, "_SMALL", 1e-6)
    monkeypatch.setattr(logistic, "PENALTY", 0.05)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    labels = (x[:, :3] + rng.normal(size=(200, 3))).argmax(axis=1).astype(np.int32)
    w, b = logistic.fit(x, labels, 3)
    model = LogisticRegression(C=1 / (0.05 * 200), tol=1e-10, max_iter=5000).fit(x, labels)
    np.testing.assert_allclose(w.T, model.coef_, atol=2e-3)
    np.testing.assert_allclose(b - b.mean(), model.intercept_ - model.intercept_.mean(), atol=2e-3)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 40), (1, 28, 28), (3, 33, 50)])
def test_thumbnails_are_means_over_areas(shape: tuple[int, int, int]) -> None:
    """A pixel of a thumbnail is the mean over the part of the image that it covers, partly covered pixels by share."""
    C, H, W = shape
    images = np.random.default_rng(0).integers(256, size=(3, *shape)).astype(np.uint8)
    data = made(images, np.zeros(3), 3, 1)
    h, w = min(H, 16), min(W, 16)
    found = baselines.thumbnails(data.train, np.array([2, 0])).reshape(2, C, h, w)
    # Each pixel h × w small ones: then every part is a whole number of them.
    fine = images[[2, 0]].astype(float).repeat(h, axis=2).repeat(w, axis=3)
    expected = fine.reshape(2, C, h, H, w, W).mean(axis=(3, 5))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2**-24 * 255 * 4 * (H + W))


def test_always_the_largest_class() -> None:
    """The class is the largest of the training images, the first of equals, whatever the test images are."""
    labels = np.array([1, 1, 0, 0, 2, 2, 1, 0])
    images = np.random.default_rng(0).integers(256, size=(8, 1, 4, 4)).astype(np.uint8)
    found = baselines.measured(made(images, labels, 5, 3))
    assert found is not None
    assert found["largest_class"] == {"class": "a", "accuracy": 1 / 3, "macro_f1": pytest.approx(0.5 / 3)}
    assert baselines.measured(replace(made(images, labels, 5, 3), test=None)) is None


def test_fewer_images_where_all_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what is affordable the classes keep their shares, and the number of images is told."""
    monkeypatch.setattr(baselines, "FEWEST_IMAGES", 40)
    monkeypatch.setattr(baselines, "MOST_WORK", 1)
    labels = np.arange(500) % 5 % 2
    images = np.random.default_rng(0).integers(256, size=(500, 1, 4, 4)).astype(np.uint8)
    data = made(images, labels, 400, 2)
    chosen = baselines.fitted_on(data)
    assert len(chosen) == len(set(chosen.tolist())) == 40
    assert np.bincount(data.train.labels[chosen]).tolist() == [24, 16]
    found = baselines.measured(data)
    assert found is not None
    assert found["thumbnails"]["images"] == 40


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 40, 24)])
def test_the_nearest_training_image_is_scikit_learn_s(shape: tuple[int, int, int]) -> None:
    """The class is that of the one nearest neighbor by Euclid's distance of thumbnails, as scikit-learn finds it."""
    rng = np.random.default_rng(3)
    images = rng.integers(256, size=(120, *shape)).astype(np.uint8)
    data = made(images, rng.integers(3, size=120), 80, 3)
    assert data.test is not None
    x, t = (baselines.thumbnails(part, np.arange(len(part))).astype(float) for part in (data.train, data.test))
    expected = KNeighborsClassifier(1).fit(x, data.train.labels).predict(t)
    found = baselines.measured(data)
    assert found is not None
    assert found["nearest"] == {
        "accuracy": pytest.approx(accuracy_score(data.test.labels, expected)),
        "macro_f1": pytest.approx(f1_score(data.test.labels, expected, average="macro")),
        "images": 80,
    }


def test_the_nearest_is_looked_for_among_fewer_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what is affordable it is looked for among some of each class, and how many is told."""
    monkeypatch.setattr(baselines, "FEWEST_IMAGES", 10)
    monkeypatch.setattr(baselines, "MOST_DISTANCES", 16 * 100 * 50)
    images = np.random.default_rng(0).integers(256, size=(500, 1, 4, 4)).astype(np.uint8)
    found = baselines.measured(made(images, np.arange(500) % 2, 400, 2))
    assert found is not None
    assert found["nearest"]["images"] == 50
    assert found["thumbnails"]["images"] == 400


@pytest.mark.parametrize("value", [0, 7, 255])
def test_images_of_one_color_have_a_baseline(value: int) -> None:
    """Thumbnails that are all the same say the largest class."""
    labels = np.array([1, 1, 0, 1, 0, 1])
    found = baselines.measured(made(np.full((6, 1, 20, 20), value, np.uint8), labels, 4, 2))
    assert found is not None
    assert found["thumbnails"]["accuracy"] == found["largest_class"]["accuracy"] == 0.5


def test_what_is_not_finite_has_no_regression() -> None:
    """Images with values that are not finite have the baseline of the largest class alone."""
    images = np.full((6, 1, 4, 4), np.nan, np.float32)
    with np.errstate(invalid="ignore"):
        found = baselines.measured(made(images, np.array([1, 1, 0, 1, 0, 1]), 4, 2))
    assert found is not None
    assert sorted(found) == ["largest_class"]
