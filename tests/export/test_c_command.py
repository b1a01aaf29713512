"""`layerline export --to c` and `Model.export`: sizes, files, and refusals."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import command
import pytest
from trained_like import subject_of

import layerline
from layerline.errors import UserError
from layerline.export.c import c_export
from layerline.export.export_options import ExportOptions
from layerline.network import parse
from layerline.training import Model

if TYPE_CHECKING:
    from pathlib import Path


def model(folder: Path) -> Path:
    """Write a model file."""
    of = subject_of(parse("Input 1 5 6\nConv 3 3\nReLU\nFlat\nFC 3\n", name="net"), 5)
    Model(of.network, of.card.classes, of.card.scaling, of.weights).save(folder / "model.safetensors")
    return folder / "model.safetensors"


def test_a_preview_prints_the_sizes_and_writes_nothing(tmp_path: Path) -> None:
    """Flash, RAM, stack, time and work."""
    model(tmp_path)
    done = command.run(tmp_path, "export", "model.safetensors", "--to", "c", "--dry-run")
    assert done.returncode == 0, done.stderr
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words == ["flash", "RAM", "stack", "time", "work"]
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_two_files_are_written_unless_one_is_there(tmp_path: Path) -> None:
    """Neither is replaced without --force, the header as little as the C file."""
    model(tmp_path)
    arguments = ("export", "model.safetensors", "-o", "net.c")
    done = command.run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert "void net(const uint8_t image[30], float probabilities[3]);" in (tmp_path / "net.h").read_text()
    (tmp_path / "net.c").unlink()
    (tmp_path / "net.h").write_text("mine")
    done = command.run(tmp_path, *arguments)
    assert done.returncode == 2
    assert "net.h already exists" in done.stderr
    assert not (tmp_path / "net.c").exists()
    assert (tmp_path / "net.h").read_text() == "mine"
    assert command.run(tmp_path, *arguments, "--force").returncode == 0
    assert (tmp_path / "net.h").read_text() != "mine"


def test_a_model_in_python_exports_itself(tmp_path: Path) -> None:
    """With the options as keywords; the same file as the command's, but for what a run records."""
    found = layerline.load(model(tmp_path))
    found.export(tmp_path / "net.c", lanes=4, name="mine")
    text = (tmp_path / "net.c").read_text()
    assert "void mine(" in text
    assert re.search(r"\bf32x4\b", text)
    with pytest.raises(UserError, match="lanes=3: must be 1 or 4"):
        found.export(tmp_path / "other.c", lanes=3)
    assert not (tmp_path / "other.c").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "net.c", "--name", ""), "--name : must be ASCII letters"),
        (("-o", "net.c", "--data", "digits"), "--data: only with --int8"),
        (("-o", "net.c", "--max-loss", "0.1"), "--max-loss: only with int8"),
        (("-o", "net.c", "--lanes", "3"), "--lanes 3: must be 1 or 4"),
        (("-o", "net.h", "--to", "c"), "net.h: the suffix .h is of another file"),
        (("-o", ".", "--to", "c"), "use --out model.c"),
    ],
    ids=["name", "data", "loss", "lanes", "header", "folder"],
)
def test_options_without_effect_are_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """An option is never ignored: an empty name is no name, and data is only used for 8-bit integers."""
    model(tmp_path)
    done = command.run(tmp_path, "export", "model.safetensors", *options)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_more_than_32_bits_can_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than written with offsets that overflow."""
    of = subject_of(parse("Input 1 5 6\nFlat\nFC 3\n", name="net"), 5)
    monkeypatch.setattr(c_export, "forward", lambda *given, **named: _huge(c_export_forward(*given, **named)))
    with pytest.raises(UserError, match=r"4\.29 GB of weights"):
        c_export.export(of, ExportOptions())


c_export_forward = c_export.forward


def _huge(made: object) -> object:
    return replace(made, schedule=replace(made.schedule, arena_bytes=2**32))
