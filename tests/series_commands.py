"""Commands that train several times, on small images in a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import numpy as np
import small_data

if TYPE_CHECKING:
    from pathlib import Path

NET: Final = "Conv 4 3 1 1\nReLU\nPool 2\nFlat\nFC classes\n"
OPTIONS: Final = ("--data", "bands.npz", "--lr", "0.02", "--threads", "1")
_LAYERLINE: Final = (sys.executable, "-m", "layerline")


def filled(folder: Path) -> Path:
    """Return the folder with a network file and images in it."""
    (folder / "net.cnn").write_text(NET)
    data = small_data.images(200)
    rng = np.random.default_rng(0)
    x = data.images[:, 0] // 3 + rng.integers(0, 150, data.images[:, 0].shape, np.uint8)
    np.savez(folder / "bands.npz", x=x, y=data.labels)
    return folder


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder."""
    words = [*_LAYERLINE, *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Train in a folder that is filled."""
    return command(folder, "train", "net.cnn", *OPTIONS, *arguments)


def interrupted(folder: Path, run: str, *arguments: str) -> tuple[int, str, str]:
    """Train until the run in a folder has an epoch, press Ctrl-C; return exit code, output and errors."""
    process = subprocess.Popen(  # noqa: S603
        [*_LAYERLINE, "train", "net.cnn", *OPTIONS, "--epochs", "1500", "--batch-size", "4", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until, history = time.monotonic() + 90, folder / run / "history.jsonl"
    while time.monotonic() < until and process.poll() is None and not (history.exists() and history.read_text()):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=600)
    return process.returncode, output, errors
