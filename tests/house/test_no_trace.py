"""A program that uses Layerline keeps its settings: none of the process's is written, not even for a moment."""

from __future__ import annotations

import ast
import io
import locale
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from image_files import picture
from PIL import Image
from places import PACKAGE

import layerline
from layerline.report import page, thumbnails

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = PACKAGE
LIBRARY = [path for path in sorted(SOURCE.rglob("*.py")) if path.relative_to(SOURCE).parts[0] != "cli"]


def called_by_layerline() -> bool:
    """Whether a function of the package is among those that are running in this thread."""
    return any(frame.filename.startswith(str(SOURCE)) for frame in traceback.extract_stack())


def told(name: str, before: Callable[..., Any], changes: list[str]) -> Callable[..., Any]:
    def setter(*arguments: Any, **options: Any) -> Any:
        if called_by_layerline():
            changes.append(f"{name}{arguments[-2:]}")
        return before(*arguments, **options)

    return setter


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every setting that the package writes is added."""
    found: list[str] = []
    setters: list[tuple[Any, str]] = [
        (warnings.catch_warnings, "__enter__"),
        (warnings, "simplefilter"),
        (warnings, "filterwarnings"),
        (warnings, "resetwarnings"),
        (mpl.RcParams, "__setitem__"),
        (mpl.RcParams, "update"),
        (mpl.RcParams, "_update_raw"),
        (mpl, "rc_context"),
        (mpl, "use"),
        (logging.Logger, "setLevel"),
        (logging, "disable"),
        (np, "seterr"),
        (np, "set_printoptions"),
        (np.random, "seed"),
        (type(os.environ), "__setitem__"),
        (type(os.environ), "__delitem__"),
        (os, "chdir"),
        (os, "umask"),
        (locale, "setlocale"),
        (signal, "signal"),
        (sys, "setrecursionlimit"),
        (sys, "setswitchinterval"),
        (threading, "stack_size"),
    ]
    for owner, name in setters:
        if hasattr(owner, name):
            monkeypatch.setattr(owner, name, told(name, getattr(owner, name), found))
    return found


def settings() -> dict[str, Any]:
    """Return what the process is set to."""
    return {
        "filters": list(warnings.filters),
        "rcParams": dict(mpl.rcParams),
        "levels": {
            name: logging.getLogger(name).level for name in ("", "matplotlib", "matplotlib.font_manager", "PIL")
        },
        "numpy": np.geterr(),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
    }


def used(folder: Path, out: Path) -> None:
    """Do what a program does with the library, from images to a report."""
    data = layerline.load_data(str(folder), seed=1)
    network = layerline.parse("Flat\nFC classes\n", data)
    run = layerline.train(
        network, data, epochs=2, learning_rate=0.05, optimizer="sgd", batch_size=8, seed=1, out=str(out)
    )
    run.model.predict(data.train.source.images[:3])
    page.write(out, pixels=thumbnails.of(data))
    assert (out / "loss.png").is_file()


def test_no_setting_of_the_process_is_written(tmp_path: Path, changes: list[str]) -> None:
    """Four threads load images of which some are odd, train, predict and report at once: nobody writes a setting, and
    afterwards all are what they were."""
    folder = tmp_path / "images"
    for k in range(24):
        place = folder / ("猫" if k % 2 else "b")
        place.mkdir(parents=True, exist_ok=True)
        exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0"  # it ends too early: Pillow would warn
        file = io.BytesIO()
        Image.fromarray(picture(k, (16, 16))).save(file, "JPEG", exif=exif)
        (place / f"{k}.jpg").write_bytes(file.getvalue())
    before = settings()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: used(folder, tmp_path / f"run{k}"), range(4)))
    assert changes == []
    assert settings() == before


WRITERS = {
    "catch_warnings", "simplefilter", "filterwarnings", "resetwarnings", "rc_context", "rcParams", "rcdefaults",
    "setLevel", "basicConfig", "seterr", "set_printoptions", "chdir", "umask", "setlocale", "setrecursionlimit",
    "setswitchinterval", "putenv", "unsetenv", "pyplot", "setdefaulttimeout", "gc", "stack_size",
}  # fmt: skip
"""Names that set something for the whole process."""
ALLOWED = {("signal", "training/interrupt.py"), ("stack_size", "system/workers.py")}
"""Both are documented: the handler of Ctrl-C while a training runs in the main thread, the stack of a thread of ours
where the process gives its threads too little."""


def written(tree: ast.AST) -> list[str]:
    """Return what of the process's settings a module writes, by its names."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in WRITERS:
            found.append(node.attr)
        elif isinstance(node, ast.Name) and node.id in WRITERS:
            found.append(node.id)
        elif isinstance(node, ast.ImportFrom):
            found += [alias.name for alias in node.names if alias.name in WRITERS]
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            found += ["environ"] if ast.unparse(node.value).endswith("environ") else []
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "signal.signal":
            found.append("signal")
    return found


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_module_of_the_library_can_write_one(path: Path) -> None:
    """Outside the command line, whose process is its own, no name that sets something for the process is used."""
    name = path.relative_to(SOURCE).as_posix()
    found = written(ast.parse(path.read_text(encoding="utf-8")))
    assert [each for each in found if (each, name) not in ALLOWED] == []


@pytest.mark.parametrize(
    "code",
    [
        "with warnings.catch_warnings(): pass",
        "from warnings import simplefilter",
        "mpl.rcParams['a'] = 1",
        "os.environ['A'] = 'b'",
        "del os.environ['A']",
        "log.setLevel(3)",
        "gc.disable()",
        "signal.signal(2, f)",
    ],
)
def test_a_write_is_noticed(code: str) -> None:
    """The search of the test above finds these."""
    assert written(ast.parse(code))
