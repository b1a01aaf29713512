"""Exported WebAssembly in Node: what a module computes, with the JavaScript that is exported with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from places import ROOT

from layerline.export.subject import pixel_type
from layerline.export.web import templates
from layerline.export.web.module import web_module

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.export.subject import Subject

NEEDS_NODE: Final = "node is not installed"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason=NEEDS_NODE)
_RUNNER: Final = ROOT / "tests" / "run_models.mjs"


def node(*arguments: str, cwd: Path | None = None, **variables: str) -> str:
    """Return what Node prints. Raises CalledProcessError, with its messages in the text of the assertion."""
    found = subprocess.run(  # noqa: S603
        ["node", *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **variables},
        check=False,
        timeout=600,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def in_node(
    folder: Path, cases: Mapping[str, tuple[Subject, NDArray[Any]]], lanes: int = 4, *, timed: bool = False
) -> tuple[dict[str, NDArray[np.float32]], dict[str, float]]:
    """Return the probabilities of each subject for its images (N, C, H, W) as WebAssembly in Node, and the times."""
    (folder / "model.js").write_text(templates.text("model.js"))
    for name, (subject, images) in cases.items():
        (folder / f"{name}.wasm").write_bytes(web_module(subject, lanes).content)
        pixels = subject.card.preprocessing.scaled(images).astype(f"<{_CODES[pixel_type(subject.card).value]}")
        pixels.transpose(0, 2, 3, 1).tofile(folder / f"{name}.pixels")
    answer = node(str(_RUNNER), str(folder / "model.js"), str(folder), *cases, TIMED="1" if timed else "")
    found = {
        name: np.fromfile(folder / f"{name}.found", "<f4").reshape(len(images), -1)
        for name, (_, images) in cases.items()
    }
    return found, json.loads(answer)


_CODES: Final = {"u8": "u1", "i8": "i1", "f32": "f4"}
