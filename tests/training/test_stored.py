"""The model of a run that was killed: its best checkpoint, and what the commands say of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import layerline
from layerline.cli.entry_point import layerline as command
from layerline.errors import UserError
from layerline.files import tensors
from layerline.runs.checkpoint import Checkpoints


def invoke(*words: str) -> Result:
    return CliRunner().invoke(command, words, standalone_mode=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of a network with averages, scaled by mean and deviation, on digits."""
    place = tmp_path_factory.mktemp("stored")
    (place / "net.cnn").write_text("Conv 4 3\nBatchNorm\nReLU\nFlat\nFC classes\n")
    options = ["--data", "digits", "--limit", "200", "--epochs", "3", "--lr", "0.01", "--normalize", "standard"]
    words = ["train", str(place / "net.cnn"), *options, "--threads", "1", "--quiet", "--out", str(place / "run")]
    assert CliRunner().invoke(command, words).exit_code == 0
    return place


@pytest.fixture
def killed(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the run without what is written at its end; the model file is beside it, as m.safetensors."""
    shutil.copytree(trained / "run", tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").replace(tmp_path / "m.safetensors")
    for name in ("result.json", "report.html", "predictions.npz"):
        (tmp_path / "run" / name).unlink()
    monkeypatch.chdir(tmp_path)
    return Path("run")


def test_its_model_is_that_of_the_best_epoch(killed: Path) -> None:
    """Weights, classes, scaling and preprocessing are, to the bit, those that the finished run would have saved."""
    found = Checkpoints(killed / "checkpoints").newest()
    assert found is not None
    with pytest.warns(UserWarning, match=f"unfinished run: weights from epoch {found.snapshot.best_epoch}, the best"):
        model = layerline.load(killed)
    whole = layerline.load("m.safetensors")
    assert (model.classes, model.scaling, model.preprocessing) == (whole.classes, whole.scaling, whole.preprocessing)
    for name, weight in whole.weights.items():
        np.testing.assert_array_equal(model.weights[name], weight)


def test_the_commands_take_it_and_say_so(killed: Path) -> None:
    """predict, evaluate and describe: what the model file gives, and a note; nothing in the folder changes."""
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save("a.png")
    before = {path: path.read_bytes() for path in killed.rglob("*") if path.is_file()}
    note = "unfinished run: weights from epoch 3, the best so far"
    ended, whole = invoke("predict", "run", "a.png"), invoke("predict", "m.safetensors", "a.png")
    assert (ended.stderr, ended.stdout) == (f"note: {note}\n" + whole.stderr, whole.stdout)
    ended = invoke("evaluate", "run", "--json")
    assert f"note: {note}\n" in ended.stderr
    tested = json.loads(ended.stdout)
    assert (
        tested["test_loss"]
        == json.loads(invoke("evaluate", "m.safetensors", "--data", "digits", "--json").stdout)["test_loss"]
    )
    assert note in invoke("evaluate", "run").stdout
    assert note in invoke("describe", "run").stdout
    assert {path: path.read_bytes() for path in killed.rglob("*") if path.is_file()} == before


def test_without_a_finished_epoch_there_is_no_model(killed: Path) -> None:
    """No checkpoint, one of an older version, one that was changed: refused, and --resume is named where it helps."""
    for path in (killed / "checkpoints").iterdir():
        held = tensors.read(path)
        kept = {key: text for key, text in held.metadata.items() if key not in ("model", "sha256")}
        tensors.write(path, held.arrays, kept)
    for message in ("its checkpoints are of an older version", "the run has no finished epoch"):
        with pytest.raises(UserError, match=message) as caught:
            layerline.load(killed)
        assert caught.value.help == "resume it: layerline train --resume run"
        shutil.rmtree(killed / "checkpoints", ignore_errors=True)


def test_a_checkpoint_with_another_model_is_damaged(killed: Path) -> None:
    """Its model is checked as that of a model file is: a text that is none, and weights that do not fit it."""
    newest = max((killed / "checkpoints").iterdir())
    held = tensors.read(newest)
    for path in set((killed / "checkpoints").iterdir()) - {newest}:
        path.unlink()
    model = json.loads(held.metadata["model"])
    other = json.dumps(model | {"network": model["network"].replace("Conv 4", "Conv 5")})
    for text, message in (("[]", "its model must be an object"), (other, "0.weight is float32")):
        metadata = {key: value for key, value in held.metadata.items() if key != "sha256"} | {"model": text}
        tensors.write(newest, held.arrays, metadata)
        with pytest.raises(UserError, match=message):
            layerline.load(killed)
