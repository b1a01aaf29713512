"""The child process of `layerline train` that draws the graphs and writes the report."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import command
import pytest

import layerline
from layerline import report
from layerline.report import live_model, page, thumbnails
from layerline.runs import saved

if TYPE_CHECKING:
    from pathlib import Path

GRAPHS = ("loss", "accuracy", "macro_f1", "confusion", "filters")
FILES = [*(f"{name}.{ending}" for name in GRAPHS for ending in ("png", "svg")), "report.html"]
LIBRARIES = {"matplotlib", "jinja2", "PIL"}
"""What graphs and report need, and nothing else of a training."""
TRAIN = ("train", "net.cnn", "--data", "bands.npz", "--epochs", "2", "--out", "run")

CODE = """
import json, os, signal, sys, threading
from layerline.cli import drawing_process
from layerline.cli.entry_point import main
from layerline.cli.drawing_process import DrawingProcess
drawing_process.cores = lambda: 2
{before}
code = main(sys.argv[1:])
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
sys.exit(code)
"""


def killed_before(method: str) -> str:
    """Return lines with which the child is killed before it is told to draw, or to write the report."""
    return f"""
real = DrawingProcess.{method}
def {method}(self, *arguments):
    os.kill(self._child, signal.SIGKILL)
    os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOWAIT)
    return real(self, *arguments)
DrawingProcess.{method} = {method}
"""


def trained(folder: Path, before: str = "") -> set[str]:
    """Train in another process, after the lines `before`, and return the libraries that this process loaded."""
    command.with_data(folder)
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", CODE.format(before=before), *TRAIN],
        cwd=folder,
        env=command.PLAIN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr
    listed = ran.stdout.partition("run/\n")[2]
    assert all(name in listed for name in (*(f"{graph}.png" for graph in GRAPHS), "report.html", "(and .svg)"))
    return set(json.loads(ran.stdout.splitlines()[-1]))


def drawn_here(folder: Path) -> dict[str, bytes]:
    """Draw the run's graphs and write its report in this process, into the same folder; return the files' bytes."""
    run = saved.read(folder / "run")
    assert run.result is not None
    assert run.network is not None
    assert run.weights is not None
    for name in FILES:
        (folder / "run" / name).unlink()
    report.draw(folder / "run", run.history, run.result, run.network, run.weights)
    live = live_model.of_run(folder / "run").html
    page.write(folder / "run", pixels=thumbnails.of(layerline.load_data(folder / "bands.npz")), live=live)
    return written(folder)


def written(folder: Path) -> dict[str, bytes]:
    """Return the bytes of the drawn files."""
    return {name: (folder / "run" / name).read_bytes() for name in FILES}


def test_the_child_draws_what_this_process_would(tmp_path: Path) -> None:
    """Graphs and report of the child have the bytes that the library makes, and the command loads nothing to draw."""
    assert not trained(tmp_path) & LIBRARIES
    assert written(tmp_path) == drawn_here(tmp_path)


@pytest.mark.parametrize("method", ["begin", "graphs", "report"])
def test_a_child_that_is_killed_is_replaced(tmp_path: Path, method: str) -> None:
    """If the child is killed at any stage, the command draws and writes the same files itself."""
    assert trained(tmp_path, killed_before(method)) & LIBRARIES
    assert written(tmp_path) == drawn_here(tmp_path)


NO_FORK = """
def refused():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = refused
"""


@pytest.mark.parametrize(
    "before",
    [
        NO_FORK,
        "drawing_process.cores = lambda: 1",
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\nos.fork = None",
    ],
    ids=["refused", "one core", "another thread"],
)
def test_without_a_child_the_command_draws(tmp_path: Path, before: str) -> None:
    """If the system refuses a process, there is one core, or a fork is not safe, the command draws itself."""
    assert trained(tmp_path, before) >= LIBRARIES


LIBRARY = """
import os
os.fork = None
import layerline
from layerline.cli import drawing_process
drawing_process.cores = lambda: 2
run = layerline.train("net.cnn", "bands.npz", epochs=2, out="run")
assert "report.html" in run.files and "filters.svg" in run.files, run.notes
"""


def test_training_in_python_starts_no_process(tmp_path: Path) -> None:
    """`layerline.train` writes the same files as the command without a fork."""
    command.with_data(tmp_path)
    code = [sys.executable, "-c", LIBRARY]
    ran = subprocess.run(code, cwd=tmp_path, env=command.PLAIN, capture_output=True, text=True, check=False)  # noqa: S603
    assert ran.returncode == 0, ran.stderr
    assert written(tmp_path).keys() == set(FILES)


MISTAKE = """
import os, sys
from layerline.cli import drawing_process
from layerline.cli.entry_point import main
drawing_process.cores = lambda: 2
fork = os.fork
def counted():
    print("forked", flush=True)
    return fork()
os.fork = counted
code = main(sys.argv[1:])
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
sys.exit(code)
"""


def test_a_mistake_leaves_no_child(tmp_path: Path) -> None:
    """If the command ends before anything is drawn, its child is gone, and was waited for."""
    mistaken = [sys.executable, "-c", MISTAKE, "train", "lenet5", "--data", "missing.npz"]
    ran = subprocess.run(mistaken, cwd=tmp_path, env=command.PLAIN, capture_output=True, text=True, check=False)  # noqa: S603
    assert (ran.returncode, ran.stdout.split("\n")) == (2, ["forked", "no child", ""])


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    """A command killed by SIGKILL leaves no process."""
    command.with_data(tmp_path)
    before = (
        "def begin(self, *_):\n    print(self._child, flush=True)\n    signal.pause()\nDrawingProcess.begin = begin"
    )
    parent = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", CODE.format(before=before), *TRAIN, "--quiet"],
        cwd=tmp_path,
        env=command.PLAIN,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    assert select.select([child], [], [], 60)[0]  # it becomes readable when the process has ended
    os.close(child)
