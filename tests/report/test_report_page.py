"""report.html: it says what the run's files say, loads nothing, harms nobody, and can be read in every way."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
import read_page
import report_runs
from image_files import picture, png, tree
from report_runs import pixels, written
from sklearn.metrics import precision_recall_fscore_support

from layerline.data import load_data
from layerline.report import page, thumbnails
from layerline.runs import saved

if TYPE_CHECKING:
    from pathlib import Path

    from read_page import Element

HOSTILE = (
    '<img src=x onerror="alert(1)">',
    "\x1b[31mred\x1b[0m",
    "</script><script>alert(1)</script>",
    "a" * 1_000_000,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return report_runs.make(
        tmp_path / "small-1", test=report_runs.predicted(3, 90), validation=report_runs.predicted(3, 30, seed=1)
    )


# What it says


def test_the_figures_stand_with_their_intervals_and_baselines(run: Path) -> None:
    """Accuracy and macro F1 come with interval and both baselines, in the text and in what a screen reader says."""
    result = json.loads((run / "result.json").read_text())
    result["intervals"]["test_accuracy"] = [0.71, 0.82]
    result["test_accuracy"] = 0.7654
    (run / "result.json").write_text(json.dumps(result))
    said = read_page.section(written(run), "results")
    for part in (
        "76.54%",
        "95% confidence interval: 71.00% to 82.00%",
        "95% confidence interval: 61.00% to 69.00%",
        "90 test images",
    ):
        assert part in said.text
    label = next(said.all("svg")).attributes["aria-label"]
    assert "logistic regression on 16×16 thumbnails 43.75%" in label
    assert "nearest training image by 16×16 thumbnails 56.25%" in label
    assert "always “a” 31.25%" in label
    assert "The network never predicts “b”." in said.text
    assert "epoch 3" in said.text


def test_flags_in_sentences_are_code(run: Path) -> None:
    """A remark that names a flag shows it as code, so that no line breaks in it; the rest of it is text."""
    result = json.loads((run / "result.json").read_text())
    result["remarks"] = ["train longer, with --epochs 10 <b>--not a--flag</b>"]
    (run / "result.json").write_text(json.dumps(result))
    (remark,) = (li for li in read_page.section(written(run), "results").all("li") if "longer" in li.text)
    assert [code.text for code in remark.all()] == ["--epochs", "--not"]
    assert "<b>" in remark.text


def test_bars_are_as_long_as_their_shares(run: Path) -> None:
    """On the scale a bar of 43.75% is 0.4375 of the way from 0% to 100%, and the interval lies on the network's."""
    drawing = next(read_page.section(written(run), "results").all("svg"))
    zero, full = (
        float(next(text.attributes["x"] for text in drawing.all("text") if text.text == tick))
        for tick in ("0%", "100%")
    )
    ends = [
        float(bar.attributes["d"].split("H")[1].split("V")[0]) for bar in drawing.all("path") if "bar" in classes(bar)
    ]
    accuracy = json.loads((run / "result.json").read_text())["test_accuracy"]
    assert [(end - zero) / (full - zero) for end in ends] == pytest.approx([accuracy, 0.3125, 0.4375, 0.5625], abs=1e-3)
    (whisker,) = (path for path in drawing.all("path") if "whisker" in classes(path))
    low, high = re.findall(r"M([\d.]+) [\d.]+v", whisker.attributes["d"])
    found = [(float(x) - zero) / (full - zero) for x in (low, high)]
    assert found == pytest.approx([accuracy - 0.02, accuracy + 0.01], abs=1e-3)


def classes(element: Element) -> list[str]:
    return element.attributes.get("class", "").split()


def test_the_table_of_classes_is_scikit_learn_s(run: Path) -> None:
    """F1, precision and recall of every class are those of scikit-learn, from the predictions alone."""
    test = report_runs.predicted(3, 90)
    expected = precision_recall_fscore_support(test["truth"], test["prediction"])
    rows = list(read_page.section(written(run), "classes").one("tbody").all("tr"))
    assert [row.one("th").text for row in rows] == ["a", "b", "c"]
    for k, row in enumerate(rows):
        support, f1, precision, recall, _ = (cell.text for cell in row.all("td"))
        assert int(support) == expected[3][k]
        found = [float(precision), float(recall), float(f1)]
        assert found == pytest.approx([column[k] for column in expected[:3]], abs=5e-5)


def test_the_values_of_the_curves_are_in_a_table(run: Path) -> None:
    """A row an epoch with the figures of history.jsonl; the best, 3, is marked there and by a star in each chart."""
    section = read_page.section(written(run), "curves")
    rows = list(section.one("tbody").all("tr"))
    assert [cell.text for cell in rows[1].all("td")] == [
        *("1.0000", "0.7500", "0.7400", "1.2000", "0.7300", "0.7200", "0.05", "1.50 s")
    ]
    assert [row.one("th").text for row in rows] == ["1", "2", "3 ★ best", "4"]
    charts = [svg for svg in section.all("svg") if svg.attributes.get("role") == "img"]
    assert len(charts) == 3
    for chart in charts:
        stars = [path for path in chart.all("path") if classes(path) == ["star"]]
        assert len(stars) == 1
        assert "best epoch: 3" in stars[0].text


def test_the_curves_are_where_the_axis_says(run: Path) -> None:
    """Each point of the loss, read back by the labels of both axes, is the epoch's loss."""
    chart = next(svg for svg in read_page.section(written(run), "curves").all("svg") if "role" in svg.attributes)
    up = [
        (float(t.attributes["y"]) - 4, float(t.text)) for t in chart.all("text") if t.attributes["text-anchor"] == "end"
    ]
    across = [
        (float(t.attributes["x"]), int(t.text))
        for t in chart.all("text")
        if t.text.isdecimal() and "middle" in t.attributes["text-anchor"]
    ]
    for line, factor in (("training", 1.0), ("validation", 1.2)):
        (group,) = (g for g in chart.all("g") if classes(g) == [line])
        points = re.findall(r"([\d.]+) ([\d.]+)", next(group.all("path")).attributes["d"])
        values = [(scaled(float(x), across), scaled(float(y), up)) for x, y in points]
        expected = [(k, factor * 2.0 / k) for k in (1, 2, 3, 4)]
        assert np.asarray(values) == pytest.approx(np.asarray(expected), abs=0.01)  # places are rounded to 0.1


def scaled(at: float, labels: list[tuple[float, float]]) -> float:
    (a, low), (b, high) = labels[0], labels[-1]
    return low + (at - a) / (b - a) * (high - low)


def test_a_cell_opens_its_images(run: Path) -> None:
    """Each cell with images is a link to a panel that shows just those: all mistakes, up to 12 that are right."""
    html = written(run)
    section = read_page.section(html, "confusion")
    test = report_runs.predicted(3, 90)
    links = {a.attributes["href"]: a for a in section.one("table").all("a")}
    panels = {f"#{div.attributes['id']}": div for div in section.all("div") if classes(div) == ["panel"]}
    assert set(links) == set(panels)
    for j in range(3):
        for k in range(3):
            members = np.flatnonzero((test["truth"] == j) & (test["prediction"] == k))
            name = f"#cell-{j}-{k}"
            assert (name in links) == bool(len(members))
            if len(members):
                assert links[name].text == str(len(members))
                assert links[name].attributes["aria-label"].startswith(f"{len(members)} image")
                shown = [int(re.search(r"image (\d+)", img.attributes["alt"])[1]) for img in panels[name].all("img")]  # type: ignore[index]
                by_truth = test["probabilities"][members, j]
                expected = members[np.argsort(by_truth, kind="stable")][: 12 if j == k else 50]
                assert shown == expected.tolist()


def test_the_worst_mistakes_are_those_of_the_highest_loss(run: Path) -> None:
    """Their order is by the probability of the truth, smallest first; label, guess, both probabilities stand below."""
    test = report_runs.predicted(3, 90)
    losses = [
        (float(test["probabilities"][k, test["truth"][k]]), k)
        for k in range(90)
        if test["truth"][k] != test["prediction"][k]
    ]
    entries = list(read_page.section(written(run), "mistakes").all("li"))
    assert len(entries) == min(24, len(losses))
    for entry, (p, k) in zip(entries, sorted(losses), strict=False):
        truth, guess = "abc"[test["truth"][k]], "abc"[test["prediction"][k]]
        sure = float(test["probabilities"][k].max())
        assert entry.text == f"true {truth} {100 * p:.1f}% predicted {guess} {100 * sure:.1f}% image {k}".replace(
            " 0.0%", " <0.1%"
        )
        assert entry.one("img").attributes["alt"] == f"image {k}: true {truth}, predicted {guess}"


def test_images_are_the_ones_of_their_index_and_split(tmp_path: Path) -> None:
    """The picture of an entry is the one that `pixels` gives for its split and index, every pixel the same."""
    import io

    from PIL import Image

    test = report_runs.predicted(3, 30) | {"index": np.arange(30, dtype=np.int64) * 7}
    html = written(report_runs.make(tmp_path / "run", test=test))
    for img in read_page.section(html, "mistakes").all("img"):
        index = int(re.search(r"image (\d+)", img.attributes["alt"])[1])  # type: ignore[index]
        png = base64.b64decode(img.attributes["src"].removeprefix("data:image/png;base64,"))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), pixels("test", index))


def test_file_names_stand_where_images_have_them(tmp_path: Path) -> None:
    """With names in predictions.npz an entry is called by its file."""
    test = report_runs.predicted(3, 30)
    names = np.asarray([f"cat/{k:03d}.jpg" for k in range(30)])
    html = written(report_runs.make(tmp_path / "run", test=test | {"names": names}))
    entry = next(read_page.section(html, "mistakes").all("li"))
    assert re.search(r"cat/\d{3}\.jpg$", entry.text)


def test_assumptions_settings_versions_and_data_stand_in_tables(run: Path) -> None:
    """Every assumption with its flag, value and reason; every option; versions, seed, CPU and fingerprints."""
    html = written(run)
    assert "--epochs 4 what fits into a minute" in read_page.section(html, "choices").text
    assert "--seed 7" in read_page.section(html, "choices").text
    repeat = read_page.section(html, "reproduce").text
    for part in (
        "layerline train experiment.toml",
        "layerline 0.1.0",
        "CPU znver4",
        "seed 7",
        "model file SHA-256",
    ):
        assert part in repeat
    data = read_page.section(html, "data").text
    for part in ("train images 60", "validation images 30", "test images 90", "f" * 64, "8×8, gray"):
        assert part in data
    given = written(run, assumptions=[("batch_size", "because I say so")])
    assert "--batch-size 32 because I say so" in read_page.section(given, "choices").text
    chosen = read_page.section(written(run, assumptions=[("network", "the best of 2")]), "choices")
    row = next(row for row in chosen.all("tr") if "the best of 2" in row.text)
    assert row.text.split()[0] == "NET"  # an argument, and no option


def test_counts_and_notes_of_the_record_are_shown(tmp_path: Path) -> None:
    """Images by class and split, and the notes about the data, where experiment.toml has them."""
    about = {
        "name": "d", "classes": ["a", "b"], "image": [1, 8, 8], "images": {"train": 60},
        "counts": {"train": [41, 19]}, "notes": ["3 files were left out (--skip-bad)"],
    }  # fmt: skip
    folder = report_runs.make(tmp_path / "run", ("a", "b"), test=report_runs.predicted(2, 20), about={"data": about})
    data = read_page.section(written(folder), "data")
    assert "a 41 10" in data.text
    assert "3 files were left out (--skip-bad)" in data.text


def test_the_layers_are_those_of_describe(run: Path) -> None:
    """The table of layers has the numbers that `layerline describe` prints."""
    network = saved.read(run).network
    assert network is not None
    described = [line.split() for line in network.describe(32).split("─\n")[1].split("\n─")[0].splitlines()]
    rows = [row.text.split() for row in read_page.section(written(run), "network").one("tbody").all("tr")][:-1]
    assert rows == described


def test_originals_stand_beside_what_the_network_sees(run: Path, tmp_path: Path) -> None:
    """With the data, of which a crop would cut away half: how much, and six images in both forms, never enlarged."""
    files = {f"{c}/{k}.png": png(picture(k + 60 * (c == "b"), (70, 140))) for c in "ab" for k in range(60)}
    tree(tmp_path / "wide", files)
    data = load_data(tmp_path / "wide")
    text = page.render(saved.read(run), thumbnails.of(data)).decode()
    assert "Cropping would cut off 50% of the average image; all images are stretched instead." in text
    pairs = re.findall(r'<span class="pair">(.*?)</span><bdi>(.*?)</bdi>', text)
    assert len(pairs) == 6
    assert {name for _, name in pairs} <= set(files)
    sizes = {tuple(re.findall(r'width="(\d+)" height="(\d+)"', shown)) for shown, _ in pairs}
    assert sizes == {(("128", "64"), ("64", "64"))}
    assert '<span class="pair">' not in page.render(saved.read(run), pixels).decode()
