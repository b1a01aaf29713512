"""What a run leaves: each thing is read back as the dataclass that was written, and what is damaged is refused."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import report_runs

from layerline.errors import UserError
from layerline.runs import history, metrics, predictions, saved
from layerline.runs.ending import Ending
from layerline.runs.fold_runs import FoldRuns
from layerline.runs.history import EpochRow
from layerline.runs.predictions import Predictions
from layerline.runs.record import About, AboutData, AboutNetwork, Record, is_ours
from layerline.runs.result import Result
from layerline.runs.seed_runs import SeedRuns
from layerline.runs.series_runs import Mean

if TYPE_CHECKING:
    from pathlib import Path

ROW = EpochRow(1, 0.7, 0.6, 0.55, 0.65, 0.7, 0.69, 0.04, 1.5, 1.75, 800.0, best=True)
MANY = metrics.MOST_DENSE + 1


def alike(a: Any, b: Any) -> None:
    """Assert that two dataclasses have the same type and the same fields, arrays by their values and NaN by NaN."""
    assert type(a) is type(b)
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            alike(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b or (a != a and b != b)


def test_epochs_come_back(tmp_path: Path) -> None:
    """With all digits; null is None in a validation figure, and NaN in any other."""
    rows = (ROW, dataclasses.replace(ROW, epoch=2, train_loss=math.nan, validation_loss=None, best=False))
    (tmp_path / "h").write_bytes(history.lines(rows))
    for written, read in zip(rows, history.read(tmp_path / "h"), strict=True):
        alike(written, read)
    assert history.best(rows) is rows[0]
    assert history.best(()) is None


def counts(K: int) -> metrics.Counts:
    truth, prediction = np.arange(90) % K, np.arange(90) % max(2, K - 1) % K
    return metrics.confusion(truth, prediction, K)


@pytest.mark.parametrize("K", [2, 5, MANY])
def test_a_result_comes_back(tmp_path: Path, K: int) -> None:
    """With intervals, baselines and remarks; the matrix whole or, of many classes, by its cells."""
    tested = dataclasses.replace(
        Result.of([f"c{k}" for k in range(K)], 0.25, counts(K)),
        intervals={"test_accuracy": (0.25, 1 / 3), "test_macro_f1": (0.0, 0.5)},
        baselines={
            "largest_class": {"class": "c0", "accuracy": 0.5, "macro_f1": 0.1},
            "thumbnails": {"accuracy": 0.1 + 0.2, "macro_f1": 0.4, "images": 7},
        },
        remarks=("“ü”",),
    )
    tested.write(tmp_path / "r")
    found = Result.read(tmp_path / "r")
    alike(tested, found)
    assert repr(tested.per_class) == repr(found.per_class)
    assert found.tested


def test_a_result_without_a_test_comes_back(tmp_path: Path) -> None:
    """Its figures are None."""
    Result(("a", "b")).write(tmp_path / "r")
    found = Result.read(tmp_path / "r")
    alike(Result(("a", "b")), found)
    assert (found.per_class, found.tested) == (None, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"classes": ["a"], "intervals": {"test_accuracy": [0.5]}}', "intervals.test_accuracy must be two numbers"),
        ('{"classes": ["a"], "baselines": {"nearest": {"accuracy": "x"}}}', "baselines.nearest.accuracy must be a num"),
        ('{"classes": ["a"], "baselines": {"nearest": [1]}}', "baselines.nearest must be a table"),
    ],
)
def test_what_stands_beside_a_result_is_checked(tmp_path: Path, text: str, message: str) -> None:
    """An interval has two bounds, a baseline numbers."""
    (tmp_path / "r").write_text(text)
    with pytest.raises(UserError, match=message):
        Result.read(tmp_path / "r")


@pytest.mark.parametrize("K", [3, MANY])
@pytest.mark.parametrize("named", [False, True])
def test_predictions_come_back(tmp_path: Path, K: int, named: bool) -> None:
    """Of both splits, with all probabilities, or of many classes the largest and that of the truth."""
    p = np.random.default_rng(K).dirichlet(np.ones(K), 20).astype(np.float32)
    names = [f"ü/{k}.png" for k in range(20)] if named else None
    written = [
        Predictions.of(split, np.arange(20, dtype=np.int32) % K, p, np.arange(20) + 5, names)
        for split in ("test", "validation")
    ]
    predictions.write(tmp_path / "p.npz", written)
    found = predictions.read(tmp_path / "p.npz", K)
    assert list(found) == ["test", "validation"]
    for one, other in zip(written, found.values(), strict=True):
        alike(one, other)
    assert (found["test"].largest is None) == (K == 3)


def test_a_record_comes_back(tmp_path: Path) -> None:
    """Options as they stand, and what the run depended on; only its own first line makes it ours."""
    written = Record(
        {"data": "../ü.npz", "validation": 0.1, "classes": ["a", "b"]},
        {"epochs": 3, "batch_size": 32, "patience": "none", "nesterov": True},
        About(
            AboutNetwork("net", 7),
            AboutData(
                *("ü", "f" * 64, ("a", "b"), (1, 8, 8), {"train": 4, "test": 2}, {"train": (1, 3), "test": (1, 1)}),
                *(("a note",), ("a finding",), (1 / 255,), (0.0,)),
            ),
            {"layerline": "0.1.0"},
            {"cpu": "znver4", "lanes": 16, "fma": True},
            {"epochs": "because"},
        ),
    )
    path = tmp_path / "experiment.toml"
    written.write(path)
    found = Record.read(path)
    assert found == written
    assert (found.epochs, found.batch_size) == (3, 32)
    assert is_ours(path)
    path.write_text("# mine\n" + path.read_text())
    assert not is_ours(path)
    path.write_text("")
    assert Record.read(path) == Record()


@pytest.mark.parametrize("written", [Ending("stopped", 3, 7), Ending("diverged", 0, 0)])
def test_an_ending_comes_back(tmp_path: Path, written: Ending) -> None:
    """How, after which epoch, after which step."""
    written.write(tmp_path / "e")
    assert Ending.read(tmp_path / "e") == written


@pytest.mark.parametrize("text", ["null", "{}", '{"ended": null}', '{"ended": "done"}'])
def test_an_ending_says_how(tmp_path: Path, text: str) -> None:
    """A training is stopped, or it diverges."""
    (tmp_path / "e").write_text(text)
    with pytest.raises(UserError, match="no valid `ended`"):
        Ending.read(tmp_path / "e")


def test_seeds_come_back(tmp_path: Path) -> None:
    """The runs' folders and the means, a figure that no run has among them."""
    means = {"validation_loss": None, "test_accuracy": Mean((0.5, 0.75), 0.625, 0.1, 0.9, 0.2)}
    means["test_macro_f1"] = Mean((0.5,), 0.5, None, None, None)
    written = SeedRuns(("seed-4", "seed-5"), 4, (4, 5), (2**64 - 1,), 2, means, seeds=(4, 5, 2**64 - 1))
    written.write(tmp_path / "s")
    assert SeedRuns.read(tmp_path / "s") == written


def test_folds_come_back(tmp_path: Path) -> None:
    """The runs' folders, the means, and how many folds and images there are."""
    means = {"test_accuracy": Mean((0.5, 0.75), 0.625, 0.1, 0.9, 0.2)}
    written = FoldRuns(("fold-1", "fold-2"), 0, (1, 2), (3,), 2, means, folds=5, images=100)
    written.write(tmp_path / "f")
    assert FoldRuns.read(tmp_path / "f") == written
    (tmp_path / "f").write_text('{"runs": [], "folds": 0}')
    with pytest.raises(UserError, match="folds must be a positive integer"):
        FoldRuns.read(tmp_path / "f")


@pytest.mark.parametrize("mean", ['{"values": ["x"]}', '{"values": []}', '{"values": [1.0]}', "[]"])
def test_a_mean_that_is_none_is_refused(tmp_path: Path, mean: str) -> None:
    """It has values, numbers, and is one."""
    (tmp_path / "s").write_text(f'{{"runs": [], "test_accuracy": {mean}}}')
    with pytest.raises(UserError, match="test_accuracy"):
        SeedRuns.read(tmp_path / "s")


def test_a_whole_run_is_read(tmp_path: Path) -> None:
    """Everything that is in the folder, each as its own reader gives it."""
    test = report_runs.predicted(3, 30)
    folder = report_runs.make(tmp_path / "r", test=test)
    run = saved.read(folder)
    assert run.record == Record.read(folder / "experiment.toml")
    assert run.history == history.read(folder / "history.jsonl")
    assert run.result is not None
    alike(run.result, Result.read(folder / "result.json"))
    assert (run.classes, run.ending, run.tested) == (("a", "b", "c"), None, True)
    assert (run.confusion("test") == run.result.confusion).all()
    assert run.network is not None
    assert set(run.weights or {}) == {"0.weight", "0.bias"}
