"""Every remark appears with data made for it, and not otherwise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import layerline
from layerline.errors.python_terms import in_python
from layerline.measure import remarks
from layerline.recipe import Recipe
from layerline.runs.history import EpochRow
from layerline.runs.result import Result

TWO = {"confusion": [[20, 1], [1, 20]]}
"""A test of two classes."""


def rows(
    train: list[float], validation: list[float] | None = None, learned: float = 0.5, right: float = 0.5
) -> list[EpochRow]:
    held: list[float | None] = [None] * len(train) if validation is None else list(validation)
    return [
        EpochRow(e + 1, train[e], learned, 0.5, held[e], right, 0.5, 0.05, 1.0, 1.0, 100.0, best=True)
        for e in range(len(train))
    ]


def told(
    train: list[float] = [],  # noqa: B006 - it is only read
    validation: list[float] | None = None,
    confusion: list[list[int]] | None = None,
    counts: dict[str, list[int]] | None = None,
    interval: tuple[float, float] = (0.6, 0.8),
    largest: float = 0.3,
    thumbnails: float = 0.4,
    nearest: float | None = None,
    accuracy: float = 0.7,
    learned: float = 0.5,
    held: float = 0.5,
    **recipe: object,
) -> tuple[str, ...]:
    matrix = np.array(confusion if confusion is not None else (np.eye(10, dtype=int) * 20).tolist())
    classes = tuple("abcdefghij"[: len(matrix)])
    result = replace(
        Result.of(classes, 0.5, matrix),
        test_accuracy=accuracy,
        intervals={"test_accuracy": interval, "test_macro_f1": interval},
        baselines={
            "largest_class": {"class": "a", "accuracy": largest, "macro_f1": 0.1},
            "thumbnails": {"accuracy": thumbnails, "macro_f1": 0.4, "images": 100},
        }
        | ({} if nearest is None else {"nearest": {"accuracy": nearest, "macro_f1": 0.4, "images": 100}}),
    )
    if confusion is None:
        result = replace(result, confusion=None)
    given = counts or {"train": [100] * len(matrix)}
    options = {"epochs": max(1, len(train)), "schedule": "constant"} | recipe
    return remarks.of(
        rows(train, validation, learned, held),
        result,
        {name: np.array(of_class) for name, of_class in given.items()},
        Recipe(**options),  # type: ignore[arg-type]
    )


GOOD = [2.0, 1.2, 0.7, 0.45, 0.33, 0.28, 0.26, 0.25, 0.248, 0.247]
GOOD_HELD = [1.6, 1.0, 0.7, 0.5, 0.42, 0.39, 0.385, 0.384, 0.3835, 0.3834]


def test_a_good_training_has_no_remarks() -> None:
    """Losses that fall and settle, a matrix with few mistakes, a clear distance to the baselines: nothing is said."""
    matrix = (np.eye(10, dtype=int) * 18 + 1).tolist()
    counts = {"train": [100] * 10, "validation": [10] * 10, "test": [28] * 10}
    assert told(GOOD, GOOD_HELD, matrix, counts) == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"confusion": [[0, 0, 10], [0, 0, 10], [0, 0, 10]]},
            "The network predicts “c” for all 30 test images: it has learned nothing that distinguishes the classes.",
        ),
        (
            {"confusion": [[9, 0, 1], [8, 0, 2], [0, 0, 10]], "counts": {"train": [100, 20, 100]}},
            "The network never predicts “b”, the true class of 10 test images and of 20 of the 220 training images. "
            "More images of it, or --class-weights balanced, may help.",
        ),
        (
            {"confusion": [[9, 0, 1], [1, 0, 0], [0, 0, 10]], "counts": {"train": [100, 90, 100]}},
            "The network never predicts “b”, the true class of 1 test image and of 90 of the 290 training images.",
        ),
        (
            {
                "confusion": [[9, 0, 0, 1], [8, 0, 0, 2], [3, 0, 0, 0], [0, 0, 0, 10]],
                "counts": {"train": [1000, 20, 9, 1000]},
            },
            "The network never predicts 2 of the 4 classes (“b”, “c”), the true classes of 13 test images and of 29 "
            "of the 2,029 training images. More images of them, or --class-weights balanced, may help.",
        ),
        (
            {"largest": 0.6},
            "The network is not significantly better than always predicting “a”: its accuracy is 0.700 (95% confidence "
            "interval 0.600 to 0.800), and always predicting “a” gives 0.600.",
        ),
        (
            {"thumbnails": 0.62},
            "Logistic regression on 16×16 thumbnails is not significantly worse: its accuracy is 0.620 and the "
            "network's is 0.700 (95% confidence interval 0.600 to 0.800). Either the task is easy, or the network is "
            "undertrained, or there are too few test images to tell.",
        ),
        (
            {
                "confusion": [[9, 0, 1], [8, 0, 2], [0, 0, 10]],
                "counts": {"train": [100, 20, 100]},
                "class_weights": "sqrt",
            },
            "The network never predicts “b”, the true class of 10 test images and of 20 of the 220 training images.",
        ),
        (
            {"accuracy": 1.0, "interval": (1.0, 1.0), "confusion": [[59, 0], [0, 300]], "counts": {"train": [100] * 2}},
            "No errors in 359 test images; the true error rate could still be up to 0.8%, which the intervals do not "
            "show.",
        ),
        (
            {"nearest": 0.76, "thumbnails": 0.62},
            "Predicting the class of the nearest training image by 16×16 thumbnails does just as well: its accuracy is "
            "0.760 and the network's is 0.700 (95% confidence interval 0.600 to 0.800). Either test images are near "
            "copies of training images (run layerline data check) or the task is easy.",
        ),
        (
            {"nearest": 0.81, "thumbnails": 0.62},
            "Predicting the class of the nearest training image by 16×16 thumbnails does better: its accuracy is "
            "0.810 and the network's is 0.700 (95% confidence interval 0.600 to 0.800). Either test images are near "
            "copies of training images (run layerline data check) or the task is easy.",
        ),
        (
            {"nearest": 0.74, "thumbnails": 0.62},
            "Logistic regression on 16×16 thumbnails is not significantly worse: its accuracy is 0.620 and the "
            "network's is 0.700 (95% confidence interval 0.600 to 0.800). Either the task is easy, or the network is "
            "undertrained, or there are too few test images to tell.",
        ),
        (
            {"accuracy": 1.0, "interval": (1.0, 1.0), "thumbnails": 1.0},
            "Logistic regression on 16×16 thumbnails does just as well: its accuracy is 1.000 and the network's is "
            "1.000 (95% confidence interval 1.000 to 1.000). The task is easy.",
        ),
        (
            {"thumbnails": 0.7},
            "Logistic regression on 16×16 thumbnails does just as well: its accuracy is 0.700 and the network's is "
            "0.700 (95% confidence interval 0.600 to 0.800). Either the task is easy or the network is undertrained.",
        ),
        (
            {"accuracy": 0.611, "interval": (0.389, 0.833), "thumbnails": 0.444, "confusion": [[6, 3], [4, 5]]},
            "Logistic regression on 16×16 thumbnails is not significantly worse on 18 images: its accuracy is 0.444 "
            "and the network's is 0.611 (95% confidence interval 0.389 to 0.833). Either the task is easy, or the "
            "network is undertrained, or there are too few test images to tell.",
        ),
        (
            {"thumbnails": 0.81},
            "Logistic regression on 16×16 thumbnails does better: its accuracy is 0.810 and the network's is "
            "0.700 (95% confidence interval 0.600 to 0.800). Either the task is easy or the network is undertrained.",
        ),
        (
            {"counts": {"train": [100] * 10, "validation": [10, 3, *[10] * 8]}},
            "The validation set has 3 images of “b”: one image changes its F1 by 0.3. More images, or a larger "
            "--validation, would make the scores more reliable.",
        ),
        (
            {"counts": {"train": [100] * 10, "test": [10, 9, 1, *[10] * 7]}},
            "The test set has 1 image of “c”: one image changes its F1 by 1. 2 of the 10 classes have fewer than 10. "
            "More images, or a larger --test, would make the scores more reliable.",
        ),
        (
            {"counts": {"train": [100] * 10, "test": [*[7] * 9, 4]}},
            "The test set has 4 images of “j”: one image changes its F1 by 0.2. Every class has fewer than 10. More "
            "images, or a larger --test, would make the scores more reliable.",
        ),
        (
            {"counts": {"train": [100] * 10, "test": [0, *[10] * 9]}},
            "The test set has no images of “a”: it shows nothing about that class. More images, or a larger --test, "
            "would make the scores more reliable.",
        ),
        (
            {"train": [1.5, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05], "validation": [1.4, 1, 0.8, 0.7, 0.6, 0.8, 1.0, 1.2]},
            "The network has been overfitting since epoch 6: from epoch 5 to 8 the training loss fell from 0.3000 to "
            "0.0500 while the validation loss rose from 0.6000 to 1.2000: it is becoming overconfident. More images, "
            "--augment, Dropout or --weight-decay may help.",
        ),
        (
            {"train": [2.32, 2.31, 2.30, 2.29, 2.28, 2.27], "learning_rate": 0.0001},
            "The training loss fell by only 0.0500, to 2.2700 after 6 epochs (guessing gives ln 10 = 2.3026). The "
            "learning rate 0.0001 is too low: try --optimizer sgd --momentum 0.9 --learning-rate 0.02.",
        ),
        (
            {"train": [2.31], "learning_rate": 1e-6, "optimizer": "muon"},
            "The training loss is 2.3100 after 1 epoch (guessing gives ln 10 = 2.3026). The learning rate 1e-06 is too "
            "low: try --optimizer muon --learning-rate 0.004.",
        ),
        (
            {"train": [0.7084, 0.7036, 0.7001, 0.6973], "learning_rate": 0.001, "momentum": 0.0, **TWO},
            "The training loss fell by only 0.0111, to 0.6973 after 4 epochs (guessing gives ln 2 = 0.6931). The "
            "learning rate 0.001 is too low: try --optimizer sgd --momentum 0 --learning-rate 0.2.",
        ),
        (
            {"train": [2.4, 2.9, 2.31, 2.31, 2.31], "learning_rate": 2.0},
            "The training loss was 2.9000 in epoch 2, worse than guessing (guessing gives ln 10 = 2.3026). The "
            "learning rate 2 is too high: try --optimizer sgd --momentum 0.9 --learning-rate 0.02.",
        ),
        (
            {"train": [2.4, 2.9], "learning_rate": 2.0},
            "The training loss was 2.9000 in epoch 2, worse than guessing (guessing gives ln 10 = 2.3026). The "
            "learning rate 2 is too high: try --optimizer sgd --momentum 0.9 --learning-rate 0.02.",
        ),
        (
            {"train": [2.0, 1.0, 1.5, 0.9, 1.3, 0.8], "learning_rate": 0.2},
            "The training loss jumped 2 times, from 1.0000 to 1.5000 in epoch 3. The learning rate 0.2 is too high: "
            "try --optimizer sgd --momentum 0.9 --learning-rate 0.02.",
        ),
        (
            {"train": [2.31, 2.303, 2.304], "learning_rate": 0.5},
            "The training loss is 2.3040 after 3 epochs, no better than predicting the class frequencies (2.3026). "
            "The learning rate 0.5 is too high: try --optimizer sgd --momentum 0.9 --learning-rate 0.02.",
        ),
        (
            {"train": [2.31, 2.303, 2.304, 2.303, 2.3026]},
            "The training loss is 2.3026 after 5 epochs, no better than predicting the class frequencies (2.3026): "
            "nothing was learned. The labels may be unrelated to the images (inspect them with layerline data show), "
            "or the training may be too short.",
        ),
        (
            {
                "train": [2.0, 1.0, 0.5, 0.2, 0.1],
                "validation": [2.4, 2.6, 3.0, 3.5, 4.0],
                "counts": {"train": [100] * 10, "validation": [20] * 10},
                "learned": 0.99,
                "held": 0.12,
            },
            "The network has memorized the training images (accuracy 0.990) but does not generalize: its best "
            "validation accuracy is 0.120, and always predicting the largest class gives 0.100. The labels may be "
            "unrelated to the images: inspect them with layerline data show.",
        ),
        (  # Labels of 120 validation images that the network fits to two thirds.
            {
                "train": [2.0, 1.6, 1.2, 1.0, 0.9],
                "validation": [2.4, 2.6, 3.0, 3.5, 4.0],
                "counts": {"train": [100] * 10, "validation": [12] * 10, "test": [12] * 10},
                "learned": 0.667,
                "held": 0.12,
                "accuracy": 0.15,
                "interval": (0.1, 0.2),
                "largest": 0.05,
                "thumbnails": 0.05,
            },
            "The network fits the training images (accuracy 0.667) but does not generalize: its best validation "
            "accuracy is 0.120, and always predicting the largest class gives 0.100. The labels may be unrelated to "
            "the images: inspect them with layerline data show.",
        ),
        (
            {"train": [2.0, 1.7, 1.4, 1.2, 1.0], "validation": [1.9, 1.6, 1.3, 1.15, 1.0]},
            "The validation loss was still falling when training ended (1.0000 after 5 epochs), and the training loss "
            "(1.0000) is not far below it. More epochs may help: try --epochs 10 --optimizer sgd --learning-rate "
            "0.05.",
        ),
        (  # A rate that falls to 0: the last epochs lower it by little.
            {"train": [2.2, 1.9, 1.6, 1.5, 1.45, 1.44], "validation": [2.1, 1.8, 1.65, 1.55, 1.502, 1.5]},
            "The validation loss was still falling when training ended (1.5000 after 6 epochs), and the training loss "
            "(1.4400) is not far below it. More epochs may help: try --epochs 12 --optimizer sgd --learning-rate "
            "0.05.",
        ),
    ],
)
def test_a_remark_appears_where_it_applies(data: dict[str, object], expected: str) -> None:
    """Data made for a sentence has this sentence and no other."""
    assert told(**data) == (expected,)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        # The one class that is said is the only one there is.
        {"confusion": [[20, 0], [0, 0]]},
        # One image of 360 is wrong.
        {"accuracy": 359 / 360, "confusion": [[59, 1], [0, 300]]},
        # A class that is not in the test is never said.
        {"confusion": [[9, 0, 1], [0, 0, 0], [0, 0, 10]]},
        {"largest": 0.599, "thumbnails": 0.599},
        {"counts": {"train": [100] * 10, "validation": [10] * 10, "test": [10] * 10}},
        # Validation loss rises for two epochs only, for long but by little, or the training loss rises as well.
        {"train": [1.0, 0.5, 0.3, 0.2, 0.1], "validation": [1.0, 0.9, 0.8, 0.9, 1.2]},
        {"train": [1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02], "validation": [1.0, 0.8, 0.85, 0.84, 0.86, 0.87, 0.87]},
        {"train": [1.0, 0.5, 0.1, 0.05, 0.02, 0.01], "validation": [0.1, 0.02, 0.03, 0.03, 0.03, 0.03]},
        {"train": [1.0, 0.3, 0.35, 0.36, 0.37, 0.35], "validation": [1.0, 0.5, 0.6, 0.8, 0.9, 0.9]},
        # Slow, but fast at first; as fast as before, but most of it is gone; and with a rate that falls to 0.
        {"train": [2.2, 1.8, 1.65, 1.6, 1.58, 1.57, 1.565, 1.563]},
        # One bad epoch; the first epoch alone above guessing.
        {"train": [2.0, 1.0, 1.5, 0.9, 0.8, 0.79, 0.79]},
        {"train": [3.5, 1.5, 1.0, 0.8, 0.7, 0.69, 0.69]},
        # Validation loss rises for four epochs of fifty.
        {"train": np.linspace(1, 0.1, 50).tolist(), "validation": [*np.linspace(1, 0.5, 46).tolist(), *[0.8] * 4]},
        # An ordinary training of a hard set, at the rate that was measured for it: two classes of CIFAR-10.
        {
            "train": [0.695, 0.69, 0.68, 0.66, 0.645, 0.63, 0.62, 0.615],
            "learning_rate": 0.016,
            "optimizer": "muon",
            **TWO,
        },
        # A rate that is low, an eighth of the usual one, with a loss that goes up and down; or most of it is gone.
        {"train": [2.32, 2.2, 2.21, 2.1, 2.0, 1.99], "learning_rate": 0.0004, "optimizer": "muon"},
        {"train": [2.0, 1.0, 0.6, 0.4, 0.25, 0.22, 0.219], "learning_rate": 0.0004, "optimizer": "muon"},
        # Validation loss of 20 images, which one of them can move so far.
        {
            "train": [0.68, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05],
            "validation": [0.6, 0.5, 0.45, 0.42, 0.4, 0.45, 0.5, 0.55],
            "counts": {"train": [100] * 2, "validation": [10, 10]},
            **TWO,
        },
        # It still falls: without a validation set, next to nothing left of it, far above the training loss.
        {"train": [2.0, 1.7, 1.4, 1.2, 0.9]},
        {"train": [2.0, 0.5, 0.2, 0.06, 0.04], "validation": [1.9, 0.4, 0.1, 0.05, 0.04]},
        {"train": [2.0, 1.5, 1.0, 0.7, 0.4], "validation": [1.9, 1.6, 1.3, 1.15, 1.0]},
        # A little was learned, 3 % of what guessing gives.
        {"train": [2.31, 2.24, 2.232, 2.234, 2.233]},
        # Too short to say anything.
        {"train": [2.303]},
        {"train": [2.0, 1.0, 0.5], "validation": [2.0, 1.0, 0.5]},
        # The second half of the epochs gained next to nothing, or the last is not the best.
        {"train": [1.0, 0.5, 0.42, 0.4, 0.39], "validation": [1.0, 0.5, 0.4, 0.395, 0.389]},
        {"train": [1.0, 0.5, 0.4, 0.38, 0.37], "validation": [1.0, 0.9, 0.5, 0.4, 0.409]},
        # It still falls, and less than a thousandth of ln 10 = 2.3026 is left to gain.
        {"train": [1.0, 0.1, 0.01, 0.003, 0.0022]},
        {"train": [1.0, 0.5, 0.4, 0.3, 0.2], "validation": [0.1, 0.01, 1e-3, 1e-4, 1e-5]},
        {"train": [math.nan, 0.5, 0.4, 0.3, 0.2]},
    ],
)
def test_no_remark_appears_where_none_applies(data: dict[str, object]) -> None:
    """Data close to those of a sentence have none."""
    assert told(**data) == ()  # type: ignore[arg-type]


def _memorized(images: list[int], held: float, learned: float = 1.0, **more: object) -> bool:
    losses = {"train": [0.9, 0.5, 0.2, 0.05], "validation": [0.9, 0.8, 0.9, 1.0]}
    counts = {"train": [40] * len(images), "validation": images, "test": [50] * len(images)}
    matrix = np.eye(len(images), dtype=int).tolist()
    found = told(**losses, confusion=matrix, counts=counts, learned=learned, held=held, **more)  # type: ignore[arg-type]
    return any("does not generalize" in remark for remark in found)


@pytest.mark.parametrize(
    ("images", "held", "learned"),
    [
        ([1, 1], 1.0, 1.0),  # two standard errors above 0.5 would be 1.2
        ([2, 1], 1.0, 1.0),
        ([4, 1], 1.0, 1.0),
        ([3, 3], 0.5, 1.0),
        ([2, 2, 2], 0.667, 1.0),
        ([6, 6, 6], 0.444, 0.783),
        ([7, 7], 0.5, 0.95),
    ],
)
def test_few_validation_images_do_not_show_that_a_network_memorizes(
    images: list[int], held: float, learned: float
) -> None:
    """Nothing is said if a network that generalizes halfway would often be as good on so few images."""
    assert not _memorized(images, held, learned, accuracy=0.5)


@pytest.mark.parametrize(
    ("images", "held", "learned"), [([100, 100], 0.55, 0.81), ([3] * 10, 0.1, 0.9), ([12, 12], 0.5, 1.0)]
)
def test_enough_validation_images_show_that_a_network_memorizes(images: list[int], held: float, learned: float) -> None:
    """It is said where halfway to the training accuracy lies outside the interval, unless the test is much better."""
    assert _memorized(images, held, learned, accuracy=1 / len(images))
    assert not _memorized(images, held, learned, accuracy=0.9)


@pytest.mark.parametrize("largest", [0.02, 0.1, 0.5, 0.7])
@pytest.mark.parametrize("images", [180, 1_000, 10_000])
def test_from_180_images_on_halfway_is_always_ruled_out(images: int, largest: float) -> None:
    """At the edges of the other conditions, two standard errors above and 0.3 ahead in training, it is said."""
    first = round(images * largest)
    rest = images - first
    counts = [first, *[first] * (rest // first), *([rest % first] if rest % first else [])]
    top = first / images
    edge = top + 2 * math.sqrt(top * (1 - top) / images)
    assert _memorized(counts, edge - 1e-9, top + 0.3 + 1e-9, accuracy=top / 2)


def test_the_gravest_comes_first() -> None:
    """What the test says of the network stands before what it says of the training, and that before few images."""
    train, held = [1.5, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05], [1.4, 1, 0.8, 0.7, 0.6, 0.8, 1.0, 1.2]
    counts = {"train": [100] * 3, "validation": [3, 50, 50]}
    found = told(train, held, [[0, 0, 10], [0, 0, 10], [0, 0, 10]], counts, largest=0.6)
    words = ("predicts “c” for all", "not significantly better", "overfitting", "validation set has 3 images")
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_classes_that_are_rare_change_what_guessing_gives() -> None:
    """Where one class has 90 % of the images, a loss of 0.325 is what their shares give, and nothing was learned."""
    counts = {"train": [900, 100]}
    matrix = [[20, 1], [1, 20]]
    flat = [0.33, 0.326, 0.3255, 0.326, 0.3252]
    assert any("nothing was learned" in text for text in told(flat, confusion=matrix, counts=counts))
    assert told([0.33, 0.28, 0.25, 0.24, 0.24], confusion=matrix, counts=counts) == ()


def test_without_a_test_the_training_is_remarked_on() -> None:
    """Sentences about the losses need no test set."""
    found = remarks.of(
        rows([2.32, 2.31, 2.30, 2.29, 2.28]), Result(tuple("abcdefghij")), {"train": np.full(10, 100)},
        Recipe(epochs=5, schedule="constant", learning_rate=0.001),
    )  # fmt: skip
    assert len(found) == 1
    assert "too low" in found[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_good_runs_of_digits_have_no_remarks(seed: int) -> None:
    """A training that works gives no alarm."""
    data = layerline.load_data("digits")
    network = layerline.read("digits", data)
    run = layerline.train(network, data, Recipe(epochs=20, learning_rate=0.05, seed=seed))
    assert run.result.test_accuracy is not None
    assert run.result.test_accuracy > 0.95
    assert run.result.remarks == ()


@pytest.mark.parametrize(("learning_rate", "word"), [(1e-6, "too low"), (3.0, "learning rate")])
def test_bad_runs_of_digits_have_remarks(learning_rate: float, word: str) -> None:
    """A training with a rate that is far off is told so."""
    data = layerline.load_data("digits")
    recipe = Recipe(epochs=6, learning_rate=learning_rate, clip_norm=1.0)
    run = layerline.train(layerline.read("digits", data), data, recipe)
    assert any(word in text for text in run.result.remarks), run.result.remarks
    assert all(in_python(text) in repr(run) for text in run.result.remarks)
