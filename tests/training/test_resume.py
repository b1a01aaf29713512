"""Going on: what was cut and resumed is, bit for bit, what was never cut; what cannot go on says why."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from interrupted import TIMES, Cut, digest, gone_on, traces, trained, training

import layerline
from layerline.errors import DivergedError, UserError
from layerline.files import tensors
from layerline.runs.folder import RunFolder
from layerline.training import Interrupt, Watcher
from layerline.training.loop import Loop
from layerline.training.resuming import reopen

if TYPE_CHECKING:
    from collections.abc import Callable

    from interrupted import Training

    from layerline.training import Run

SEEDS = range(6)


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no graphs: they have nothing to do with going on, and take most of the time."""
    monkeypatch.setattr("layerline.training.session._Training._illustrate", lambda *_: [])


def drawn(seed: int) -> tuple[Random, Training]:
    rng = Random(seed)
    return rng, training(rng)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cut_training_goes_on_to_the_same_bits(seed: int, tmp_path: Path) -> None:
    """Weights, optimizer, history, model and result are those of a training that was never cut, cut anywhere, with any
    layers and optimizer, and with another number of threads."""
    rng, case = drawn(seed)
    cut = (rng.randint(1, case.recipe.epochs), rng.randint(1, case.steps))
    trained(case, tmp_path / "whole")
    stopped = trained(case, tmp_path / "cut", cut)
    assert stopped.stopped == signal.SIGINT
    gone_on(case, tmp_path / "cut", threads=rng.choice([1, 2]))
    assert traces(tmp_path / "cut") == traces(tmp_path / "whole"), f"cut at {cut}:\n{case.network.text}{case.recipe}"


def test_a_training_can_be_cut_again_and_again(tmp_path: Path) -> None:
    """Every step a cut: the same bits, and history.jsonl has each epoch once."""
    _, case = drawn(3)
    trained(case, tmp_path / "whole")
    trained(case, tmp_path / "cut", (1, 1))
    for epoch in range(1, case.recipe.epochs + 1):
        for step in range(1, case.steps + 1):
            interrupt = Interrupt()
            found = reopen(tmp_path / "cut", {"threads": 1}, load=lambda _: case.data)
            engine: Any = Cut(found.prepared.engine, interrupt, epoch, step)
            cut = dataclasses.replace(found, prepared=dataclasses.replace(found.prepared, engine=engine))
            cut.go_on(Watcher(), interrupt)
    gone_on(case, tmp_path / "cut")
    assert traces(tmp_path / "cut") == traces(tmp_path / "whole")
    rows = [json.loads(line) for line in (tmp_path / "cut" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, case.recipe.epochs + 1))


def test_saving_within_an_epoch_changes_no_bit(tmp_path: Path) -> None:
    """A training that is saved as often as can be is the same as one that is saved at the end of its epochs."""
    _, case = drawn(1)
    trained(case, tmp_path / "seldom")
    trained(case, tmp_path / "often", every=0.0)
    assert traces(tmp_path / "often") == traces(tmp_path / "seldom")


def test_early_stopping_counts_over_a_cut(tmp_path: Path) -> None:
    """Patience goes on where it was: the resumed training ends in the epoch in which the whole one did."""
    data = layerline.load_data("digits", limit=300)
    network = layerline.read("digits", data)
    case = dataclasses.replace(
        drawn(0)[1], network=network, data=data, recipe=layerline.Recipe(epochs=40, patience=2, learning_rate=0.3)
    )
    whole = trained(case, tmp_path / "whole")
    assert len(whole.history) < 40
    trained(case, tmp_path / "cut", (len(whole.history), 2))
    assert len(gone_on(case, tmp_path / "cut").history) == len(whole.history)
    assert traces(tmp_path / "cut") == traces(tmp_path / "whole")


def test_a_divergence_after_a_cut_keeps_the_last_finished_epoch(tmp_path: Path) -> None:
    """The resumed training diverges where the whole one did, and keeps the weights that that one kept."""
    data = layerline.load_data("digits", limit=200)
    network = layerline.parse("Flat\nFC 16\nFC 16\nFC classes\n", data)
    recipe = layerline.Recipe(epochs=9, learning_rate=3.0, warmup=6.0, schedule="constant")
    case = dataclasses.replace(drawn(0)[1], network=network, data=data, recipe=recipe)
    with pytest.raises(DivergedError) as whole:
        trained(case, tmp_path / "whole")
    finished = len(whole.value.run.history)  # type: ignore[attr-defined]
    assert finished > 0
    trained(case, tmp_path / "cut", (finished, 2))
    with pytest.raises(DivergedError) as cut:
        gone_on(case, tmp_path / "cut")
    assert cut.value.message == whole.value.message
    models = [tensors.read(tmp_path / name / "model.safetensors").arrays for name in ("whole", "cut")]
    assert digest(models[0]) == digest(models[1])


def test_python_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`layerline.resume` gives the run that `train` would have given, and the one of torch likewise."""
    data = layerline.load_data("digits", limit=300)
    network = layerline.read("digits", data)
    for engine in ("compiled", "torch"):
        out, recipe = tmp_path / engine, layerline.Recipe(epochs=3)
        whole = layerline.train(network, data, recipe, engine=engine, threads=1)
        with monkeypatch.context() as patch:
            patch.setattr(Loop, "_finish_epoch", _interrupted(Loop._finish_epoch))
            assert layerline.train(network, data, recipe, engine=engine, threads=1, out=out).stopped == signal.SIGINT
        run = layerline.resume(out, data)
        for name, weight in whole.model.weights.items():
            np.testing.assert_array_equal(run.model.weights[name], weight)
        assert _untimed(run) == _untimed(whole)


def _interrupted(finish_epoch: Callable[..., None]) -> Callable[..., None]:
    """Return what a loop does at the end of an epoch, with Ctrl-C behind it."""

    def finish(*given: object) -> None:
        finish_epoch(*given)
        signal.raise_signal(signal.SIGINT)

    return finish


def _untimed(run: Run) -> list[dict[str, object]]:
    return [{k: v for k, v in dataclasses.asdict(row).items() if k not in TIMES} for row in run.history]


REFUSED = {
    "recipe": (["--epochs", "9"], "--epochs 9, was 3"),
    "two": (["--epochs", "9", "--momentum", "0.5"], "--momentum 0.5, was 0.9"),
    "cuts": (["--validation", "0.2"], "--validation 0.2, was 0.1"),
    "limit": (["--limit", "99"], "--limit 99, was 300"),
    "data": (["--data", "other.npz"], "data: the content of other is"),
    "engine": (["--engine", "torch"], "engine: torch, was compiled"),
    "network": (["lenet5-like.cnn"], "network: line 1 is Flat"),
}


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of three epochs, stopped in the second, by the command line."""
    folder = tmp_path_factory.mktemp("stopped")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (300, 8, 8), np.uint8)
    np.savez(folder / "other.npz", x=images, y=np.arange(300) % 10)
    (folder / "lenet5-like.cnn").write_text("Flat\nFC classes\n")
    line = ["digits", "--data", "digits", "--limit", "300", "--epochs", "3", "--threads", "1", "--lr", "0.05"]
    code = (
        "import sys, layerline.training.session as s\n"
        "from layerline.cli.entry_point import main\n"
        "import signal\n"
        "from layerline.training.loop import Loop\n"
        "before = Loop._finish_epoch\n"
        "def finish(self, *given):\n"
        "    before(self, *given)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "Loop._finish_epoch = finish\n"
        f"sys.exit(main({['train', *line, '--out', 'run']!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)  # noqa: S603 - our own command
    assert ended.returncode == 130, ended.stderr
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_the_run_is_refused(case: str, stopped_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another network, recipe, data or engine: refused with what differs, and the folder is as it was."""
    from click.testing import CliRunner

    from layerline.cli.entry_point import layerline as command

    monkeypatch.chdir(stopped_run)
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    words, message = REFUSED[case]
    ended = CliRunner().invoke(command, ["train", *words, "--resume", "run", "--quiet"])
    assert isinstance(ended.exception, UserError)
    assert message in ended.exception.message
    assert "cannot resume" in ended.exception.message
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


def test_a_second_training_of_a_folder_is_refused(stopped_run: Path) -> None:
    """While one process has a run, another is refused; when it is gone, however that was, the next one is not."""
    program = (
        "import sys, time; from pathlib import Path; from layerline.runs.folder import RunFolder\n"
        f"held = RunFolder.existing(Path({str(stopped_run / 'run')!r})); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holding:  # noqa: S603 - our own command
        try:
            assert holding.stdout is not None
            assert holding.stdout.readline() == b"held\n"
            with pytest.raises(UserError, match="another training is writing to it"):
                RunFolder.existing(stopped_run / "run")
            with pytest.raises(UserError, match="another training is writing to it"):
                RunFolder.named(stopped_run / "run", force=True)
        finally:
            holding.kill()
    RunFolder.existing(stopped_run / "run").release()


@pytest.mark.smoke
def test_the_command_goes_on_and_then_has_nothing_to_do(stopped_run: Path, tmp_path: Path) -> None:
    """The command resumes with no other option; a run that has come to its end says so."""
    import shutil

    shutil.copytree(stopped_run / "run", tmp_path / "run")
    command = [sys.executable, "-m", "layerline", "train", "--resume", "run"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)  # noqa: S603 - our own command
    assert first.returncode == 0, first.stderr
    ending = json.loads((stopped_run / "run" / "ending.json").read_text())
    assert f"resuming at epoch {ending['epochs'] + 1} of 3" in first.stdout
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 3
    assert not (tmp_path / "run" / "ending.json").exists()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)  # noqa: S603 - our own command
    assert (again.returncode, again.stdout) == (2, "")
    assert "run: the run has finished" in again.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_saves_and_ends(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """The first signal finishes the step, saves, and ends with 130 or 143; what is left can be resumed."""
    line = [
        "train",
        "digits",
        "--data",
        "digits",
        "--epochs",
        "100000",
        "--threads",
        "1",
        "--lr",
        "0.01",
        "--out",
        "run",
    ]
    command = [sys.executable, "-m", "layerline", *line]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for text in process.stdout:
            if text.startswith("    1 "):
                break
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(timeout=600) == code
    ending = json.loads((tmp_path / "run" / "ending.json").read_text())
    assert ending["ended"] == "stopped"
    found = reopen(tmp_path / "run", {})
    found.folder.release()
    assert found.prepared.resumed is not None
    assert found.prepared.resumed.position == (ending["epochs"], ending["steps"])


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    """Two signals: 130 without waiting for the step; the checkpoints are whole."""
    text = "Conv 64 5 1 2\nReLU\nConv 64 5 1 2\nReLU\nConv 64 5 1 2\nReLU\nFlat\nFC classes\n"
    (tmp_path / "slow.cnn").write_text(text)
    line = ["train", "slow.cnn", "--data", "digits", "--epochs", "9", "--threads", "1", "--lr", "0.01", "--out", "run"]
    line += ["--batch-size", "1000"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "layerline", *line], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    while not list((tmp_path / "run" / "checkpoints").glob("epoch-*")):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=600)
    assert process.returncode == 130
    reopen(tmp_path / "run", {}).folder.release()
