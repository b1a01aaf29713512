"""What every test may use: golden files, which `scripts/golden` writes anew."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from places import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_configure() -> None:
    """Let Ctrl-C reach the commands that tests start: a shell's background job ignores it, and so would they."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def nobodys_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see the data sets and decoded images of the user who runs it, or leave any."""
    monkeypatch.setenv("HOME", "/no-home")
    monkeypatch.setenv("XDG_DATA_HOME", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    monkeypatch.delenv("LAYERLINE_DATA", raising=False)


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
