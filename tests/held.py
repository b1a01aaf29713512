"""A training that waits a moment in one of its phases, so that signals come in it; what is left goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from command import PLAIN, run

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import importlib, os, sys, time
from layerline.cli.entry_point import main

def hold():
    if not os.path.exists("here"):
        open("here", "w").close()
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            time.sleep(0.01)

module, name, part, after = sys.argv[1:5]
owner = importlib.import_module(module)
for word in name.split(".")[:-1]:
    owner = getattr(owner, word)
before = getattr(owner, name.split(".")[-1])

def held(*arguments, **named):
    wanted = part in str(arguments[:1])
    if wanted and not after:
        hold()
    result = before(*arguments, **named)
    if wanted and after:
        hold()
    return result

setattr(owner, name.split(".")[-1], held)
sys.exit(main(["train", "net.cnn", "--data", "bands.npz", "--epochs", "3", "--lr", "0.01", "--out", "run"]))
"""
"""Trains, and waits a moment where a phase begins, the first time: in it the signals come."""
PHASES = {
    "load": ("layerline.data.sources", "read", "", ""),
    "compile": ("layerline.compiler.compilation", "compile_network", "", ""),
    "batch": ("layerline.engines.trainer", "Trainer.run", "", ""),
    "eval": ("layerline.engines.predictor", "Predictor.run", "", ""),
    "save": ("layerline.files.whole", "_write_new", "checkpoints", "after"),
    "model": ("layerline.files.whole", "_write_new", "model.safetensors", "after"),
    "draw": ("layerline.report", "draw", "", ""),
}
"""Phase → what begins it: module and function, a part of its first argument; or what ends it."""
SIGNALS = {
    "INT": ([signal.SIGINT], 130),
    "INT twice": ([signal.SIGINT, signal.SIGINT], 130),
    "TERM": ([signal.SIGTERM], 143),
    "TERM twice": ([signal.SIGTERM, signal.SIGTERM], 143),
    "HUP": ([signal.SIGHUP], 143),
    "STOP, CONT": ([signal.SIGSTOP, signal.SIGCONT], 0),
    "KILL": ([signal.SIGKILL], -signal.SIGKILL),
}
"""What is sent, and how the process ends."""


def held_in(folder: Path, phase: str, numbers: list[signal.Signals]) -> tuple[int, str]:
    """Send signals to a training in a phase; return how it ended, and what it said on stderr."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", HOLD, *PHASES[phase]],
        cwd=folder,
        env=PLAIN,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (folder / "here").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.05)
    errors = process.communicate(timeout=600)[1]
    return process.returncode, errors


def check(folder: Path, phase: str, sent: str) -> None:
    """Raise AssertionError where a signal in a phase ends otherwise than it should; docs/checkpoints.md says how.

    folder: with a network and data, and no run.
    """
    numbers, code = SIGNALS[sent]
    ended, errors = held_in(folder, phase, numbers)
    assert ended == code
    assert errors in ("", "\nstopped\n")
    if phase == "load" and code != 0:
        assert not (folder / "run").exists()
        return
    if not (folder / "run" / "report.html").exists():
        assert code != 0
        resumed = run(folder, "train", "--resume", "run", "--quiet")
        assert (resumed.returncode, resumed.stderr) == (0, "")
    rows = [json.loads(line) for line in (folder / "run" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert not list((folder / "run").rglob(".*.part"))
