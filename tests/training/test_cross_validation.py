"""`layerline train … --folds N`: a run a fold, and every image predicted by the run that did not train on it."""

from __future__ import annotations

import json
import re
import statistics
import tomllib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from series_commands import call, command, filled, interrupted

from layerline.runs import predictions, saved
from layerline.runs.fold_runs import FoldRuns
from layerline.runs.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = ("folds.json", "predictions.npz", "report.html", "result.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path)


def test_every_image_is_predicted_by_the_run_without_it(folder: Path, golden: Callable[[str, str], None]) -> None:
    """The predictions of all folds are those of each run's file; the scores are theirs; the output is the golden one.

    Each run's record names its fold, and with it the same training runs again, bit for bit; `evaluate` uses its fold.
    """
    ended = call(folder, "--folds", "4", "--epochs", "3", "--out", "mine")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert max(map(len, ended.stdout.splitlines())) <= 80
    out = folder / "mine"
    names = [f"fold-{k}" for k in range(1, 5)]
    assert sorted(path.name for path in out.iterdir()) == [*names, *FILES]
    together = predictions.read(out / "predictions.npz", 3)["test"]
    assert together.index is not None
    assert together.index.tolist() == list(range(200))
    runs = [saved.read(out / name) for name in names]
    for k, run in enumerate(runs, 1):
        own = run.predictions["test"]
        assert own.index is not None
        for array in ("truth", "prediction", "probabilities"):
            assert np.array_equal(getattr(together, array)[own.index], getattr(own, array))
        assert run.record.data["test"] == f"{k}/4"
        assert run.record.train["seed"] == 0
    result = Result.read(out / "result.json")
    assert result.test_accuracy == (together.prediction == together.truth).mean()
    assert result.test_loss == pytest.approx(-np.log(together.of_truth()).mean(), rel=1e-4)
    assert result.intervals is not None
    low, high = result.intervals["test_accuracy"]
    assert low < result.test_accuracy < high
    assert result.baselines is not None
    for name, baseline in result.baselines.items():
        parts = [(run.result.baselines or {})[name]["accuracy"] for run in runs if run.result is not None]
        assert baseline["accuracy"] == pytest.approx(statistics.mean(parts))  # all folds have 50 images
    written = FoldRuns.read(out / "folds.json")
    accuracies = [run.result.test_accuracy for run in runs if run.result is not None]
    mean = written.means["test_accuracy"]
    assert mean is not None
    assert mean.values == tuple(accuracies)
    assert mean.mean == pytest.approx(statistics.mean(a for a in accuracies if a is not None))
    golden("folds.txt", steady(ended.stdout))
    again = command(folder, "rerun", "mine/fold-3", "--check")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "bit-identical" in again.stdout
    evaluated = command(folder, "evaluate", "mine/fold-3")
    assert "(--test 3/4), held out from training" in evaluated.stdout
    listed = command(folder, "runs", "mine")
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()[1:]] == names


def steady(text: str) -> str:
    """Return output with what differs from machine to machine replaced: times, scores, the CPU."""
    text = re.sub(r" +\S+ m?s$", "  TIME", text, flags=re.MULTILINE)
    text = re.sub(r"\d\.\d{4}(?!\d)", "#.####", text)
    text = re.sub(r"\d\.\d{3}(?!\d)", "#.###", text)
    return re.sub(r"★\d", "★#", re.sub(r"(compiled, 1 thread), .*", r"\1, …", text))


def test_the_report_has_the_folds_and_all_images(folder: Path) -> None:
    """A row per fold and the mean, the matrix of all images with their thumbnails, and no section of a single run."""
    assert call(folder, "--folds", "2", "--epochs", "1", "--out", "mine", "--quiet").stdout == "mine\n"
    page = (folder / "mine" / "report.html").read_text()
    folds = FoldRuns.read(folder / "mine" / "folds.json")
    accuracy = Result.read(folder / "mine" / "result.json").test_accuracy
    assert "Out-of-fold: 200 images, each predicted by the training without it" in page
    assert f"{accuracy:.2%}" in page
    for k, accuracy in enumerate(folds.means["test_accuracy"].values, 1):  # type: ignore[union-attr]
        assert re.search(rf'<th scope="row">{k}</th><td>[0-9.]+</td><td>{accuracy:.4f}</td>', page)
    assert '<img src="data:image/png' in page
    assert 'id="curves"' not in page
    assert 'href="#curves"' not in page
    assert 'id="filters"' not in page
    again = command(folder, "report", "mine")
    assert (again.returncode, again.stderr) == (0, "")
    assert (folder / "mine" / "report.html").read_text() == page


def test_two_cross_validations_are_compared_by_all_images(folder: Path) -> None:
    """Paired, image by image, on every image that both predicted without having trained on it."""
    for name, rate in (("good", "0.02"), ("bad", "0.0001")):
        words = ["train", "net.cnn", "--data", "bands.npz", "--lr", rate, "--folds", "2", "--epochs", "6"]
        assert command(folder, *words, "--out", name, "--quiet").returncode == 0
    ended = command(folder, "compare", "good", "bad", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["images"] == 200
    assert found["caveats"][-1].startswith("This compares two recipes with one training per fold")
    for side, name in (("a", "good"), ("b", "bad")):
        assert found[side]["accuracy"] == Result.read(folder / name / "result.json").test_accuracy


def test_what_follows_is_proposed(folder: Path) -> None:
    """The proposed command trains one model without a test set, by the recipe of the folds; the folder of all is not
    taken for a model, and the refusal names one of its runs."""
    ended = call(folder, "--folds", "2", "--epochs", "1", "--out", "mine")
    report, train = re.sub(r"^(next)? +", "", ended.stdout.partition("\nnext ")[2], flags=re.MULTILINE).splitlines()
    assert report == "open mine/report.html in a browser"
    assert command(folder, *train.split()[1:], "--out", "all", "--quiet").returncode == 0
    own, fold = (tomllib.loads((folder / name / "experiment.toml").read_text()) for name in ("all", "mine/fold-1"))
    assert own["data"]["test"] == "none"
    assert own["train"] == fold["train"]
    refused = command(folder, "predict", "mine", "bands.npz")
    assert refused.returncode == 2
    assert refused.stderr == (
        "mine contains several runs, each with its own model\n  help: specify one of them, such as mine/fold-1\n"
    )


def test_choices_are_made_once(folder: Path) -> None:
    """Without a learning rate or a network, the first fold chooses both, and the others train with them."""
    words = ["train", "--data", "bands.npz", "--folds", "3", "--epochs", "1", "--out", "mine"]
    ended = command(folder, *words)
    assert ended.returncode == 0, ended.stderr
    records = [tomllib.loads((folder / "mine" / f"fold-{k}" / "experiment.toml").read_text()) for k in (1, 2, 3)]
    assert len({record["train"]["learning_rate"] for record in records}) == 1
    texts = {(folder / "mine" / f"fold-{k}" / "network.cnn").read_text() for k in (1, 2, 3)}
    assert len(texts) == 1
    assert [record["data"]["test"] for record in records] == ["1/3", "2/3", "3/3"]


def test_folds_of_a_recorded_experiment(folder: Path) -> None:
    """The test set of an experiment.toml gives way to the folds; `--test` next to `--folds` is a contradiction."""
    assert call(folder, "--epochs", "1", "--out", "one", "--quiet").returncode == 0
    ended = command(folder, "train", "one/experiment.toml", "--folds", "2", "--out", "mine", "--quiet")
    assert ended.returncode == 0, ended.stderr
    assert FoldRuns.read(folder / "mine" / "folds.json").images == 200


def test_weights_that_know_the_images_are_reported(folder: Path) -> None:
    """Folds that start from a run of the same data are tested on images that the run has learned from."""
    assert call(folder, "--epochs", "1", "--out", "one", "--quiet").returncode == 0
    ended = call(folder, "--epochs", "1", "--start-from", "one", "--folds", "2", "--out", "mine")
    text = " ".join(ended.stdout.split())
    assert "! 153 of the 200 test images were not held out when the weights of one were trained" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "1"], "--folds 1: must be a whole number from 2 to 100"),
        (["--folds", "101"], "--folds 101: must be a whole number from 2 to 100"),
        (["--folds", "five"], "--folds five: must be a whole number from 2 to 100"),
        (["--folds", "100"], r"100 folds: class .* has only [0-9]+ images; each fold needs at least 1"),
        (["--folds", "3", "--out", "x", "--force"], "--force replaces a single run, but --folds writes several"),
        (["--folds", "3", "--seeds", "3"], "--seeds and --folds each make several trainings: use one of them"),
        (["--folds", "3", "--test", "0.2"], "--folds makes the test sets, so it cannot be combined with --test"),
        (["--folds", "3", "--resume", "x"], "--resume continues in the run's own folder, so it cannot be combined"),
        (["--test", "0/5"], "--test 0/5: there is no such fold"),
        (["--test", "2/1"], "--test 2/1: the number of folds must be from 2 to 100"),
    ],
)
def test_mistakes_write_nothing(folder: Path, arguments: list[str], message: str) -> None:
    """Exit 2, the reason, no folder."""
    ended = call(folder, *arguments)
    assert ended.returncode == 2
    assert re.match(message, ended.stderr), ended.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["bands.npz", "net.cnn"]


def test_ctrl_c_keeps_the_finished_folds(folder: Path) -> None:
    """In the third of four: it is stopped, none is begun, and the files are about the images of the first two."""
    code, output, errors = interrupted(folder, "mine/fold-3", "--folds", "4", "--out", "mine")
    assert (code, errors) == (130, "")
    assert "stopped: 2 of 4 training runs finished; the means cover only these" in output
    assert "out-of-fold: 100 of 200 images" in output
    written = json.loads((folder / "mine" / "folds.json").read_text())
    assert (written["finished"], written["stopped"], written["images"]) == ([1, 2], 2, 200)
    assert len(predictions.read(folder / "mine" / "predictions.npz", 3)["test"]) == 100
    assert "2 of 4 folds" in (folder / "mine" / "report.html").read_text()
    assert not (folder / "mine" / "fold-4").exists()
