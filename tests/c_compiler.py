"""Compiles C, and calls it: what a test needs of the compilers that a machine may have."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STRICT: Final = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
"""For one lane."""
VECTORS: Final = ("-std=gnu99", "-Wall", "-Wextra", "-Werror")
"""For four lanes, which need GNU's vectors."""


def needed(*tools: str) -> pytest.MarkDecorator:
    """Skip a test where one of these programs is not installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{missing[0] if missing else ''} is not installed")


def strictness(lanes: int) -> tuple[str, ...]:
    """Return the options that a file must compile with."""
    return STRICT if lanes == 1 else VECTORS


def compiled(compiler: str, options: Sequence[str], sources: Sequence[Path], out: Path) -> Path:
    """Compile files; a warning fails the test."""
    command = [compiler, *options, *map(str, sources), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stderr[:4000]) == (0, ""), " ".join(command)
    return out


def library(compiler: str, options: Sequence[str], text: str, folder: Path) -> ctypes.CDLL:
    """Compile a text as a library that can be called."""
    source = folder / "source.c"
    source.write_text(text)
    return ctypes.CDLL(str(compiled(compiler, [*options, "-shared", "-fPIC"], [source], folder / "source.so")))


def symbols(path: Path, nm: str = "nm") -> list[str]:
    """Return the undefined symbols of an object file."""
    done = subprocess.run([nm, "-u", str(path)], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.split()[1::2]
