"""The examples of the users' pages are run, and give what the pages show.

Blocks of a page run in their order, in one folder: `sh` by a shell and must end well, `sh fails` must end with exit
code 2 (a mistake that is told), `python` in one namespace for the page. `js` and `html` are written to the file that
their first line, a comment, names. Others (`console`, `keras`, …) do not run.

A `text` block right behind a block that runs is what that prints. Numbers and times may be others: machines differ. A
line `…` stands for any number of lines; all else must be there as it is, one line behind the other.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_runtime
import pytest
from c_compiler import needed
from PIL import Image, ImageDraw
from places import DOCS, SOURCES
from web_models import needs_node

PAGES = (
    "first-network.md",
    "from-keras-and-pytorch.md",
    "my-own-photos.md",
    "comparing-runs.md",
    "reading-the-results.md",
    "predicting.md",
    "python.md",
    "pytorch.md",
    "scikit-learn.md",
    "engines.md",
    pytest.param("export-web.md", marks=needs_node),
    pytest.param("export-c.md", marks=needed("gcc")),
    "export-onnx.md",
)
WRITTEN = ("js", "html")
FENCE = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_OUT = "…"

CLASSES = {"cat": 60, "dog": 40, "rabbit": 12}
SIZES = ((60, 80), (80, 60), (64, 64))


@dataclass(frozen=True)
class Block:
    """A block of a page that is run."""

    language: str
    text: str
    expected: str | None


def blocks(page: str) -> list[Block]:
    """Return what is to be run, with the text block right behind it."""
    found = FENCE.findall(page)
    following = [*found[1:], ("", "")]
    return [
        Block(language, text, after if kind == "text" else None)
        for (language, text), (kind, after) in zip(found, following, strict=True)
        if language in ("sh", "sh fails", "python", *WRITTEN)
    ]


def plain(line: str) -> str:
    """Return a line with each number as 0, without units of time and size, stars and spaces that vary with numbers."""
    line = re.sub(r"(?<= )·(?=( |$))", "0", line.replace("★", ""))
    line = re.sub(r"-?[0-9][0-9,]*(\.[0-9]+)?(e[-+]?[0-9]+)?", "0", line)
    line = re.sub(r"\b0 (ms|s|min 0 s|h 0 min)\b", "0 s", line)
    line = re.sub(r"\b0 (B|kB|MB|GB)\b", "0 B", line)
    return " ".join(line.split())


def missing(expected: str, output: str) -> str | None:
    """Return the lines that are not where `expected` says; None where it is right."""
    lines = [plain(line) for line in output.strip("\n").splitlines()]
    groups = re.split(rf"^{LEFT_OUT}$", expected.strip("\n"), flags=re.MULTILINE)
    at = 0
    for number, group in enumerate(groups):
        wanted = [plain(line) for line in group.strip("\n").splitlines()]
        first, last = number == 0, number == len(groups) - 1
        places = [k for k in range(at, len(lines) - len(wanted) + 1) if lines[k : k + len(wanted)] == wanted]
        if first:
            places = [k for k in places if k == 0]
        if last and wanted:
            places = [k for k in places if k + len(wanted) == len(lines)]
        if wanted and not places:
            return group.strip("\n")
        at = places[0] + len(wanted) if wanted else at
    return None


def photos(folder: Path) -> None:
    """Write photos of three sizes: discs, squares and triangles on a ground, the last class rare."""
    rng = np.random.default_rng(0)
    for k, (name, count) in enumerate(CLASSES.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            W, H = SIZES[rng.integers(len(SIZES))]
            ground = rng.integers(60, 200, 3)
            noise = rng.normal(0, 18, (H, W, 3))
            image = Image.fromarray(np.clip(ground + noise, 0, 255).astype(np.uint8))
            draw, color = ImageDraw.Draw(image), tuple(int(value) for value in (ground + 128) % 256)
            r = int(rng.integers(12, 20))
            x, y = (int(rng.integers(r, side - r)) for side in (W, H))
            if k == 0:
                draw.ellipse((x - r, y - r, x + r, y + r), fill=color)
            elif k == 1:
                draw.rectangle((x - r, y - r, x + r, y + r), fill=color)
            else:
                draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=color)
            image.save(folder / name / f"{number:03d}.jpg", quality=88)


def command(folder: Path) -> dict[str, str]:
    """Return an environment in which `layerline` is the one that is tested, in a folder of its own."""
    tools = folder / "tools"
    tools.mkdir()
    script = tools / "layerline"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m layerline "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCES),
        "LANG": "C.UTF-8",
        "XDG_DATA_HOME": "/nowhere",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


def ran(block: Block, environment: dict[str, str], names: dict[str, Any]) -> str:
    """Run a block in the folder that we are in, and return what it prints."""
    if block.language == "python":
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(block.text, "<page>", "exec"), names)  # noqa: S102 - our own page
        return said.getvalue()
    if block.language in WRITTEN:
        named = re.match(r"\W*([\w.-]+)", block.text)
        assert named is not None
        Path(named[1]).write_text(block.text, encoding="utf-8")
        return ""
    ended = subprocess.run(
        ["sh", "-e"],  # noqa: S607
        input=block.text,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert ended.returncode == (2 if block.language == "sh fails" else 0), f"{block.text}\n{ended.stdout}"
    return ended.stdout


@pytest.mark.parametrize("page", PAGES)
def test_examples_give_what_the_page_shows(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example of the page runs, in its order, and prints what stands behind it."""
    environment = command(tmp_path)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    if page == "export-onnx.md" and importlib.util.find_spec("onnxruntime") is None:
        monkeypatch.setitem(sys.modules, "onnxruntime", onnx_runtime.stand_in())
    if page in ("my-own-photos.md", "predicting.md"):
        photos(folder / "photos")
    names: dict[str, Any] = {}
    found = blocks((DOCS / page).read_text(encoding="utf-8"))
    assert found
    for block in found:
        output = ran(block, environment, names)
        if block.expected is not None:
            lacking = missing(block.expected, output)
            assert lacking is None, f"{block.text}\nprints\n{output}\nwithout\n{lacking}"


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_to_files(page: str) -> None:
    """Every link to a file of this repository leads to one."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize(
    ("expected", "right"),
    [
        ("epoch 3  0.51\nloss 0.3012", True),
        ("epoch 7   12.5\nloss 1e-05", True),
        ("…\nloss 1", True),
        ("epoch 1  2\n…", True),
        ("…", True),
        ("loss 1", False),  # not the first line
        ("epoch 1  2", False),  # not the last line
        ("epochs 3  0.51\nloss 0.3012", False),
        ("epoch 3\nloss 0.3012", False),
        ("…\nepoch 1 2\n…\nepoch 1 2\n…", False),
        ("loss 1\nepoch 1 2", False),
    ],
)
def test_the_rule_for_what_a_page_shows(expected: str, right: bool) -> None:
    """Numbers may differ, words and the order of lines may not, and `…` alone stands for lines that are left out."""
    assert (missing(expected, "epoch 1  0.25 ★\nloss 0.5000\n") is None) == right
    assert plain("  3.20 ms   1,234 kB  ·  4 min 05 s") == "0 s 0 B 0 0 s"
