"""The run folder: its name, what may be replaced, and every file in it."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLDEN

from layerline.errors import UserError
from layerline.runs import metrics, predictions
from layerline.runs.folder import RunFolder
from layerline.runs.history import EpochRow
from layerline.runs.predictions import Predictions
from layerline.runs.record import Record
from layerline.runs.result import Result

MESSAGES = GOLDEN / "run_folder.txt"
RECORD = Record({"data": "ü"}, {"epochs": 2, "learning_rate": 0.05})
ROW = EpochRow(1, 0.7, 0.6, 0.55, 0.65, 0.7, 0.69, 0.04, 1.5, 1.75, 800.0, best=True)
KEYS = [
    "epoch", "train_loss", "train_accuracy", "train_macro_f1", "validation_loss", "validation_accuracy",
    "validation_macro_f1", "learning_rate", "train_seconds", "seconds", "images_per_second", "best",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def started(out: str = "out", *, force: bool = False) -> RunFolder:
    folder = RunFolder.named(Path(out), force=force)
    folder.start("Conv 1 1\n", RECORD)
    folder.release()
    return folder


def test_nothing_is_written_before_the_start(tmp_path: Path) -> None:
    """Choosing a folder, by name or by number, leaves the disk as it was."""
    RunFolder.named(Path("deep/er/out"))
    assert RunFolder.numbered("lenet5", "mnist").given == Path("runs/lenet5-mnist-1")
    assert not list(tmp_path.iterdir())


def test_start_writes_network_and_experiment() -> None:
    """After the start the network's text is there byte for byte, and the experiment as it was handed over."""
    folder = RunFolder.named(Path("deep/er/out"))
    folder.start("# é\r\nConv 1 1\r\n", RECORD)
    assert folder.path.joinpath("network.cnn").read_bytes() == "# é\r\nConv 1 1\r\n".encode()
    assert tomllib.loads(folder.path.joinpath("experiment.toml").read_text("utf-8")) == RECORD.as_dict()
    assert sorted(path.name for path in folder.path.iterdir()) == ["experiment.toml", "history.jsonl", "network.cnn"]


def test_numbers_go_on_from_the_highest() -> None:
    """A run is numbered behind the highest of the same network and data; other names do not count."""
    for name in ("a-b-1", "a-b-7", "a-b-x", "a-b-c-9", "a-b-", "b-9", "a-b-²"):
        Path("runs", name).mkdir(parents=True)
    assert RunFolder.numbered("a", "b").given == Path("runs/a-b-8")


def test_two_that_start_together_get_two_folders() -> None:
    """A number that somebody else took in between is left to them."""
    first, second = RunFolder.numbered("a", "b"), RunFolder.numbered("a", "b")
    for folder in (first, second):
        folder.start("", Record())
    assert (first.given, second.given) == (Path("runs/a-b-1"), Path("runs/a-b-2"))


@pytest.mark.parametrize(
    ("network", "data", "name"),
    [
        ("my net", "photos", "my-net-photos-1"),
        ("../../etc", "/", "etc-data-1"),
        ("...", "a\x1b\n", "network-a-1"),
        ("ü" * 300, "d", "ü" * 80 + "-d-1"),
    ],
)
def test_a_name_from_outside_makes_one_plain_folder(network: str, data: str, name: str) -> None:
    assert RunFolder.numbered(network, data).given == Path("runs") / name


def test_force_replaces_a_run_and_keeps_what_is_not_ours() -> None:
    """All that a run writes is replaced or gone, also graphs and checkpoints; the user's own files stay."""
    old = started().path
    for name in ("loss.png", "filters.svg", "result.json", "predictions.npz", "model.safetensors", "notes.txt"):
        (old / name).write_text("old")
    (old / "checkpoints").mkdir()
    (old / "checkpoints" / "1").write_text("old")
    RunFolder.named(Path("out"), force=True)
    assert (old / "loss.png").exists()
    folder = started(force=True)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "experiment.toml", "history.jsonl", "network.cnn", "notes.txt",
    ]  # fmt: skip
    started("new", force=True)


def test_refusals_are_these() -> None:
    """Every refusal, as the user reads it; what is refused is left alone."""
    Path("file").write_text("")
    Path("photos").mkdir()
    Path("photos/experiment.toml").write_text("# my own\n[train]\nepochs = 3\n")
    started("run")
    late = RunFolder.named(Path("late"))
    Path("late").mkdir()
    attempts = [
        lambda: RunFolder.named(Path("run")),
        lambda: RunFolder.named(Path("file"), force=True),
        lambda: RunFolder.named(Path("photos"), force=True),
        lambda: RunFolder.named(Path("file/run")),
        lambda: late.start("", Record()),
    ]
    messages = []
    for attempt in attempts:
        with pytest.raises(UserError) as caught:
            attempt()
        messages.append(caught.value.with_flags.replace(str(Path.cwd()), "<here>"))
    assert "\n\n".join(messages) + "\n" == MESSAGES.read_text("utf-8")
    assert Path("photos/experiment.toml").read_text().startswith("# my own")
    assert not list(Path("late").iterdir())


def test_history_has_an_object_an_epoch() -> None:
    """Each append is on the disk at once, with exactly the keys of the contract, all digits, null for NaN and None."""
    folder = started()
    history = folder.path / "history.jsonl"
    folder.append([ROW])
    assert json.loads(history.read_text()) == dict(zip(KEYS, vars(ROW).values(), strict=True))
    second = replace(ROW, epoch=2, train_loss=0.1 + 0.2, validation_loss=None, train_macro_f1=math.nan, best=np.False_)
    folder.append([ROW, second])
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    assert [list(line) for line in lines] == [KEYS, KEYS]
    assert lines[1]["train_loss"] == 0.1 + 0.2
    assert (lines[1]["validation_loss"], lines[1]["train_macro_f1"], lines[1]["best"]) == (None, None, False)


def test_the_result_of_a_test_set() -> None:
    """The result holds the scores of its matrix; a class that does not occur has nulls; it reads line by line."""
    matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    folder = started()
    Result.of(("0", "Käse", "\udcff"), np.float64(0.25), matrix).write(folder.path / "result.json")
    text = (folder.path / "result.json").read_text("utf-8")
    found = json.loads(text)
    scores = metrics.measure(matrix)
    keys = ["test_loss", "test_accuracy", "test_macro_f1", "classes", "per_class", "confusion"]
    assert list(found) == [*keys, "intervals", "baselines", "remarks"]
    assert (found["intervals"], found["baselines"], found["remarks"]) == (None, None, [])
    assert (found["test_loss"], found["test_accuracy"], found["test_macro_f1"]) == (0.25, 0.85, scores.macro_f1)
    assert found["classes"] == ["0", "Käse", "\udcff"]
    assert found["per_class"][1] == {
        "name": "Käse", "precision": 9 / 11, "recall": 0.9, "f1": 18 / 21, "support": 10,
    }  # fmt: skip
    assert found["per_class"][2] == {"name": "\udcff", "precision": None, "recall": None, "f1": None, "support": 0}
    assert found["confusion"] == matrix.tolist()
    assert len(text.splitlines()) == 2 + 7 + 2 * (3 + 2)


def test_the_result_without_a_test_set() -> None:
    """Every field but the classes and the remarks is null."""
    folder = started()
    Result(("0", "1"), remarks=("“ü” is rare.",)).write(folder.path / "result.json")
    found = json.loads((folder.path / "result.json").read_text("utf-8"))
    assert (found.pop("classes"), found.pop("remarks")) == (["0", "1"], ["“ü” is rare."])
    assert set(found.values()) == {None}
    assert len(found) == 7


def test_what_stands_beside_a_result() -> None:
    """Intervals are lists of two, baselines tables, remarks a list of sentences."""
    folder = started()
    tested = Result.of(("a", "b"), 0.25, np.array([[8, 2], [1, 9]]))
    thumbnails = {"accuracy": 0.5, "macro_f1": 0.4, "images": 7}
    beside = replace(tested, intervals={"test_accuracy": (0.7, 0.9)}, baselines={"thumbnails": thumbnails})
    beside.write(folder.path / "result.json")
    found = json.loads((folder.path / "result.json").read_text())
    assert found["intervals"] == {"test_accuracy": [0.7, 0.9]}
    assert found["baselines"] == {"thumbnails": thumbnails}


def test_predictions() -> None:
    """The arrays of both sets load without pickle; the prediction is the most probable class, the first of equals."""
    folder = started()
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5], [0.75, 0.25]], np.float32)
    test = Predictions.of("test", np.array([1, 1, 0], np.int32), probabilities, np.array([5, 7, 9]))
    names = ["a/ü.png", "b/\udcff.png", "b/3.png"]
    held = Predictions.of("validation", np.array([0, 1, 1], np.int32), probabilities, np.array([1, 2, 3]), names)
    predictions.write(folder.path / "predictions.npz", [test, held])
    first = (folder.path / "predictions.npz").read_bytes()
    predictions.write(folder.path / "predictions.npz", [test, held])
    assert (folder.path / "predictions.npz").read_bytes() == first
    with np.load(folder.path / "predictions.npz", allow_pickle=False) as found:
        keys = ["index", "prediction", "probabilities", "truth"]
        assert sorted(found) == sorted([*keys, *(f"validation_{key}" for key in (*keys, "names"))])
        assert (found["index"].tolist(), found["index"].dtype) == ([5, 7, 9], np.int64)
        assert found["validation_names"].tolist() == names
        assert found["validation_truth"].tolist() == [0, 1, 1]
        assert (found["truth"].tolist(), found["prediction"].tolist()) == ([1, 1, 0], [1, 0, 0])
        assert (found["truth"].dtype, found["prediction"].dtype) == (np.int32, np.int32)
        assert found["probabilities"].dtype == np.float32
        np.testing.assert_array_equal(found["probabilities"], probabilities)
