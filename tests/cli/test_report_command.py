"""`layerline report`, and what the page says where something is missing or damaged."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import tomllib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import read_page
import report_runs
import tomli_w
from report_runs import pixels, written

from layerline.cli import main
from layerline.errors import UserError
from layerline.report import live_model, page
from layerline.runs import saved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from read_page import Element


def assert_no_empty_frame(tree: Element) -> None:
    """No list, table, drawing, gallery or panel without anything in it, and no section without a word."""
    for element in tree.all("ul", "tbody"):
        assert list(element.all("li", "tr")), element.attributes
    for element in tree.all("svg"):
        assert list(element.all("path"))
    for element in tree.all("section"):
        assert len(element.text) > 40
    for element in tree.all("div"):
        assert element.text, element.attributes


def said(folder: Path, heading: str) -> str:
    tree = written(folder)
    assert_no_empty_frame(tree)
    return read_page.section(tree, heading).text


def test_nothing_is_empty_where_all_is_there(tmp_path: Path) -> None:
    folder = report_runs.make(
        tmp_path / "r", test=report_runs.predicted(3, 90), validation=report_runs.predicted(3, 30, seed=1)
    )
    assert_no_empty_frame(written(folder))


def test_without_a_test_set_the_validation_set_speaks_and_the_page_says_so(tmp_path: Path) -> None:
    """The figures, classes, cells and mistakes are of the validation set; it is said that it chose the epoch."""
    validation = report_runs.predicted(3, 30, seed=1)
    folder = report_runs.make(tmp_path / "r", validation=validation)
    right = np.mean(validation["truth"] == validation["prediction"])
    text = said(folder, "results")
    assert "There was no test set (--test), so no test was run." in text
    assert "used to choose the best epoch" in text
    assert f"{100 * right:.2f}%" in text
    assert "30 validation images" in text
    assert "On the validation images" in said(folder, "classes")
    assert "on the validation images" in said(folder, "mistakes")
    assert "Validation images that the network confidently assigns" in said(folder, "labels")
    assert "test images none" in said(folder, "data")


def test_without_test_and_validation_that_is_said(tmp_path: Path) -> None:
    """No figure is shown, and each section that has nothing to show says why."""
    folder = report_runs.make(tmp_path / "r")
    text = said(folder, "results")
    assert "There was no validation set either" in text
    assert "%" not in text
    for heading in ("classes", "confusion", "mistakes", "labels"):
        assert "there are no predictions" in said(folder, heading)
    chart = next(svg for svg in read_page.section(written(folder), "curves").all("svg") if "role" in svg.attributes)
    assert "validation" not in chart.attributes["aria-label"]


def test_a_run_that_was_stopped_says_so(tmp_path: Path) -> None:
    """A folder without result.json, and one without a single epoch, have a report."""
    folder = report_runs.make(tmp_path / "r", validation=report_runs.predicted(3, 30, seed=1), stopped=True)
    text = said(folder, "results")
    assert "did not finish: it was stopped or its loss became NaN or infinite." in text
    (folder / "ending.json").write_text('{"ended": "stopped", "epochs": 4, "steps": 1200}')
    assert "it was stopped 1,200 steps into epoch 5. No test was run." in said(folder, "results")
    (folder / "ending.json").write_text('{"ended": "diverged", "epochs": 4, "steps": 0}')
    assert "its loss became NaN or infinite. No test was run." in said(folder, "results")
    assert "81.33%" in text  # of the validation set in epoch 3, the best
    for name in ("history.jsonl", "model.safetensors", "network.cnn"):
        (folder / name).unlink()
    assert "no epoch was finished" in said(folder, "curves")
    assert "there is no model file" in said(folder, "filters")
    assert "too little information to rebuild the network" in said(folder, "network")
    assert "No scores" in said(folder, "results")


def test_no_mistake_and_no_suspect_is_said(tmp_path: Path) -> None:
    """A test in which all is right has no mistakes to show, and says that."""
    test = report_runs.predicted(3, 30, wrong=0.0)
    test["prediction"] = test["truth"]
    test["probabilities"] = np.eye(3, dtype=np.float32)[test["truth"]]
    folder = report_runs.make(tmp_path / "r", test=test)
    assert "all test images were classified correctly" in said(folder, "mistakes")
    assert "None found." in said(folder, "labels")


def test_images_that_are_missing_are_named_instead(tmp_path: Path) -> None:
    """Without pixels mistakes and cells list the images' names, and say why there are no images."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 90))
    tree = read_page.read(page.write(folder, pixels=None, why="the data was not found"))
    assert_no_empty_frame(tree)
    mistakes = read_page.section(tree, "mistakes")
    assert "does not include the images: the data was not found." in mistakes.text
    assert not list(mistakes.all("img"))
    assert all("image " in entry.text for entry in mistakes.all("li"))
    panel = next(div for div in tree.all("div") if div.attributes.get("class") == "panel")
    assert list(panel.all("li"))


def test_predictions_of_an_older_version_have_no_images(tmp_path: Path) -> None:
    """Where predictions.npz does not say which images were tested, none is shown under a wrong name."""
    test = report_runs.predicted(3, 90)
    del test["index"]
    folder = report_runs.make(tmp_path / "r", test=test)
    tree = read_page.read(page.write(folder, pixels=pixels))
    assert not [img for img in tree.all("img") if "filters" not in img.attributes.get("class", "")]
    assert "older version" in read_page.section(tree, "mistakes").text


DAMAGE = {
    "experiment.toml": (b"[train\n", "not valid TOML"),
    "result.json": (b'{"classes": ["a"], "confusion": [[1, 2]]}', "the confusion matrix must be 1 × 1"),
    "predictions.npz": (b"PK\x03\x04 no zip", "cannot read the table of contents at the end"),
    "ending.json": (b"[]", "must contain a table"),
    "history.jsonl": (b'{"epoch": 1}\n{"epoch": 2}\n', "history.jsonl:1: not a valid epoch"),
    "model.safetensors": (b"nothing", "not a file written by Layerline"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_named(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of the run that is not what it should be is refused by name, exit 2, and no report is written."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 30))
    content, message = DAMAGE[name]
    (folder / name).write_bytes(content)
    assert main(["report", str(folder)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert str(folder / name) in error
    assert not (folder / "report.html").exists()


ODD = (0, -1, None, "x", "", [], [0], {}, {"a": 1}, True, [[1]], float("nan"), 10**400, -5.5)


def places(value: object, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to every part of a record, two of each list."""
    yield way
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*way, key))


def replaced(value: Any, way: tuple[str | int, ...], odd: object) -> Any:
    if not way:
        return odd
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[way[0]] = replaced(value[way[0]], way[1:], odd)
    return changed


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:9])
def test_a_changed_record_is_refused_or_shown(tmp_path: Path, odd: object) -> None:
    """Whatever stands in place of a part of experiment.toml or result.json: a page is made, or a UserError raised."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 12), epochs=1)
    for name, read, dump in (
        ("experiment.toml", tomllib.loads, tomli_w.dumps),
        ("result.json", json.loads, json.dumps),
    ):
        whole = (folder / name).read_text()
        record = read(whole)
        for way in places(record):
            try:
                changed = dump(replaced(record, way, odd))
            except (TypeError, AttributeError):  # TOML has no null
                continue
            (folder / name).write_text(changed)
            with contextlib.suppress(UserError):
                page.render(saved.read(folder))
        (folder / name).write_text(whole)


@pytest.mark.parametrize("cut", ["truth", "probabilities", "index", "range", "classes", "missing"])
def test_predictions_that_do_not_agree_are_refused(tmp_path: Path, cut: str) -> None:
    """Arrays of different lengths, labels beyond the classes, or another number of classes: refused."""
    test = report_runs.predicted(3, 30)
    folder = report_runs.make(tmp_path / "r", test=test)
    if cut == "range":
        test["truth"][4] = 3
    elif cut == "classes":
        test["probabilities"] = test["probabilities"][:, :2]
    elif cut == "missing":
        del test["prediction"]
    else:
        test[cut] = test[cut][:-1]
    np.savez(folder / "predictions.npz", **test)
    with pytest.raises(UserError, match=r"predictions\.npz"):
        saved.read(folder)


def test_a_pickle_in_predictions_is_not_run(tmp_path: Path) -> None:
    """An object array is refused, and what it would run is not run."""

    class Canary:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (open, (str(tmp_path / "canary"), "w"))

    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 30))
    np.savez(folder / "predictions.npz", truth=np.asarray([Canary()], object), prediction=[0], probabilities=[[1.0]])
    with pytest.raises(UserError, match="found pickled Python objects, which are never loaded"):
        saved.read(folder)
    assert not (tmp_path / "canary").exists()


def test_an_epoch_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    """The last line of history.jsonl may be half an epoch, as a crash leaves it."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 30))
    path = folder / "history.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert len(saved.read(folder).history) == 3


def test_a_loss_that_was_no_number_is_no_point(tmp_path: Path) -> None:
    """null in the history is left out of the curve, and reads nan in the table."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 30))
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    rows[-1]["train_loss"] = None
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tree = written(folder)
    assert "nan" in read_page.section(tree, "curves").text
    assert "nan" not in next(tree.one("ul", **{"class": "key"}).parent.all("svg")).attributes.get("aria-label", "")  # type: ignore[union-attr]


# The command


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set and a run on it."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = rng.integers(0, 90, (300, 8, 8))
    for k in range(3):
        x[y == k, 2 * k : 2 * k + 2] += 60
    np.savez(folder / "bands.npz", x=x.astype(np.uint8), y=y)
    (folder / "net.cnn").write_text("Conv 4 3\nReLU\nPool 2 2\nFlat\nFC classes\n")
    arguments = ["train", str(folder / "net.cnn"), "--data", str(folder / "bands.npz"), "--epochs", "2", "--quiet"]
    assert main([*arguments, "--batch-size", "32", "--learning-rate", "0.02", "--out", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def test_training_ends_with_a_report(trained: Path) -> None:
    """`layerline train` writes report.html, with the images of the test."""
    tree = read_page.read(trained / "run" / "report.html")
    assert_no_empty_frame(tree)
    assert list(tree.one("section", **{"aria-labelledby": "confusion"}).all("img"))


@pytest.mark.smoke
def test_the_report_is_made_again(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`layerline report RUN` finds the data by experiment.toml, and gives the file that training gave."""
    path = copy / "run" / "report.html"
    before = path.read_bytes()
    path.unlink()
    assert main(["report", str(copy / "run")]) == 0
    assert path.read_bytes() == before
    assert capsys.readouterr().out.startswith(f"{path}: ")
    assert main(["report", str(copy / "run")]) == 0  # replaces its own


def test_without_images_the_page_is_small(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--with-images no leaves the pixels out, and --out names the file; what exists is replaced only by --force."""
    out = copy / "mail.html"
    arguments = ["report", str(copy / "run"), "--with-images", "no", "--out", str(out)]
    assert main(arguments) == 0
    assert "without images: they were omitted" in capsys.readouterr().out
    assert not [img for img in read_page.read(out).all("img") if "filters" not in img.attributes.get("class", "")]
    assert main(arguments) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0


def test_the_report_runs_the_model(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page has the model as the exported page has it, and its policy allows our two scripts and WebAssembly.

    --with-model no leaves the model out: the policy is as before."""
    run, out = copy / "run", copy / "with.html"
    assert main(["export", str(run), "-o", str(copy / "model.wasm")]) == 0
    assert main(["report", str(run), "--with-model", "yes", "--out", str(out)]) == 0
    tree = read_page.read(out)
    module = base64.b64decode(tree.one("script", id="try-model").text)
    assert module == (copy / "model.wasm").read_bytes()
    assert read_page.section(tree, "try")
    scripts = [e for e in tree.all("script") if e.attributes.get("type") != "text/plain"]
    digests = [hashlib.sha256("".join(map(str, script.children)).encode()).digest() for script in scripts]
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    policy = tree.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    assert f"script-src {allowed} 'wasm-unsafe-eval'; base" in policy
    assert len(digests) == 2
    capsys.readouterr()
    assert main(["report", str(run), "--with-model", "no", "--out", str(out), "--force"]) == 0
    assert "without the model: it was omitted (--with-model no)" in capsys.readouterr().out
    content = out.read_text()
    assert "wasm" not in content
    assert "try-" not in content


def test_a_model_that_does_not_fit_is_left_out(
    copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large model is not in the page, and the screen says so; required, it is an error with another way."""
    monkeypatch.setattr(live_model, "LARGEST", 1000)
    arguments = ["report", str(copy / "run"), "--out", str(copy / "x.html")]
    assert main(arguments) == 0
    assert "without the model: it has" in capsys.readouterr().out
    assert main([*arguments, "--force", "--with-model", "yes"]) == 2
    assert f"layerline export {copy / 'run'} --to web -o model.html" in " ".join(capsys.readouterr().err.split())
    (copy / "run" / "model.safetensors").unlink()
    assert main([*arguments, "--force"]) == 0
    assert "without the model: the folder has no model" in capsys.readouterr().out


def test_the_model_gives_way_to_the_rest_of_the_page(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the page would be larger than allowed with its model, it has none: the limit holds for every run."""
    run = copy / "run"
    live = live_model.of_run(run).html
    assert live.encode() in page.render(saved.read(run), live=live)
    monkeypatch.setattr(page, "LARGEST", len(page.render(saved.read(run))) + 50_000)
    assert len(page.render(saved.read(run), live=live)) <= page.LARGEST


def test_data_that_moved_is_said_and_can_be_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report with images is not replaced by one without, unless asked; --data says where the data is now."""
    path = copy / "run" / "report.html"
    before = path.read_bytes()
    (copy / "bands.npz").rename(copy / "moved.npz")
    assert main(["report", str(copy / "run")]) == 2
    assert "has images, but a new report would have none" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main(["report", str(copy / "run"), "--with-images", "yes"]) == 2
    assert "bands.npz" in capsys.readouterr().err
    assert main(["report", str(copy / "run"), "--data", str(copy / "moved.npz")]) == 0
    assert path.read_bytes() == before
    out = copy / "other.html"
    assert main(["report", str(copy / "run"), "--out", str(out)]) == 0
    assert str(copy) not in out.read_text()
    assert "the data was not found" in out.read_text()


def test_other_data_gives_no_images(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Data whose fingerprint is another does not lend its images to the run."""
    x = np.random.default_rng(9).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    np.savez(copy / "bands.npz", x=x, y=np.arange(300) % 3)
    assert main(["report", str(copy / "run"), "--out", str(copy / "other.html")]) == 0
    assert "not that of the run" in capsys.readouterr().out


MISTAKES = {
    "no folder": (["nowhere"], "no such folder"),
    "no run": (["."], "has no experiment.toml"),
    "a word": (["run", "--with-images", "some"], "must be yes or no"),
    "a word for the model": (["run", "--with-model", "some"], "--with-model some: must be yes or no"),
    "a folder": (["run", "--out", "run"], "is a folder"),
    "no folder for it": (["run", "--out", "no/x.html"], "no such folder: no"),
    "another's file": (["run"], "is not a Layerline report"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(copy: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused with exit 2, and no file changes."""
    monkeypatch.chdir(copy)
    (copy / "run" / "report.html").write_text("mine")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    arguments, message = MISTAKES[name]
    assert main(["report", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
