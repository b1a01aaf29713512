"""The graphs: that they are there, show the numbers they are given, can be read, and are equal for equal runs."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from layerline import figures, metrics, report
from layerline.report import curves, filters, matrix, sheet
from layerline.run_folder import EpochRow, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ["loss", "accuracy", "macro_f1", "confusion", "filters"]


def network(*kinds: str, shape: tuple[int, int, int] = (1, 8, 8)) -> Any:
    """Return what the graphs ask of a network: a chain of layers of these kinds, each with its number as its path."""
    nodes = [
        SimpleNamespace(index=k, layer=SimpleNamespace(kind=kind), inputs=(k,), path=str(k))
        for k, kind in enumerate(kinds)
    ]
    return SimpleNamespace(nodes=tuple(nodes), input_shape=shape)


def history(epochs: int, *, validation: bool = True, best: int = 1, scale: float = 1.0) -> list[EpochRow]:
    rows = []
    for epoch in range(1, epochs + 1):
        loss, right = scale * (2.3 / epoch), 1 - 0.5 / epoch
        figures_of_validation = (loss * 1.1, right - 0.02, right - 0.03) if validation else (None, None, None)
        rows.append(
            EpochRow(
                epoch, loss, right, right - 0.01, *figures_of_validation, 0.05, 1.0, 1.2, 5e4, best=epoch in (1, best)
            )
        )
    return rows


def result(K: int, images: int = 1000, name: str = "{}") -> Result:
    rng = np.random.default_rng(K)
    truth = rng.integers(0, K, images)
    wrong = rng.random(images) < 0.1
    prediction = np.where(wrong, rng.integers(0, K, images), truth)
    return Result.of([name.format(k) for k in range(K)], 0.25, metrics.confusion(truth, prediction, K))


WEIGHTS = {"0.weight": np.random.default_rng(0).normal(size=(6, 1, 5, 5)).astype(np.float32)}


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def boxes(figure: Figure, chosen: list[Text]) -> list[Any]:
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    return [text.get_window_extent(renderer) for text in chosen]


def assert_within(figure: Figure) -> None:
    """Every text lies on the paper."""
    chosen = texts(figure)
    paper = figure.bbox
    for text, box in zip(chosen, boxes(figure, chosen), strict=True):
        inside = box.x0 >= -0.5 and box.y0 >= -0.5 and box.x1 <= paper.x1 + 0.5 and box.y1 <= paper.y1 + 0.5
        assert inside, (text.get_text(), box)


def assert_apart(figure: Figure, chosen: list[Text]) -> None:
    """No two of the texts cover each other."""
    pairs = itertools.combinations(zip(chosen, boxes(figure, chosen), strict=True), 2)
    for (one, box), (other, its) in pairs:
        overlap = min(box.x1, its.x1) - max(box.x0, its.x0), min(box.y1, its.y1) - max(box.y0, its.y0)
        assert min(overlap) <= 0.5, (one.get_text(), other.get_text())


def test_all_are_drawn(tmp_path: Path) -> None:
    """Ten files: PNGs of 300 pixels an inch at a column's width, SVGs that are XML, none with a date in it."""
    drawn = report.draw(tmp_path, history(10), result(10), network("conv"), WEIGHTS)
    assert drawn.missing == ()
    assert sorted(drawn.files) == sorted(path.name for path in tmp_path.iterdir())
    assert sorted(drawn.files) == sorted(f"{name}.{ending}" for name in NAMES for ending in ("png", "svg"))
    for name in ("loss", "accuracy", "macro_f1"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size == (1050, 690)
            assert set(image.info) <= {"dpi"}
    for name in ("confusion", "filters"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert 700 <= image.width <= 1100
    for path in tmp_path.glob("*.svg"):
        assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own file
        assert b"date" not in path.read_bytes()


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    """Without an epoch, a test set or filters no such file is written, and a sentence says which and why."""
    drawn = report.draw(tmp_path, [], Result(("0", "1")), network("pool", "flat", "fc"), {"2.weight": np.ones((2, 3))})
    assert not list(tmp_path.iterdir())
    assert drawn.files == ()
    assert drawn.missing == (
        "no loss.png: no epoch was finished",
        "no accuracy.png: no epoch was finished",
        "no macro_f1.png: no epoch was finished",
        "no confusion.png: there is no test set",
        "no filters.png: no convolution, and no FC layer that reads the image itself",
    )


SCRIPT = """
import sys, numpy as np
from pathlib import Path
import test_report as t
t.report.draw(Path(sys.argv[1]), t.history(3), t.result(30), t.network("conv"), t.WEIGHTS)
assert "matplotlib.pyplot" not in sys.modules
"""


def test_equal_runs_give_equal_files(tmp_path: Path) -> None:
    """Another process, with another hash seed, draws the same bytes; it never imports pyplot."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    paths = os.pathsep.join([str(Path(__file__).parent), *(path for path in sys.path if path)])
    environment = {**os.environ, "PYTHONHASHSEED": "3", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", SCRIPT, str(there)], check=True, env=environment)  # noqa: S603 - our script
    report.draw(here, history(3), result(30), network("conv"), WEIGHTS)
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        for folder in (here, there)
    ]
    assert len(digests[0]) == 10
    assert digests[0] == digests[1]


def test_a_user_s_settings_change_nothing_and_are_kept(tmp_path: Path) -> None:
    """With a dark and large style set the files are the same, and the style is still set afterwards."""
    import matplotlib as mpl

    with sheet.look():
        plain = sheet.publish(_curve(history(2)), tmp_path, "plain")
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30, "lines.linewidth": 9, "svg.hashsalt": "x"}):
        before = dict(mpl.rcParams)
        with sheet.look():
            other = sheet.publish(_curve(history(2)), tmp_path, "other")
        assert dict(mpl.rcParams) == before
    for one, two in zip(plain, other, strict=True):
        assert (tmp_path / one).read_bytes() == (tmp_path / two).read_bytes()


def test_class_names_cannot_spoil_a_picture(tmp_path: Path) -> None:
    """Names with formulas, markup, control characters, other scripts, or nothing at all: no error, no warning, XML."""
    names = ["$\\frac{$", "<img src=x onerror=1>", "\x1b[31mred", "a\nb", "猫", "", "-->", "\udcff", "x" * 1_000_000]
    told = replace(result(9), classes=tuple(names))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report.draw(tmp_path, history(1), told, network("conv"), WEIGHTS)
    ET.parse(tmp_path / "confusion.svg")  # noqa: S314 - our own file


def _curve(rows: list[EpochRow], told: Result | None = None, merit: int = 0) -> Figure:
    figure = curves.curve(curves.MERITS[merit], rows, told or result(10))
    assert figure is not None
    return figure


@pytest.mark.parametrize(("epochs", "validation", "best"), [(1, True, 1), (10, True, 8), (3, False, 3), (200, True, 9)])
@pytest.mark.parametrize("merit", [0, 1, 2])
def test_a_curve_shows_its_numbers(epochs: int, validation: bool, best: int, merit: int) -> None:
    """The lines are the history, the star stands at the best epoch, the test is dashed across; texts can be read."""
    rows, told = history(epochs, validation=validation, best=best), result(10)
    name = curves.MERITS[merit].name
    with sheet.look():
        figure = _curve(rows, told, merit)
        lines = figure.axes[0].get_lines()
        expected = [[getattr(row, f"train_{name}") for row in rows]]
        if validation:
            expected.append([getattr(row, f"validation_{name}") for row in rows])
        for line, values in zip(lines, expected, strict=False):
            assert list(line.get_xdata()) == list(range(1, epochs + 1))
            assert list(line.get_ydata()) == values
            assert (line.get_marker() == "") == (epochs > 30)
        test, star = lines[len(expected)], lines[len(expected) + 1]
        assert set(test.get_ydata()) == {getattr(told, f"test_{name}")}
        assert test.is_dashed()
        assert (star.get_marker(), list(star.get_xdata()), list(star.get_ydata())) == (
            "*", [best], [expected[-1][best - 1]],
        )  # fmt: skip
        assert len(lines) == len(expected) + 2
        words = " ".join(text.get_text() for text in texts(figure))
        for label in ("training", *(["validation"] if validation else []), "test", f"★ best: epoch {best}"):
            assert label in words
        assert_within(figure)
        axis = figure.axes[0]
        assert_apart(figure, [*axis.texts, *figure.texts, axis.title, axis.xaxis.label, *axis.get_xticklabels()])
        assert_apart(figure, list(axis.get_yticklabels()))


def test_a_loss_that_is_not_a_number_is_left_out() -> None:
    """Epochs without a finite value are gaps, and a history of nothing else has no picture."""
    rows = history(4)
    rows[2] = replace(rows[2], train_loss=math.nan, validation_loss=math.inf)
    with sheet.look():
        lines = _curve(rows).axes[0].get_lines()
        assert [list(line.get_xdata()) for line in lines[:2]] == [[1, 2, 4], [1, 2, 4]]
        nothing = [replace(row, train_loss=math.nan, validation_loss=None) for row in rows]
        assert curves.curve(curves.MERITS[0], nothing, result(2)) is None


def test_a_loss_that_falls_far_is_logarithmic() -> None:
    """From a factor of 50 on the axis of the loss is logarithmic, with plain numbers; shares never are."""
    with sheet.look():
        assert _curve(history(10)).axes[0].get_yscale() == "linear"
        far = _curve(history(1000), result(2)).axes[0]
        assert far.get_yscale() == "log"
        labels = [text.get_text() for text in far.get_yticklabels()]
        assert "0.1" in labels
        assert _curve(history(1000), merit=1).axes[0].get_yscale() == "linear"


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=3), st.floats(0.01, 0.3))
def test_labels_are_moved_apart(heights: list[float], gap: float) -> None:
    """No two are closer than the gap, none leaves the range, and their order is that of the lines."""
    placed = curves.apart(heights, gap, 0.0, 1.0)
    ordered = sorted(placed)
    assert all(high - low >= gap - 1e-9 for low, high in itertools.pairwise(ordered))
    assert ordered[0] >= -1e-9
    assert ordered[-1] <= 1 + 1e-9
    for (a, b), (x, y) in zip(itertools.combinations(heights, 2), itertools.combinations(placed, 2), strict=True):
        assert a == b or (a < b) == (x < y)


@pytest.mark.parametrize("K", [2, 3, 10, 12, 13, 25, 26, 100])
@pytest.mark.parametrize("name", ["{}", "WWWWWWWWWWWW {}"])
def test_a_matrix_can_be_read(K: int, name: str) -> None:
    """Every class is named on both sides, no name covers another or leaves the paper, and cells say their counts."""
    told = result(K, images=400 * K, name=name)
    assert told.confusion is not None
    with sheet.look():
        figure = matrix.picture(told.confusion, told.classes)
        axes = figure.axes[0]
        shown = [figures.name(label, 16) for label in told.classes]
        assert [text.get_text() for text in axes.get_xticklabels()] == shown
        assert [text.get_text() for text in axes.get_yticklabels()] == shown
        assert_within(figure)
        assert_apart(figure, list(axes.get_xticklabels()))
        assert_apart(figure, list(axes.get_yticklabels()))
        assert_apart(figure, [axes.xaxis.label, *axes.get_xticklabels()[:3], *figure.texts])
        assert_apart(figure, [*figure.texts, figure.axes[1].title, *figure.axes[1].get_yticklabels()])
        if K <= 12:
            assert_apart(figure, list(axes.texts))
    counts = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in reversed(axes.texts)}
    expected = {} if K > 25 else {(j, k): f"{told.confusion[j, k]:,d}" for j, k in np.argwhere(told.confusion).tolist()}
    assert counts == expected


def test_colour_is_the_share_of_the_row() -> None:
    """The cells are coloured by the share of their row; a row without images has none."""
    with sheet.look():
        figure = matrix.picture(np.array([[3, 1, 0], [0, 0, 0], [0, 5, 5]]), ("a", "b", "c"))
    shares = np.ma.filled(figure.axes[0].collections[0].get_array().astype(float), np.nan).reshape(3, 3)
    np.testing.assert_array_equal(shares, [[0.75, 0.25, 0], [np.nan] * 3, [0, 0.5, 0.5]])


def test_the_worst_pairs_are_listed() -> None:
    """With many classes the pairs most often confused stand below, the most frequent first; right ones never do."""
    confusion = np.diag(np.full(14, 50))
    confusion[3, 5], confusion[9, 2] = 7, 12
    with sheet.look():
        figure = matrix.picture(confusion, [f"c{k}" for k in range(14)])
    assert figure.texts[-1].get_text().splitlines()[1:] == ["c9 → c2: 12 of 62", "c3 → c5: 7 of 57"]


def test_filters_are_shown_as_they_are() -> None:
    """Each tile of the picture is its filter, weight for weight, with nothing between; the scale is symmetric."""
    weights = WEIGHTS["0.weight"]
    found = filters.first_filters(network("relu", "conv"), {"1.weight": weights})
    assert found is not None
    with sheet.look():
        image = filters.picture(found).axes[0].get_images()[0]
    shown = np.ma.filled(image.get_array(), np.nan)
    assert shown.shape == (2 * 6 - 1, 3 * 6 - 1)
    for k in range(6):
        top, left = k // 3 * 6, k % 3 * 6
        np.testing.assert_array_equal(shown[top : top + 5, left : left + 5], weights[k, 0])
    assert np.isnan(shown).sum() == shown.size - weights.size
    assert image.get_clim() == (-np.abs(weights).max(), np.abs(weights).max())


def test_rgb_filters_are_in_colour() -> None:
    """Zero is the middle grey, and the largest weight fills its own colour only."""
    weights = np.zeros((2, 3, 2, 2))
    weights[1, :, 0, 1] = (0.5, -0.5, 0.25)
    found = filters.first_filters(network("conv", shape=(3, 8, 8)), {"0.weight": weights})
    assert found is not None
    with sheet.look():
        image = np.asarray(filters.picture(found).axes[0].get_images()[0].get_array())
    assert image.shape == (2, 5, 4)
    assert image[0, 0].tolist() == [128, 128, 128, 255]
    assert image[0, 4].tolist() == [255, 0, 191, 255]
    assert image[:, 2, 3].tolist() == [0, 0]


def test_an_fc_layer_that_reads_the_image_is_shown() -> None:
    """Without a convolution the first FC layer's weights are images of the input's shape."""
    weights = np.random.default_rng(1).normal(size=(4, 3 * 2 * 5))
    found = filters.first_filters(
        network("flat", "fc", "fc", shape=(3, 2, 5)), {"1.weight": weights, "2.weight": weights}
    )
    assert found is not None
    np.testing.assert_array_equal(found.weights, weights.reshape(4, 3, 2, 5))
    assert found.title == "First FC layer: weights of 4 units"


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (1, 3, 3, 3), (300, 1, 28, 28), (64, 4, 3, 5), (7, 64, 7, 7), (200, 3, 5, 5), (32, 3, 3, 3)]
)
def test_filters_of_any_shape_fit_the_paper(shape: tuple[int, ...]) -> None:
    """One filter or hundreds, of one channel or 64, all zero: a picture a column wide whose texts lie on the paper."""
    with sheet.look():
        figure = filters.picture(filters.Filters("First convolution: 64 filters of 3×5", np.zeros(shape)))
        assert figure.get_figwidth() == 3.5
        assert figure.get_figheight() <= 5.2
        assert_within(figure)
        assert_apart(figure, list(figure.texts))
        left_out = shape[0] > 32 or shape[1] == 64
        assert ("the first" in figure.texts[0].get_text()) == left_out
