"""`layerline export --int8`: a refusal ends in a command that works when pasted."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import layerline
from layerline.cli.entry_point import layerline as command
from layerline.errors import UserError
from layerline.export.int8 import quantizing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def _lossy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder with a run whose model loses 0.25 of accuracy."""
    monkeypatch.chdir(tmp_path)
    data = layerline.load_data("digits", limit=200)
    network = layerline.read("digits", data)
    layerline.train(network, data, epochs=1, learning_rate=0.05, batch_size=50, out=tmp_path / "my run")
    found = iter([0.75, 0.5] * 3)
    monkeypatch.setattr(quantizing, "accuracy", lambda *_: next(found))


@pytest.mark.usefixtures("_lossy")
@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        ("'my run' -o net.c --int8", "'my run' -o net.c --int8 --max-loss 0.251"),
        ("--max-loss=0.1 'my run' --int8 -o net.c", "'my run' --int8 -o net.c --max-loss 0.251"),
        ("--int8 --max-loss 0.2 -o net.c -- 'my run'", "--int8 -o net.c --max-loss 0.251 -- 'my run'"),
    ],
)
def test_a_loss_that_is_refused_is_accepted_by_the_proposed_command(typed: str, proposed: str, tmp_path: Path) -> None:
    """It is the typed one with another limit; nothing was written before."""
    error = CliRunner().invoke(command, ["export", *shlex.split(typed)]).exception
    assert isinstance(error, UserError)
    assert "accuracy 0.7500 → 0.5000 in int8: 0.2500 lost" in error.message
    assert error.help == f"to accept this loss: layerline export {proposed}"
    assert not (tmp_path / "net.c").exists()
    again = shlex.split(error.help.partition(": layerline ")[2])
    assert CliRunner().invoke(command, again, catch_exceptions=False).exit_code == 0
    assert (tmp_path / "net.c").exists()


def test_the_whole_accuracy_may_be_lost() -> None:
    """A proposed limit is one that `--max-loss` takes."""
    assert quantizing.loss_error(quantizing.Accuracy(1.0, 0.0, 9), 0.01).accepted == 1.0
