"""`layerline train` in several processes, as torchrun starts them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from command import COMMAND, PLAIN, run

if TYPE_CHECKING:
    from pathlib import Path

DIGITS = ("train", "digits", "--data", "digits", "--learning-rate", "0.01", "--optimizer", "sgd", "--batch-size", "50")
PATIENT = 600
"""Seconds for what takes some."""


def started(folder: Path, *commands: tuple[str, ...]) -> list[subprocess.Popen[str]]:
    """Start a process for each command, as ranks of one group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(len(commands))}
    return [
        subprocess.Popen(  # noqa: S603
            [*COMMAND, *command],
            cwd=folder,
            env={**PLAIN, **where, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, command in enumerate(commands)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Return the exit code, stdout and stderr of each."""
    outputs = [process.communicate(timeout=PATIENT) for process in processes]
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def losses(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [row[key] for row in rows for key in ("train_loss", "validation_loss")]


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_three_ranks_write_the_run_of_one(tmp_path: Path, engine: str) -> None:
    """Only rank 0 prints and writes; losses within 10⁻⁵; 1,293 images in batches of 50 do not divide."""
    command = (*DIGITS, "--epochs", "2", "--engine", engine, "--out", "three")
    (code, out, err), *others = ended(started(tmp_path, command, command, command))
    assert (code, err) == (0, "")
    assert "3 ranks" in out
    assert others == [(0, "", "")] * 2
    assert run(tmp_path, *DIGITS, "--epochs", "2", "--engine", engine, "--out", "one").returncode == 0
    assert losses(tmp_path / "three") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    confusions = [json.loads((tmp_path / each / "result.json").read_text()) for each in ("three", "one")]
    assert confusions[0]["confusion"] == confusions[1]["confusion"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("--batch-size", "40"), "rank 1 was started with --batch-size 40, rank 0 with 50"),
        (("--split-seed", "3"), "rank 1 was started differently from rank 0:\n    data: the training, validation"),
    ],
)
def test_ranks_that_differ_are_refused(tmp_path: Path, other: tuple[str, str], message: str) -> None:
    """On every rank, before anything is written."""
    base = ("train", "digits", "--data", "digits", "--epochs", "2", "--learning-rate", "0.1", "--out", "out")
    first = (*base, *(("--batch-size", "50") if other[0] == "--batch-size" else ()))
    for rank, (code, _, err) in enumerate(ended(started(tmp_path, first, (*base, *other)))):
        assert code == 2
        assert err.startswith(f"rank {rank}: {message}"), err
    assert not (tmp_path / "out").exists()


def test_a_rank_that_is_killed_is_named_and_the_run_resumed_by_fewer(tmp_path: Path) -> None:
    """The others end with exit code 2, and a command that continues from the last checkpoint with any number."""
    command = (*DIGITS, "--epochs", "4000", "--schedule", "constant", "--out", "out")
    processes = started(tmp_path, command, command, command)
    history = tmp_path / "out" / "history.jsonl"
    while not (history.exists() and history.read_text().count("\n") >= 2):
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.05)
    processes[1].kill()
    first, killed, last = ended(processes)
    assert killed[0] == -signal.SIGKILL
    for code, _, err in (first, last):
        assert code == 2
        assert "rank 1 has ended or no longer answers" in err
    assert "`layerline train --resume out` continues from the last checkpoint" in first[2]
    rows = history.read_text().count("\n")
    resumed = started(tmp_path, *[("train", "--resume", "out")] * 2)
    while history.read_text().count("\n") < rows + 2:
        assert resumed[0].poll() is None, resumed[0].communicate()
        time.sleep(0.05)
    resumed[1].send_signal(signal.SIGINT)
    assert [code for code, _, _ in ended(resumed)] == [130, 130]
    alone: Any = subprocess.Popen([*COMMAND, "train", "--resume", "out"], cwd=tmp_path, env=PLAIN)  # noqa: S603
    rows = history.read_text().count("\n")
    while history.read_text().count("\n") < rows + 1:
        assert alone.poll() is None
        time.sleep(0.05)
    alone.send_signal(signal.SIGINT)
    assert alone.wait(PATIENT) == 130


def test_other_commands_are_not_for_several(tmp_path: Path) -> None:
    """Two processes would do the same work twice, and write to the same files."""
    found = run(tmp_path, "evaluate", "x", environment={"WORLD_SIZE": "2", "RANK": "1"})
    assert found.returncode == 2
    assert found.stderr.startswith("rank 1: layerline evaluate runs in one process, but there are 2 (torchrun)")
