"""A run again from its own files: the same bits, or where they differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from layerline.cli.entry_point import layerline as command
from layerline.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with dropout and augmentation."""
    folder = tmp_path_factory.mktemp("rerun")
    (folder / "net.cnn").write_text("Conv 4 3\nBatchNorm\nReLU\nFlat\nDropout 0.3\nFC classes\n")
    line = [str(folder / "net.cnn"), "--data", "digits", "--limit", "200", "--epochs", "3", "--lr", "0.01"]
    line += ["--augment", "shift=1", "--ema", "0.9", "--threads", "1", "--quiet", "--out", str(folder / "run")]
    assert CliRunner().invoke(command, ["train", *line], catch_exceptions=False).exit_code == 0
    return folder / "run"


def again(run: Path, *words: str) -> Result:
    return CliRunner().invoke(command, ["rerun", str(run), *words], standalone_mode=False)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_same_bits_come_out(first: Path, threads: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With any number of threads: weights, history and test are those of the run; nothing is written."""
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    ended = again(first, "--check", "--threads", threads)
    assert ended.return_value == 0, ended.output
    assert f"bit-identical to {first}: weights, history (3 epochs), test" in ended.output
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before
    assert not list(tmp_path.iterdir())


def test_other_bits_are_told(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose record says another label smoothing than it was trained with: exit 1, and where it differs first."""
    import shutil

    monkeypatch.chdir(tmp_path)
    changed = tmp_path / "changed"
    shutil.copytree(first, changed)
    record = (changed / "experiment.toml").read_text()
    (changed / "experiment.toml").write_text(record.replace("label_smoothing = 0.0", "label_smoothing = 0.1"))
    ended = again(changed, "--check")
    assert ended.return_value == 1
    said = ended.output[ended.output.index("not bit-identical") :]
    assert "history: train_loss of epoch 1 is " in said
    assert "weights: " in said
    assert "test: test_loss is " in said


def test_a_rerun_is_a_run_of_its_own(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --check a new folder has the model file that the run has, byte for byte."""
    monkeypatch.chdir(tmp_path)
    assert again(first, "--quiet").return_value == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert (made / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
    assert json.loads((made / "result.json").read_text()) == json.loads((first / "result.json").read_text())


def test_a_run_without_its_end_is_refused(first: Path, tmp_path: Path) -> None:
    """What was stopped has nothing to compare with: the message names --resume, and nothing is trained."""
    import shutil

    stopped = tmp_path / "stopped"
    shutil.copytree(first, stopped)
    (stopped / "result.json").unlink()
    ended = again(stopped, "--check")
    assert isinstance(ended.exception, UserError)
    assert "did not finish" in ended.exception.message
    assert "--resume" in str(ended.exception.help)
