"""`layerline weights list`, `add` and `remove`: what they print, store, and refuse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch
from command import run
from foreign_backbones import ResNet, trained
from places import SOURCES

from layerline.cli.entry_point import main
from layerline.network.pretrained import installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILE = "weights.pth"
DAMAGE = ("damage",)
"""Not a command: a step of the test."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with weights for resnet18; the user's home is there, and lite0 is not installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(installed, "place_of", lambda _: None)
    torch.save({"epoch": 3, "state_dict": trained(ResNet).state_dict()}, FILE)
    return tmp_path


def test_the_commands_print_what_they_do(
    folder: Path, capsys: pytest.CaptureFixture[str], golden: Callable[[str, str], None]
) -> None:
    """Listed, added, added again, damaged, removed twice, and refused files: the golden file has every word."""
    torch.save({"conv1.weight": torch.ones(64, 3, 7, 7), "fc.weight": torch.ones(2, 2)}, "part.pth")
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), "module.pth")
    (folder / "notes.txt").write_text("not weights")
    commands = [
        ("list",),
        ("add", FILE),
        ("list",),
        ("add", FILE),
        DAMAGE,
        ("list",),
        ("remove", "resnet18"),
        ("remove", "resnet18"),
        ("remove", "resnet"),
        ("add", FILE, "--as", "mobilenetv2"),
        ("add", FILE, "--as", "resnet-18"),
        ("add", "part.pth"),
        ("add", "module.pth"),
        ("add", "notes.txt"),
        ("add", "none.pth"),
    ]
    texts = []
    for words in commands:
        if words is DAMAGE:
            (stored,) = (folder / ".local").rglob("*.safetensors")
            stored.write_bytes(stored.read_bytes()[:-1] + b"\x07")
            texts.append("# a byte of the stored file is changed\n")
            continue
        code = main(("weights", *words))
        out, err = capsys.readouterr()
        assert not err or code == 2
        text = f"$ layerline weights {' '.join(words)}\n{out}{err}"
        texts.append(re.sub("[0-9a-f]{64}", "<SHA-256>", text))
        assert max(map(len, out.splitlines()), default=0) <= 80
    golden("weights.txt", "\n".join(texts).rstrip())


def test_adding_opens_no_socket_and_runs_nothing(folder: Path) -> None:
    """With sockets and programs that refuse to be made, weights are added, and are one file."""
    code = (
        "import sys\n"
        "def hook(event, arguments):\n"
        "    if event.startswith(('socket.', 'subprocess.', 'os.system', 'os.exec', 'os.posix_spawn')):\n"
        "        raise SystemExit('touched: ' + event)\n"
        "sys.addaudithook(hook)\n"
    )
    (folder / "sitecustomize.py").write_text(code)
    environment = {"XDG_DATA_HOME": str(folder / "data"), "PYTHONPATH": f"{folder}:{SOURCES}"}
    ran = run(folder, "weights", "add", FILE, environment=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [path.name for path in (folder / "data").rglob("*.*")] == ["resnet18.safetensors"]
