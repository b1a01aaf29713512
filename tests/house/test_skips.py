"""No test goes unseen: what one may be skipped for stands in conftest, and nothing else is taken."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import MAY_BE_SKIPPED
from places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ALLOWED = f"""
import pytest

@pytest.mark.skipif(True, reason={MAY_BE_SKIPPED[0]!r})
def test_by_a_mark() -> None: ...

def test_inside() -> None:
    pytest.skip({MAY_BE_SKIPPED[1]!r})

@pytest.mark.xfail
def test_that_is_known_to_fail() -> None:
    assert False
"""
REFUSED = {
    "by a mark": "@pytest.mark.skip(reason='slow')\ndef test_it() -> None: ...",
    "without a reason": "def test_it() -> None:\n    pytest.skip()",
    "for a module that is not there": "def test_it() -> None:\n    pytest.importorskip('no_such_module')",
    "as a module": "pytest.importorskip('no_such_module')\ndef test_it() -> None: ...",
}


def ended(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a file of tests with our conftest."""
    (folder / "test_some.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "--rootdir", str(folder), "-c", os.devnull, "."]
    path = os.pathsep.join([str(ROOT / "tests"), *sys.path])
    return subprocess.run(  # noqa: S603
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )


def test_what_a_machine_may_lack_is_skipped(tmp_path: Path) -> None:
    """Two tests for reasons that conftest lists; what is known to fail is another matter."""
    run = ended(tmp_path, ALLOWED)
    assert run.returncode == 0, run.stdout
    assert "2 skipped, 1 xfailed" in run.stdout


@pytest.mark.parametrize("how", REFUSED)
def test_any_other_skip_is_a_failure(tmp_path: Path, how: str) -> None:
    """However it comes about, the run fails and says why."""
    run = ended(tmp_path, f"import pytest\n{REFUSED[how]}\n")
    assert run.returncode != 0
    assert "which tests/conftest.py does not allow" in run.stdout
