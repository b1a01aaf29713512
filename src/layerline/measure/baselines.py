"""Baselines without a network: majority class, logistic regression on thumbnails, nearest training image.

A score means little on its own: 0.70 is poor if the majority class gives 0.67, and if a linear model on thumbnails
reaches 0.95 the task is easy. If the nearest thumbnail does as well, memorizing is enough: the test set may contain
near copies of training images. Like the network, all are fitted to the training images and scored on the test images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.checking.sketches import averaging
from layerline.measure import logistic
from layerline.runs import metrics
from layerline.system.workers import MATRICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset, Split
    from layerline.runs.result import Baseline, Baselines

SIDE: Final = 16
"""Side of a thumbnail in pixels; a shorter side is left as it is."""
MOST_WORK: Final = 50_000_000
"""Maximum images · features · classes to fit; above that, fewer images are used. With 19,531 of MNIST's images the test
accuracy is 0.922, with all 54,000 it is 0.926, for 0.7 and 1.6 s of CPU time (AMD EPYC, Zen 5, 2026-11-29)."""
MOST_DISTANCES: Final = 25_000_000_000
"""Maximum training images · test images · features to compare. On MNIST that is 9,765 training images, an accuracy of
0.956, and 0.9 s of CPU time; twice as many take twice as long for 0.965."""
MOST_PIXELS: Final = 400_000_000
"""Maximum number of values read from training images."""
FEWEST_IMAGES: Final = 1000
"""At least this many images are used, if there are that many."""

_BLOCK: Final = 1 << 20
"""Values converted to float32 or float64 at once: 4 or 8 MiB."""
_PRODUCTS: Final = 1 << 22
"""Products of test and training images at once: 16 MiB, written to the same memory each time. MNIST takes 0.50 s
instead of 0.65 with new arrays of 4 MiB (two cores of an AMD EPYC, Zen 5, 2026-11-29)."""


def measured(data: Dataset) -> Baselines | None:
    """Return the baselines; None without a test set.

    `thumbnails` and `nearest` also have the number of training `images` they use; they are missing if the images'
    values are not finite or too large for float32.
    """
    if data.test is None:
        return None
    truth, K = data.test.labels, len(data.classes)
    largest = int(np.bincount(data.train.labels, minlength=K).argmax())
    found: Baselines = {
        "largest_class": {"class": data.classes[largest], **_scores(truth, np.full(len(truth), largest), K)}
    }
    with MATRICES:
        for name, images, predict in (
            ("thumbnails", fitted_on(data), _predict_by_regression),
            ("nearest", compared_with(data), _predict_by_nearest),
        ):
            predicted = predict(data, images)
            if predicted is not None:
                found[name] = {**_scores(truth, predicted, K), "images": len(images)}
    return found


def _scores(truth: NDArray[np.int32], predicted: NDArray[np.int64], K: int) -> Baseline:
    scores = metrics.of_tallies(metrics.tallies(truth, predicted, K))
    return {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}


def fitted_on(data: Dataset) -> NDArray[np.int64]:
    """Return the training images that the regression is fitted to: ascending positions in the split.

    All of them, or as many as MOST_WORK and MOST_PIXELS allow.
    """
    return _spread(data, MOST_WORK // (_features(data) * len(data.classes)))


def compared_with(data: Dataset) -> NDArray[np.int64]:
    """Return the training images that the nearest is searched in, like `fitted_on` but limited by MOST_DISTANCES."""
    assert data.test is not None  # noqa: S101 - the caller has checked
    return _spread(data, MOST_DISTANCES // (_features(data) * len(data.test)))


def _features(data: Dataset) -> int:
    C, H, W = data.shape
    return C * min(H, SIDE) * min(W, SIDE)


def _spread(data: Dataset, most: int) -> NDArray[np.int64]:
    """Return at most `most` training images, evenly spaced in class order, so that class proportions are kept."""
    C, H, W = data.shape
    M = len(data.train)
    most = min(most, MOST_PIXELS // (C * H * W))
    most = min(M, max(most, FEWEST_IMAGES))
    by_class = np.argsort(data.train.labels, kind="stable")
    return np.sort(by_class[np.arange(most) * M // most])


def _predict_by_regression(data: Dataset, images: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the class that the regression predicts for each test image; None if a value is not finite."""
    assert data.test is not None  # noqa: S101 - the caller has checked
    x = thumbnails(data.train, images)
    mean = x.mean(axis=0)
    x -= mean
    deviation = _root_mean_square(x)
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        return None
    # Without a floor, a border pixel that is set in one image of thousands would be hundreds of deviations.
    least = max(float(deviation.max()) / 100, 1e-30)
    scale = (1 / np.maximum(deviation, least)).astype(np.float32)
    x *= scale
    w, b = logistic.fit(x, data.train.labels[images], len(data.classes))
    tested = thumbnails(data.test, np.arange(len(data.test)))
    return np.asarray(((tested - mean) * scale @ w + b).argmax(axis=1), np.int64)


def _predict_by_nearest(data: Dataset, images: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return, for each test image, the class of the training image with the nearest thumbnail (Euclidean).

    |x − t|² is smallest where x·t − |x|²/2 is largest; the first one wins ties. None if a value is not finite.
    """
    assert data.test is not None  # noqa: S101 - the caller has checked
    x = thumbnails(data.train, images)
    mean = x.mean(axis=0)
    x -= mean
    half = np.einsum("md,md->m", x, x) / 2
    tested = thumbnails(data.test, np.arange(len(data.test))) - mean
    if not (np.isfinite(half).all() and np.isfinite(tested).all()):
        return None
    step = max(1, _PRODUCTS // len(x))
    products = np.empty((min(step, len(tested)), len(x)), np.float32)
    nearest = []
    for k in range(0, len(tested), step):
        block = tested[k : k + step]
        near = np.matmul(block, x.T, out=products[: len(block)])
        near -= half
        nearest.append(near.argmax(axis=1))
    return np.asarray(data.train.labels[images][np.concatenate(nearest)], np.int64)


def _root_mean_square(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return √(mean x²) of each column, summed in float64."""
    step = max(1, _BLOCK // x.shape[1])
    blocks = (x[first : first + step].astype(np.float64) for first in range(0, len(x), step))
    squares = np.sum([np.einsum("nd,nd->d", block, block) for block in blocks], axis=0)
    return np.asarray(np.sqrt(squares / len(x)), np.float64)


def thumbnails(split: Split, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return images as float32 rows of C · 16 · 16 values, each the mean over its area of the image."""
    _, C, H, W = split.source.images.shape
    down, across = averaging(H, min(H, SIDE)), averaging(W, min(W, SIDE))
    rows = np.empty((len(places), C * len(down) * len(across)), np.float32)
    step = max(1, _BLOCK // (C * H * W))
    for first in range(0, len(places), step):
        block = split.source.images[split.indices[places[first : first + step]]].astype(np.float32, order="C")
        small = down @ (block.reshape(-1, W) @ across.T).reshape(-1, H, len(across))
        rows[first : first + step] = small.reshape(len(block), -1)
    return rows
