"""The command line as a process, in an environment where only what a test gives counts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import small_data
from places import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "layerline"]
NET = "Conv 4 3 1 1\nReLU\nPool 2\nFlat\nFC classes\n"
PLAIN = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(SOURCES),
    "LANG": "C.UTF-8",
    "XDG_DATA_HOME": "/nowhere",
    "XDG_CACHE_HOME": "/dev/null",
}
"""An environment that a test's outcome may depend on; HOME is not even set."""


def with_data(folder: Path) -> Path:
    """Put a network into a folder, and data that it can learn in no time; return the folder."""
    (folder / "net.cnn").write_text(NET)
    data = small_data.images(200)
    np.savez(folder / "bands.npz", x=data.images[:, 0], y=data.labels)
    return folder


def run(folder: Path, *arguments: str, environment: dict[str, str] | None = None, **named: Any) -> Any:
    """Run the command in `folder` and return what subprocess returns, output as text."""
    return subprocess.run(  # noqa: S603
        [*COMMAND, *arguments],
        cwd=folder,
        env={**PLAIN, **(environment or {})},
        capture_output=True,
        timeout=120,
        check=False,
        **{"encoding": "utf-8", **named},
    )


def train(folder: Path, *arguments: str, **named: Any) -> Any:
    """Run two epochs on the data of `with_data`."""
    return run(folder, "train", "net.cnn", "--data", "bands.npz", "--epochs", "2", *arguments, **named)
