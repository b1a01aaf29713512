"""Signals, from outside, to a process: what is saved, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import held
import pytest
from command import COMMAND, PLAIN, run, with_data

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a network and data that can be learned in no time."""
    return with_data(tmp_path)


def long_run(folder: Path) -> subprocess.Popen[bytes]:
    """Start a training that would take hours, and wait for its first two epochs."""
    command = [*COMMAND, "train", "net.cnn", "--data", "bands.npz", "--epochs", "1000000", "--out", "run"]
    process = subprocess.Popen(  # noqa: S603
        command, cwd=folder, env=PLAIN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    history = folder / "run" / "history.jsonl"
    deadline = time.monotonic() + 60
    while not (history.exists() and history.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_signals_end_a_training_well(folder: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM: the model and the whole history are there, no half file, and the exit code says which."""
    process = long_run(folder)
    process.send_signal(number)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == code
    assert errors == b""
    assert b"saved weights: epoch" in output
    names = {path.name for path in (folder / "run").iterdir()}
    files = {"network.cnn", "experiment.toml", "history.jsonl", "ending.json", "model.safetensors"}
    assert names == {*files, "checkpoints"}
    assert json.loads((folder / "run" / "ending.json").read_text())["ended"] == "stopped"
    rows = [json.loads(line) for line in (folder / "run" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert run(folder, "describe", "run").returncode == 0


def test_nohup_is_respected(folder: Path) -> None:
    """A signal that the process was started to ignore stays ignored."""
    command = [*COMMAND, "train", "net.cnn", "--data", "bands.npz", "--epochs", "300", "--quiet", "--out", "run"]
    process = subprocess.Popen(  # noqa: S603
        command,
        cwd=folder,
        env=PLAIN,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    while not (folder / "run").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=600)[0] == b"run\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("phase", "sent"),
    [
        ("load", "INT"),
        ("load", "TERM"),
        ("compile", "INT"),
        ("batch", "KILL"),
        ("eval", "TERM twice"),
        ("save", "INT twice"),
        ("model", "HUP"),
        ("draw", "STOP, CONT"),
    ],
)
def test_a_signal_in_every_phase(folder: Path, phase: str, sent: str) -> None:
    """Whenever a signal comes: the exit code that says which, no traceback; while data is read nothing is written;
    later what is there goes on to the whole run. `benchmarks/signals.py` tries every pair."""
    held.check(folder, phase, sent)
