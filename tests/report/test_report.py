"""The graphs: that they are there, show the numbers they are given, can be read, and are equal for equal runs."""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import math
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from places import ROOT

from layerline import report
from layerline.numbers import display
from layerline.report import curves, filters, matrix, sheet
from layerline.report.marks import Area, Pixels, Stroke, Text
from layerline.report.plotted_metrics import PLOTTED
from layerline.report.sheet import Frame, Sheet
from layerline.runs import metrics
from layerline.runs.history import EpochRow
from layerline.runs.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NAMES = ["loss", "accuracy", "macro_f1", "confusion", "filters"]


def network(*kinds: str, shape: tuple[int, int, int] = (1, 8, 8)) -> Any:
    """Return what the graphs ask of a network: a chain of layers of these kinds, each with its number as its path."""
    nodes = [
        SimpleNamespace(
            index=k,
            layer=SimpleNamespace(kind=kind, has_filters=kind in ("conv", "depthwise")),
            inputs=(k,),
            path=str(k),
        )
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


def texts(drawn: Sheet) -> list[Text]:
    return [mark for mark in drawn.marks if isinstance(mark, Text) and mark.words]


def words(drawn: Sheet) -> list[str]:
    return [text.words for text in texts(drawn)]


@functools.cache
def ink(text: Text) -> tuple[float, float, float, float]:
    """Return how far the ink of a text reaches from its place, in inches: it is painted and looked at."""
    reach = round(1 + 0.1 * max(len(line) for line in text.words.split("\n")))
    paper = Sheet(2 * reach, 2 * reach, [replace(text, x=reach, y=reach, color="#000000")])
    rows, columns = np.nonzero(np.asarray(Image.open(io.BytesIO(paper.png(72))))[:, :, 0] < 230)
    left, right, low, high = columns.min(), columns.max() + 1, rows.max() + 1, rows.min()
    return left / 72 - reach, reach - low / 72, right / 72 - reach, reach - high / 72


def boxes(chosen: Iterable[Text]) -> Iterator[tuple[Text, list[float]]]:
    for text in chosen:
        place = (text.x, text.y, text.x, text.y)
        yield text, [a + b for a, b in zip(place, ink(replace(text, x=0, y=0, color="#000000")), strict=True)]


def assert_within(drawn: Sheet) -> None:
    """Every text lies on the paper."""
    for text, (x0, y0, x1, y1) in boxes(texts(drawn)):
        assert x0 >= -0.01, text
        assert y0 >= -0.01, text
        assert x1 <= drawn.width + 0.01, text
        assert y1 <= drawn.height + 0.01, text


def assert_apart(chosen: list[Text]) -> None:
    """No two of the texts cover each other."""
    for (one, box), (other, its) in itertools.combinations(boxes(chosen), 2):
        overlap = min(box[2], its[2]) - max(box[0], its[0]), min(box[3], its[3]) - max(box[1], its[1])
        assert min(overlap) <= 0.02, (one, other)


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
        "no filters.png: no convolution, and no FC layer directly on the input",
    )


SCRIPT = """
import sys, numpy as np
from pathlib import Path
import test_report as t
t.report.draw(Path(sys.argv[1]), t.history(200), t.result(30), t.network("conv"), t.WEIGHTS)
assert "matplotlib.pyplot" not in sys.modules
"""


def in_a_process(script: str, folder: Path) -> None:
    paths = os.pathsep.join([str(ROOT / "tests" / "report"), *(path for path in sys.path if path)])
    environment = {**os.environ, "PYTHONHASHSEED": "3", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True, env=environment)  # noqa: S603 - our script


def test_equal_runs_give_equal_files(tmp_path: Path) -> None:
    """Another process, with another hash seed, draws the same bytes; it never imports pyplot."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    in_a_process(SCRIPT, there)
    report.draw(here, history(200), result(30), network("conv"), WEIGHTS)
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        for folder in (here, there)
    ]
    assert len(digests[0]) == 10
    assert digests[0] == digests[1]


PLAIN = "import matplotlib as mpl\n"
HOSTILE = (
    PLAIN
    + """
hostile = {
    "text.usetex": True, "axes.grid": True, "font.family": ["no such font"], "font.size": 30, "savefig.bbox": "tight",
    "savefig.dpi": 17, "savefig.transparent": True, "svg.fonttype": "none", "svg.hashsalt": "x", "svg.id": "y",
    "svg.image_inline": False, "lines.linewidth": 9, "lines.antialiased": False, "patch.antialiased": False,
    "text.antialiased": False, "text.hinting": "none", "text.kerning_factor": 6, "axes.facecolor": "black",
    "path.sketch": (9, 9, 9), "path.simplify": True, "path.simplify_threshold": 1.0, "path.snap": False,
    "agg.path.chunksize": 101, "image.lut": 3, "image.composite_image": False, "axes.unicode_minus": False,
    "figure.facecolor": "red", "figure.autolayout": True, "figure.dpi": 300, "hatch.linewidth": 9, "xtick.top": True,
    "axes.formatter.use_locale": True, "text.parse_math": True,
}
mpl.rcParams.update({name: value for name, value in hostile.items() if name in mpl.rcParams})  # versions differ
"""
)


def test_a_user_s_settings_change_nothing(tmp_path: Path) -> None:
    """In processes with matplotlib's settings and with hostile ones, the files are the same, byte for byte."""
    digests = []
    for name, settings in (("plain", PLAIN), ("hostile", HOSTILE)):
        folder = tmp_path / name
        folder.mkdir()
        in_a_process(settings + SCRIPT, folder)
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()})
    assert len(digests[0]) == 10
    assert digests[0] == digests[1]


def test_no_setting_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the graphs are drawn, the only settings of matplotlib's that are read are those that a path begins with
    and `path.should_simplify` overrules, those of hatches, of which there are none, and the chunks of long lines that
    are simplified."""
    import matplotlib as mpl
    from matplotlib.backends import backend_agg  # noqa: F401 - importing it reads settings of its own

    asked = set()
    read = mpl.RcParams.__getitem__
    monkeypatch.setattr(mpl.RcParams, "__getitem__", lambda self, key: asked.add(key) or read(self, key))
    report.draw(tmp_path, history(200), result(30, name="class {}"), network("conv"), WEIGHTS)
    assert asked <= {"path.simplify", "path.simplify_threshold", "agg.path.chunksize", "hatch.linewidth", "hatch.color"}


def test_class_names_cannot_spoil_a_picture(tmp_path: Path) -> None:
    """Names with formulas, markup, control characters, other scripts, or nothing at all: no error, no warning, XML."""
    names = ["$\\frac{$", "<img src=x onerror=1>", "\x1b[31mred", "a\nb", "猫", "", "-->", "\udcff", "x" * 1_000_000]
    told = replace(result(9), classes=tuple(names))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report.draw(tmp_path, history(1), told, network("conv"), WEIGHTS)
    ET.parse(tmp_path / "confusion.svg")  # noqa: S314 - our own file


def _curve(rows: list[EpochRow], told: Result | None = None, metric: int = 0) -> Sheet:
    drawn = curves.curve(PLOTTED[metric], rows, told or result(10))
    assert drawn is not None
    return drawn


def drawn_lines(drawn: Sheet) -> dict[str, list[Stroke]]:
    """Return the lines by their colors."""
    found: dict[str, list[Stroke]] = {}
    for mark in drawn.marks:
        if isinstance(mark, Stroke):
            found.setdefault(mark.color, []).append(mark)
    return found


def straight(values: list[float], places: list[float]) -> bool:
    """Whether places follow from values by one factor and one shift."""
    fitted = np.polyval(np.polyfit(values, places, 1), values)
    return bool(np.abs(fitted - places).max() < 1e-6)


def level_of(drawn: Sheet, value: str) -> float:
    """Return the height of the tick that is labeled so; labels of the y axis are those that stand right of it."""
    (found,) = {text.y for text in texts(drawn) if text.words == value and text.across == "right"}
    return found


@pytest.mark.parametrize(("epochs", "validation", "best"), [(1, True, 1), (10, True, 8), (3, False, 3), (200, True, 9)])
@pytest.mark.parametrize("metric", [0, 1, 2])
def test_a_curve_shows_its_numbers(epochs: int, validation: bool, best: int, metric: int) -> None:
    """The lines are the history, the star stands at the best epoch, the test is dashed across; texts can be read."""
    rows, told = history(epochs, validation=validation, best=best), result(10)
    name = PLOTTED[metric].name
    drawn = _curve(rows, told, metric)
    lines = drawn_lines(drawn)
    shown = {sheet.TRAINING: "train"} | ({sheet.VALIDATION: "validation"} if validation else {})
    numbers = [text for text in texts(drawn) if text.across == "right" and text.words[0].isdigit()]
    scale = [float(text.words) for text in numbers]
    log = metric == 0 and epochs == 200
    assert straight([math.log(value) for value in scale] if log else scale, [text.y for text in numbers])
    to_height = np.polyfit(np.log(scale) if log else scale, [text.y for text in numbers], 1)
    for color, prefix in shown.items():
        values = [getattr(row, f"{prefix}_{name}") for row in rows]
        expected = np.polyval(to_height, np.log(values) if log else values)
        marks = [mark for mark in drawn.marks if isinstance(mark, Area) and mark.color == color and mark.edge is None]
        assert len(marks) == (epochs if epochs <= 30 else 0)
        for mark, height in zip(marks, expected, strict=False):
            assert abs(np.mean([y for _, y in mark.points]) - height) < 1e-6
        if epochs > 1:
            (line,) = lines[color]
            np.testing.assert_allclose([y for _, y in line.points], expected, atol=1e-6)
            assert straight(list(range(epochs)), [x for x, _ in line.points])
    (test,) = lines[sheet.TEST]
    assert test.dashes
    value = getattr(told, f"test_{name}")
    assert {round(y, 6) for _, y in test.points} == {round(np.polyval(to_height, math.log(value) if log else value), 6)}
    (star,) = [mark for mark in drawn.marks if isinstance(mark, Area) and mark.edge]
    assert star.color == (sheet.VALIDATION if validation else sheet.TRAINING)
    if epochs > 1:
        best_place = lines[star.color][0].points[best - 1]
        np.testing.assert_allclose(np.mean(star.points, axis=0), best_place, atol=1e-6)
    said = " ".join(words(drawn))
    for label in ("training", *(["validation"] if validation else []), "test", f"★ best: epoch {best}"):
        assert label in said
    assert_within(drawn)
    assert_apart(texts(drawn))


def test_a_loss_that_is_not_a_number_is_left_out() -> None:
    """Epochs without a finite value are gaps, and a history of nothing else has no picture."""
    rows = history(4)
    rows[2] = replace(rows[2], train_loss=math.nan, validation_loss=math.inf)
    drawn = _curve(rows)
    places = {text.words: text.x for text in texts(drawn) if text.words in {"1", "2", "4"} and text.up == "top"}
    for color in (sheet.TRAINING, sheet.VALIDATION):
        (line,) = drawn_lines(drawn)[color]
        assert [x for x, _ in line.points] == [places["1"], places["2"], places["4"]]
    nothing = [replace(row, train_loss=math.nan, validation_loss=None) for row in rows]
    assert curves.curve(PLOTTED[0], nothing, result(2)) is None


def test_a_loss_that_falls_far_is_logarithmic() -> None:
    """From a factor of 50 on the axis of the loss is logarithmic, with plain numbers; shares never are."""
    near = _curve(history(10))
    assert level_of(near, "1.5") - level_of(near, "1.0") == pytest.approx(level_of(near, "1.0") - level_of(near, "0.5"))
    far = _curve(history(1000), result(2))
    assert level_of(far, "1") - level_of(far, "0.1") == pytest.approx(level_of(far, "0.1") - level_of(far, "0.01"))
    shares = _curve(history(1000), metric=1)
    assert level_of(shares, "0.9") - level_of(shares, "0.8") == pytest.approx(
        level_of(shares, "0.8") - level_of(shares, "0.7")
    )


@given(st.floats(1e-6, 1e6), st.floats(1e-9, 1.0))
def test_values_of_an_axis_are_round_and_differ(low: float, share: float) -> None:
    """However narrow the range, there are at least two values, each within it, and no two read alike."""
    high = low * (1 + share) + 1e-9
    found = curves.round_values(low, high)
    assert len(found) >= 2
    assert len({reads for _, reads in found}) == len(found)
    for value, reads in found:
        assert low - 1e-9 * high <= value <= high * (1 + 1e-9)
        assert float(reads) == pytest.approx(value, rel=1e-9, abs=1e-12)


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
    drawn = matrix.picture(told.confusion, told.classes)
    shown = [display.name(label, 16) for label in told.classes]
    below, beside, rest = texts(drawn)[:K], texts(drawn)[K : 2 * K], texts(drawn)[2 * K :]
    assert [text.words for text in below] == shown
    assert [text.words for text in beside] == shown
    assert len({round(text.y, 9) for text in below}) == 1
    assert len({round(text.x, 9) for text in beside}) == 1
    assert_within(drawn)
    inside = [text for text in rest if text.across == "center" and text.up == "center"]
    around = [text for text in rest if text not in inside]
    if K <= 30:
        assert_apart([*below, *beside, *around])
    else:
        assert_apart(below)
        assert_apart(beside)
        assert_apart([*below[:3], *around])
    if K <= 12:
        assert_apart(inside)
    columns, rows = [text.x for text in below], [text.y for text in beside]
    counts = {}
    for text in inside:
        if not text.words.endswith("%"):
            at = (int(np.argmin([abs(y - text.y) for y in rows])), int(np.argmin([abs(x - text.x) for x in columns])))
            counts[at] = text.words
    expected = {} if K > 25 else {(j, k): f"{told.confusion[j, k]:,d}" for j, k in np.argwhere(told.confusion).tolist()}
    assert counts == expected


def pixels(drawn: Sheet) -> np.ndarray[Any, Any]:
    """Return the first image on a sheet."""
    return next(mark.pixels for mark in drawn.marks if isinstance(mark, Pixels))


def test_color_is_the_share_of_the_row() -> None:
    """The cells are colored by the share of their row, darker for more; a row without images has no color."""
    found = pixels(matrix.picture(np.array([[3, 1, 0], [0, 0, 0], [0, 5, 5]]), ("a", "b", "c")))
    assert found.shape == (3, 3, 3)
    assert (found[1] == 0xE4).all()
    light = found.astype(int).sum(axis=2)
    assert light[0, 0] < light[2, 1] == light[2, 2] < light[0, 1] < light[0, 2] == light[2, 0]
    assert found[0, 2].tolist() == [0xF7, 0xFB, 0xFF]
    everything = pixels(matrix.picture(np.array([[4, 0], [0, 9]]), ("a", "b")))
    assert everything[0, 0].tolist() == [0x08, 0x30, 0x6B]


def test_the_worst_pairs_are_listed() -> None:
    """With many classes the pairs most often confused stand below, the most frequent first; right ones never do."""
    confusion = np.diag(np.full(14, 50))
    confusion[3, 5], confusion[9, 2] = 7, 12
    drawn = matrix.picture(confusion, [f"c{k}" for k in range(14)])
    assert words(drawn)[-1].splitlines()[1:] == ["c9 → c2: 12 of 62", "c3 → c5: 7 of 57"]


def test_filters_are_shown_as_they_are() -> None:
    """Each tile is its filter, weight for weight: red where positive, blue where negative, paler nearer to zero; with
    nothing between; the scale is symmetric."""
    weights = WEIGHTS["0.weight"]
    found = filters.first_filters(network("relu", "conv"), {"1.weight": weights})
    assert found is not None
    drawn = filters.picture(found)
    shown = pixels(drawn).astype(int)
    assert shown.shape == (2 * 6 - 1, 3 * 6 - 1, 3)
    gaps = np.ones(shown.shape[:2], bool)
    for k in range(6):
        top, left = k // 3 * 6, k % 3 * 6
        tile, weight = shown[top : top + 5, left : left + 5], weights[k, 0]
        gaps[top : top + 5, left : left + 5] = False
        share = weight / np.abs(weights).max()
        strong = np.abs(share) > 0.05
        assert ((tile[:, :, 0] > tile[:, :, 2]) == (weight > 0))[strong].all()
        for sign in (share > 0, share < 0):
            order = np.argsort(np.abs(share[sign]))
            assert (np.diff(tile.sum(axis=2)[sign][order]) <= 0).all()
    assert (shown[gaps] == 0xE4).all()
    largest = f"{np.abs(weights).max():.2g}"
    assert {f"−{largest}", "0", largest} <= set(words(drawn))


def test_rgb_filters_are_in_color() -> None:
    """Zero is the middle gray, and the largest weight fills its own color only."""
    weights = np.zeros((2, 3, 2, 2))
    weights[1, :, 0, 1] = (0.5, -0.5, 0.25)
    found = filters.first_filters(network("conv", shape=(3, 8, 8)), {"0.weight": weights})
    assert found is not None
    image = pixels(filters.picture(found))
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
    drawn = filters.picture(filters.FirstFilters("First convolution: 64 filters of 3×5", np.zeros(shape)))
    assert drawn.width == 3.5
    assert drawn.height <= 5.2
    assert_within(drawn)
    assert_apart(texts(drawn))
    left_out = shape[0] > 32 or shape[1] == 64
    assert any("first" in each for each in words(drawn)) == left_out


def test_both_files_show_the_same() -> None:
    """Pixels, lines, areas and turned text stand in the SVG where they stand in the PNG: all its numbers are there."""
    paper = Sheet(2, 1)
    paper.pixels(Frame(0.5, 0.25, 0.5, 0.5), np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8))
    paper.line([(1.5, 0.25), (1.5, 0.75)], "#0000FF", 2.0)
    paper.text(0.25, 0.5, "ll", size=20, turned=True)
    png = np.asarray(Image.open(io.BytesIO(paper.png(72))))
    assert png.shape == (72, 144, 3)
    assert png[36, 40].tolist() == [255, 0, 0]
    assert png[36, 60].tolist() == [0, 255, 0]
    assert png[20, 108].tolist() == [0, 0, 255]
    assert png[10, 108].tolist() == [255, 255, 255]
    assert (png[30:36, 6:16] < 60).any(axis=(0, 2)).all()  # letters that lie on their side
    tree = ET.fromstring(paper.svg(72))  # noqa: S314 - our own file
    image = tree.find("{http://www.w3.org/2000/svg}image")
    assert image is not None
    assert [image.get(name) for name in ("x", "y", "width", "height")] == ["36", "18", "36", "36"]
    assert [path.get("d") for path in tree.iter("{http://www.w3.org/2000/svg}path")][-1] == "M108 54L108 18"
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}use"))) == 2
