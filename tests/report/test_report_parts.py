"""The parts of report.html on their own: labels to look at, axes, thumbnails, the order in which cells get images."""

from __future__ import annotations

import base64
import dataclasses
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from layerline.data.dataset import Dataset, ImageSet, Scaling, Split
from layerline.report import confusion_table, drawing, thumbnails
from layerline.report.plotted_metrics import PLOTTED, Curve
from layerline.report.suspects import SURE, suspects
from layerline.runs.predictions import Predictions

LOSS = PLOTTED[0]


def predicted(M: int, K: int, seed: int, sharp: float = 3.0) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, M)
    score = rng.normal(size=(M, K)) * sharp
    p = (np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)).astype(np.float32)
    return Predictions("test", truth, p.argmax(axis=1), p, np.arange(M), None)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sure", [0.0, 0.5, 0.9])
def test_suspects_follow_the_rule(seed: int, sure: float) -> None:
    """Image by image, with plain loops: the most probable class over its threshold is not the label, and is sure."""
    found = predicted(80, 4 + seed, seed)
    p, truth = found.probabilities.astype(float), found.truth
    K = p.shape[1]
    t = [np.mean([p[i, k] for i in range(80) if truth[i] == k]) if (truth == k).any() else None for k in range(K)]
    expected = []
    for i in range(80):
        over = [(p[i, k], k) for k in range(K) if t[k] is not None and p[i, k] >= t[k]]
        if over:
            best, k = max(over)
            if k != truth[i] and best >= sure:
                expected.append((best - p[i, truth[i]], i, k))
    expected.sort(reverse=True)
    listed = suspects(found, sure)
    assert [(i, k) for _, i, k in expected] == list(zip(listed.places.tolist(), listed.other.tolist(), strict=True))
    assert listed.margin == pytest.approx([margin for margin, _, _ in expected])


def test_flipped_labels_are_found() -> None:
    """Of 1,000 images of which a good model is sure, the 40 with a wrong label are listed, and no other."""
    rng = np.random.default_rng(0)
    truth = np.arange(1000) % 10
    p = np.full((1000, 10), 0.002) + rng.random((1000, 10)) * 0.001
    p[np.arange(1000), truth] += 0.975
    flipped = rng.permutation(1000)[:40]
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + 1 + np.arange(40) % 9) % 10
    probabilities = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    listed = suspects(Predictions("test", labels, truth, probabilities, None, None))
    assert sorted(listed.places.tolist()) == sorted(flipped.tolist())
    assert (listed.other == truth[listed.places]).all()


def test_a_class_without_images_is_never_suspected() -> None:
    """Without an image labeled so, a class has no threshold: no image is counted to it, however sure the model is."""
    p = np.asarray([[0.01, 0.01, 0.98], [0.9, 0.05, 0.05]], np.float32)
    listed = suspects(Predictions("test", np.asarray([0, 1]), p.argmax(1), p, None, None), sure=0.0)
    assert 2 not in listed.other.tolist()
    assert 0.5 < SURE < 1


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_and_inside(low: float, span: float) -> None:
    """Between two and seven numbers, evenly spaced by 1, 2 or 5 times a power of ten, none outside of the axis."""
    high = low + span
    if high - low < 1e-9 * max(abs(low), abs(high), 1):
        return
    marks = drawing.ticks(low, high)
    assert 1 <= len(marks) <= 7
    assert all(low - span * 1e-6 - 1e-9 <= mark <= high + span * 1e-6 + 1e-9 for mark in marks)
    if len(marks) > 1 and span > 1e-3:
        step = (marks[-1] - marks[0]) / (len(marks) - 1)
        digits = step / 10 ** math.floor(math.log10(step) + 1e-9)
        assert min(abs(digits - m) for m in (1, 2, 5, 10)) < 1e-3


def test_a_falling_loss_has_a_logarithmic_axis() -> None:
    """A loss that falls to a 1,000th is drawn so that each decade is as high as the other; a share never is."""
    lines = [Curve("training", [(k, 10.0 ** (1 - k)) for k in range(1, 5)])]
    drawn = drawing.chart(LOSS, "", lines, None, None)
    heights = [float(pair.split()[1]) for pair in drawn.split('<path d="M')[1].split('"')[0].split("L")]
    assert np.diff(heights) == pytest.approx([np.diff(heights)[0]] * 3, abs=0.2)
    assert drawing.chart(dataclasses.replace(LOSS, is_fraction=True), "", lines, None, None) != drawn


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-12, 1e12])
def test_one_epoch_is_a_chart(value: float) -> None:
    """A single point, or a constant line, lies in the middle of the axis, with finite places."""
    lines = [Curve("training", [(1, value)])]
    drawn = drawing.chart(LOSS, "", lines, None, 1)
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert 'class="star"' in drawn


def test_long_lines_keep_their_ends_and_the_best() -> None:
    """Of 10,000 points about 300 are drawn, the first, the last and the best among them."""
    kept = drawing.thin(10_000, [777])
    assert len(kept) <= 301
    assert {0, 777, 9999} <= set(kept)
    assert drawing.thin(5) == [0, 1, 2, 3, 4]


def opened(thumbnail: thumbnails.Thumbnail) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(thumbnail.uri.partition(",")[2])))


@pytest.mark.parametrize("shape", [(8, 8), (64, 40, 3), (1, 1)])
def test_small_images_are_exact(shape: tuple[int, ...]) -> None:
    """Up to 64 pixels an image is a PNG with every pixel as it is."""
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    made = thumbnails.encoded(image, 256)
    assert made.uri.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(opened(made)), image)
    assert (made.width, made.height) == (shape[1], shape[0])


@pytest.mark.parametrize(("shape", "size"), [((300, 600, 3), (96, 48)), ((5000, 2), (1, 96)), ((97, 97), (96, 96))])
def test_large_images_are_made_smaller(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """The longer side becomes what is asked for, the other stays in proportion, and neither becomes 0."""
    made = thumbnails.encoded(np.zeros(shape, np.uint8), 96)
    assert opened(made).size == (made.width, made.height) == size
    assert made.uri.startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("last", [False, True], ids=["C, H, W", "H, W, C"])
@pytest.mark.parametrize(("dtype", "maximum"), [(np.uint8, 255.0), (np.uint8, 16.0), (np.float32, 1.0)])
@pytest.mark.parametrize("C", [1, 2, 3])
def test_pixels_of_a_data_set(C: int, dtype: type, maximum: float, last: bool) -> None:
    """Black is 0 and the set's largest value 255; three channels are colors, else the first is shown."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, int(maximum) + 1, (5, 4, 6, C)) if dtype == np.uint8 else rng.random((5, 4, 6, C))
    stored = np.asarray(values, dtype)
    images = stored.transpose(0, 3, 1, 2) if last else np.ascontiguousarray(stored.transpose(0, 3, 1, 2))
    source = ImageSet(images, np.zeros(5, np.int32), maximum)
    split = Split(source, np.arange(5, dtype=np.int64))
    data = Dataset("d", ("a",), split, None, split, Scaling((1.0,) * C, (0.0,) * C), "0" * 64)
    shown = thumbnails.of(data)("test", 3)
    expected = np.rint(values[3].astype(np.float32).astype(float) / maximum * 255)
    expected = expected if C == 3 else expected[:, :, 0]
    assert shown.dtype == np.uint8
    assert np.array_equal(shown, expected.astype(np.uint8))


def test_images_of_older_runs_are_those_of_the_split_in_order() -> None:
    """Predictions without indices get those of the split where all labels agree, and none where one does not."""
    labels = np.asarray([0, 1, 2, 1, 0], np.int32)
    source = ImageSet(np.zeros((5, 1, 2, 2), np.uint8), labels, names=[f"{k}.png" for k in range(5)])
    split = Split(source, np.asarray([1, 2, 4]))
    stored = thumbnails.of(Dataset("d", ("a", "b", "c"), split, None, split, Scaling((1.0,), (0.0,)), "0" * 64))
    for truth, index, names in (([1, 2, 0], [1, 2, 4], ("1.png", "2.png", "4.png")), ([1, 2, 1], None, None)):
        p = np.eye(3, dtype=np.float32)[truth]
        found = stored.indexed(Predictions("test", np.asarray(truth), p.argmax(1), p, None, None))
        assert (None if found.index is None else found.index.tolist()) == index
        assert found.names == names


def test_cells_get_images_in_turn() -> None:
    """Every mistake's cell gets its first image before one gets its second, and cells that are right come after."""
    pairs = [
        confusion_table.ClassPair(0, 1, 3, (1, 2, 3)),
        confusion_table.ClassPair(1, 1, 2, (8, 9)),
        confusion_table.ClassPair(1, 0, 1, (5,)),
    ]
    order = [(pair.panel, place) for pair, place in confusion_table.in_turn(pairs)]
    assert order == [
        ("cell-0-1", 1), ("cell-1-0", 5), ("cell-0-1", 2), ("cell-0-1", 3), ("cell-1-1", 8), ("cell-1-1", 9)
    ]  # fmt: skip
