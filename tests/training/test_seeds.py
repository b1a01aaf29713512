"""`layerline train … --seeds N`, and `train_seeds`: the same cuts, a run a seed, means of what came to its end."""

from __future__ import annotations

import json
import math
import signal
import statistics
import tomllib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_data
from series_commands import NET, call, command, filled, interrupted

import layerline
from layerline.errors import DivergedError, RecipeError
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.data.dataset import Dataset
    from layerline.training.prepared import Prepared

QUICK: dict[str, Any] = {"epochs": 2, "batch_size": 16, "learning_rate": 0.02, "threads": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path)


def network(data: Dataset) -> layerline.Network:
    return layerline.parse(NET, data)


def test_each_seed_is_the_training_alone() -> None:
    """The runs are those that `train` makes with each seed; the means and t-interval are those of their figures."""
    data = small_data.dataset()
    found = layerline.train_seeds(network(data), data, Recipe(epochs=2, batch_size=16, seed=4), seeds=3, threads=1)
    assert found.asked == (4, 5, 6) == tuple(found.runs)
    for seed, run in found.runs.items():
        alone = layerline.train(network(data), data, Recipe(epochs=2, batch_size=16, seed=seed), threads=1)
        assert [row.train_loss for row in alone.history] == [row.train_loss for row in run.history]
        assert alone.result.test_macro_f1 == run.result.test_macro_f1
    losses = [min(row.validation_loss or 0 for row in run.history) for run in found.runs.values()]
    mean = found.mean("validation_loss")
    assert mean is not None
    assert mean.mean == pytest.approx(statistics.mean(losses))
    assert mean.high == pytest.approx(mean.mean + 4.302653 * statistics.stdev(losses) / math.sqrt(3), rel=1e-6)
    assert f"{mean.mean:.4f}" in repr(found)


def test_what_is_not_asked_is_chosen_once() -> None:
    """Without a learning rate one is found with the first seed, and all seeds train with it."""
    data = small_data.dataset()
    heard: list[layerline.Run] = []
    found = layerline.train_seeds(network(data), data, seeds=2, on_run=heard.append, epochs=1, batch_size=16, threads=1)
    assert heard == list(found.runs.values())
    assert len({run.history[0].learning_rate for run in heard}) == 1


def test_without_a_test_set_only_the_loss_has_a_mean(tmp_path: Path) -> None:
    """No test, no mean of it; without validation no mean at all. The files hold null, and the table a dash."""
    for number, data in enumerate((small_data.dataset(test=None), small_data.dataset(test=None, validation=None))):
        out = tmp_path / str(number)
        found = layerline.train_seeds(network(data), data, seeds=2, out=out, **QUICK)
        assert found.mean("test_accuracy") is None
        assert (found.mean("validation_loss") is None) == (number == 1)
        assert json.loads((out / "seeds.json").read_text())["test_macro_f1"] is None
        assert "–" in repr(found).splitlines()[-3]


def test_a_seed_that_diverges_is_in_no_mean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The others go on; it is named in seeds.json. Where all diverge, that is raised."""
    from layerline.training import series

    real = series.run

    def sometimes(prepared: Prepared, *others: Any) -> Any:
        if prepared.recipe.seed in bad:
            raise DivergedError(f"diverged with {prepared.recipe.seed}")
        return real(prepared, *others)

    monkeypatch.setattr(series, "run", sometimes)
    data, bad = small_data.dataset(), {1}
    found = layerline.train_seeds(network(data), data, seeds=3, out=tmp_path / "out", **QUICK)
    assert (tuple(found.runs), found.diverged) == ((0, 2), (1,))
    written = json.loads((tmp_path / "out" / "seeds.json").read_text())
    assert (written["seeds"], written["finished"], written["diverged"]) == ([0, 1, 2], [0, 2], [1])
    assert len(written["test_accuracy"]["values"]) == 2
    assert "diverged" in repr(found)
    bad = {0, 1, 2}
    with pytest.raises(DivergedError, match="diverged with 2"):
        layerline.train_seeds(network(data), data, seeds=3, **QUICK)


@pytest.mark.parametrize("count", [1, 0, -1, 1001, 2.0, "5", True, None])
def test_impossible_numbers_of_seeds(count: Any) -> None:
    """Fewer than two give no interval; refused before anything is trained."""
    data = small_data.dataset()
    with pytest.raises(RecipeError, match="must be a whole number from 2 to 1,000"):
        layerline.train_seeds(network(data), data, seeds=count)
    with pytest.raises(RecipeError, match="use seed=18446744073709551614 or less"):
        layerline.train_seeds(network(data), data, seeds=2, seed=2**64 - 1)


def test_the_command_trains_on_the_same_cuts(folder: Path) -> None:
    """Each run has its folder, its seed and one --split-seed; it can be trained again from its record to the same."""
    ended = call(folder, "--seeds", "3", "--seed", "5", "--epochs", "2")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert max(map(len, ended.stdout.splitlines())) <= 80
    out = folder / "runs" / "net-bands-seeds-1"
    assert sorted(path.name for path in out.iterdir()) == ["seed-5", "seed-6", "seed-7", "seeds.json"]
    truths = []
    for seed in (5, 6, 7):
        with np.load(out / f"seed-{seed}" / "predictions.npz") as file:
            truths.append(file["truth"].tolist())
    assert truths[0] == truths[1] == truths[2]
    for seed in (5, 6, 7):
        record = tomllib.loads((out / f"seed-{seed}" / "experiment.toml").read_text())
        assert (record["train"]["seed"], record["data"]["split_seed"]) == (seed, 5)
    written = json.loads((out / "seeds.json").read_text())
    results = [json.loads((out / f"seed-{seed}" / "result.json").read_text()) for seed in (5, 6, 7)]
    assert written["test_accuracy"]["values"] == [result["test_accuracy"] for result in results]
    assert f"{written['test_accuracy']['mean']:.4f}" in ended.stdout
    again = command(folder, "train", str(out / "seed-6" / "experiment.toml"), "--out", "again")
    assert again.returncode == 0, again.stderr
    assert json.loads((folder / "again" / "result.json").read_text())["test_loss"] == results[1]["test_loss"]


def test_quiet_and_out(folder: Path) -> None:
    """--quiet prints the folder alone; --out names it, and must not exist; runs lists what is in it."""
    ended = call(folder, "--seeds", "2", "--epochs", "1", "--quiet", "--out", "mine")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "mine\n", "")
    assert (folder / "mine" / "seed-1" / "result.json").exists()
    assert call(folder, "--seeds", "2", "--epochs", "1", "--out", "mine").returncode == 2
    listed = command(folder, "runs", "mine")
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()[1:]] == ["seed-0", "seed-1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "--seeds 1: must be a whole number from 2 to 1,000"),
        (["--seeds", "five"], "--seeds five: must be a whole number from 2 to 1,000"),
        (["--seeds", "3", "--out", "x", "--force"], "--force replaces a single run, but --seeds writes several"),
    ],
)
def test_mistakes_write_nothing(folder: Path, arguments: list[str], message: str) -> None:
    """Exit 2, the reason, no folder."""
    ended = call(folder, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith(message)
    assert sorted(path.name for path in folder.iterdir()) == ["bands.npz", "net.cnn"]


def test_divergence_is_told(folder: Path) -> None:
    """Where every seed diverges: exit 1, a row each, the cause, and no mean."""
    (folder / "deep.cnn").write_text("Conv 4 3\nConv 4 3\nFlat\nFC classes\n")
    options = ["--data", "bands.npz", "--epochs", "2", "--lr", "1e5", "--seeds", "2"]
    ended = command(folder, "train", "deep.cnn", *options)
    assert ended.returncode == 1
    assert ended.stdout.count("diverged: the loss became NaN or infinite") == 2
    assert "mean  " not in ended.stdout
    assert "too high" in ended.stderr


def test_ctrl_c_summarizes_what_is_finished(folder: Path) -> None:
    """After the second of five trainings: the running one is stopped, none is begun, the means are of the two."""
    code, output, errors = interrupted(folder, "mine/seed-2", "--seeds", "5", "--out", "mine")
    assert (code, errors) == (130, "")
    assert "stopped: 2 of 5 training runs finished; the means cover only these" in output
    written = json.loads((folder / "mine" / "seeds.json").read_text())
    assert (written["finished"], written["stopped"]) == ([0, 1], 2)
    assert len(written["validation_loss"]["values"]) == 2
    assert json.loads((folder / "mine" / "seed-2" / "ending.json").read_text())["ended"] == "stopped"
    assert not (folder / "mine" / "seed-3").exists()


def test_ctrl_c_between_two_trainings_ends_the_series(tmp_path: Path) -> None:
    """A signal that arrives when no training runs: none is begun, and the summary is of those before."""
    data = small_data.dataset(60)
    found = layerline.train_seeds(
        network(data), data, seeds=4, out=tmp_path / "a", on_run=lambda _: signal.raise_signal(signal.SIGINT), **QUICK
    )
    assert (list(found.runs), found.stopped) == ([0], signal.SIGINT)
    written = json.loads((tmp_path / "a" / "seeds.json").read_text())
    assert (written["finished"], written["stopped"]) == ([0], 2)
    assert not (tmp_path / "a" / "seed-1").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
