"""Options out of range, flags that are not there, places that cannot be written: refused before all else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from command import PLAIN, run, with_data
from places import GOLDEN, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRAIN = ["train", "net.cnn", "--data", "bands.npz"]
VALUES: dict[str, tuple[str, ...]] = {
    "--learning-rate": ("0", "-1", "nan", "inf", "-inf", "1e10", "1e400", "0x1", "1_0", "٣", ""),
    "--epochs": ("0", "-1", "1000000000", "1e3", "9" * 5000),
    "--momentum": ("1", "1.5", "-0.1"),
    "--beta1": ("1",),
    "--beta2": ("1", "-1"),
    "--weight-decay": ("-0.1", "inf"),
    "--optimizer": ("rmsprop", "\x1b[31mred\x07"),
    "--seed": ("-1", "18446744073709551616", "abc", "1.0"),
    "--threads": ("0", "-1", "1000000", "abc"),
    "--batch-size": ("0", "-1", "3000000000"),
}
FLAGS: dict[str, list[str]] = {
    "unknown": [*TRAIN, "--epoch", "3"],
    "abbreviated": [*TRAIN, "--learn", "3"],
    "short": [*TRAIN, "-e", "3"],
    "a value for a switch": [*TRAIN, "--quiet=yes"],
    "repeated": [*TRAIN, "--epochs", "3", "--epochs", "3"],
    "repeated, another name": [*TRAIN, "--lr", "3", "--learning-rate", "3"],
    "a repeated switch": [*TRAIN, "--quiet", "--quiet"],
    "behind --": [*TRAIN, "--", "--epochs", "3"],
    "an abbreviated command": ["tra", "net.cnn"],
}
PLACES: dict[str, list[str]] = {
    "the data": [*TRAIN, "--out", "bands.npz", "--force"],
    "the network": [*TRAIN, "--out", "net.cnn", "--force"],
    "a folder": [*TRAIN, "--out", "folder"],
    "a folder that is no run": [*TRAIN, "--out", "folder", "--force"],
    "here": [*TRAIN, "--out", ".", "--force"],
    "a link to nothing": [*TRAIN, "--out", "nothing"],
    "through a link to itself": [*TRAIN, "--out", "itself/run"],
    "in a file": [*TRAIN, "--out", "net.cnn/run"],
    "a device": [*TRAIN, "--out", "/dev/null", "--force"],
    "a long name": [*TRAIN, "--out", f"new/{'a' * 300}/run"],
    "a sheet over the data": ["data", "show", "bands.npz", "--out", "bands.npz", "--force"],
    "a network over a network": ["new", "lenet5", "--out", "net.cnn"],
    "a report over a file": ["report", "run", "--out", "net.cnn"],
}
CASES = {
    **{f"{flag} {value[:40]}": [*TRAIN, flag, value] for flag, values in VALUES.items() for value in values},
    **{f"flag: {name}": words for name, words in FLAGS.items()},
    **{f"place: {name}": words for name, words in PLACES.items()},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a network, data, and things that are in the way."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    (tmp_path / "nothing").symlink_to("nowhere")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.toml").write_text("# Written by layerline: this folder is a run.\n")
    return with_data(tmp_path)


def content(folder: Path) -> dict[str, bytes | None]:
    """Return every name below a folder, with its content where it is a file."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


EACH = """
import contextlib, io, json, sys
from layerline.cli import main

found = {}
for name, arguments in json.load(sys.stdin).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    found[name] = (code, out.getvalue(), err.getvalue())
json.dump(found, sys.stdout)
"""
"""Runs the command with each list of arguments, in one process."""


@pytest.mark.parametrize("optimize", [[], ["-O"]])
def test_each_is_refused_with_its_message(
    folder: Path, optimize: list[str], golden: Callable[[str, str], None]
) -> None:
    """Exit 2, nothing on stdout, no file touched, the words that were read and found good, also under `python -O`."""
    before, said = content(folder), []
    ended = subprocess.run(  # noqa: S603
        [sys.executable, *optimize, "-c", EACH],
        cwd=folder,
        env=PLAIN,
        input=json.dumps(CASES),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert content(folder) == before
    for name, (code, output, errors) in json.loads(ended.stdout).items():
        assert (code, output) == (2, ""), (name, errors)
        assert all(letter == "\n" or letter.isprintable() for letter in errors)
        said.append(f"--- {name.encode('unicode_escape').decode()}\n{errors.replace(str(folder), 'HERE')}")
    golden("refusals.txt", "\n".join(said))


def test_the_largest_values_are_taken(folder: Path) -> None:
    """The seed 2⁶⁴ − 1, 1,024 threads, and a name of 255 bytes train."""
    arguments = ("--epochs", "1", "--lr", "0.01", "--seed", str(2**64 - 1), "--threads", "1024", "--quiet")
    ended = run(folder, *TRAIN, *arguments, "--out", "é" * 127 + "e")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_data_is_checked_without_asserts(tmp_path: Path) -> None:
    """Under `python -O` every mistake in data, and every one in a network, is refused in the same words."""
    code = (
        "import contextlib, json, os, sys, tempfile\n"
        "from data_mistakes_options import CASES\n"
        "from layerline.data import load_data\n"
        "from layerline.errors import DataError\n"
        "assert False, 'asserts are checked'\n"
        "found = {}\n"
        "for name, case in CASES.items():\n"
        "    os.chdir(tempfile.mkdtemp(dir=sys.argv[1]))\n"
        "    source, options = case()\n"
        "    try:\n"
        "        load_data(source, **options)\n"
        "    except DataError as error:\n"
        "        found[name] = error.with_flags\n"
        "json.dump(found, sys.stdout)\n"
    )
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-O", "-c", code, str(tmp_path)],
        env={
            **PLAIN,
            "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{PLAIN['PYTHONPATH']}",
            "XDG_CACHE_HOME": "/dev/null",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    golden = {path.stem: path.read_text("utf-8").removesuffix("\n") for path in (GOLDEN / "data").glob("*.txt")}
    assert json.loads(ended.stdout) == golden
