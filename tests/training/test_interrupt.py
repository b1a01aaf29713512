"""Who takes the signals while a training runs, who keeps them, and that they are given back whatever happens."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
import small_data

import layerline
from layerline.recipe import Recipe
from layerline.training import Interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

THREE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DATA = small_data.dataset(70, 20, 25)
NETWORK = layerline.parse("Flat\nFC classes\n", DATA)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[int, Any]]:
    """Return the handlers before, of which each is another; they are put back at the end."""
    before = {number: signal.getsignal(number) for number in THREE}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    yield {number: signal.getsignal(number) for number in THREE}
    for number, handler in before.items():
        signal.signal(number, handler)


def now() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in THREE}


def trained(out: Path) -> layerline.Run:
    return layerline.train(NETWORK, DATA, Recipe(epochs=2, batch_size=16, learning_rate=0.1), out=out)


def forbidden(*_: object) -> None:
    pytest.fail("a signal was touched")


def test_a_handler_that_is_not_python_s_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a program that embeds Python handles SIGINT, no signal is touched, and the training ends as ever."""
    with monkeypatch.context() as patched:
        patched.setattr(signal, "getsignal", lambda _: None)
        patched.setattr(signal, "signal", forbidden)
        ended = trained(tmp_path / "run")
    assert (ended.stopped, len(ended.history), ended.notes) == (None, 2, ())


def test_another_interpreter_s_signals_are_left_alone(
    handlers: dict[int, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sub-interpreter, where Python refuses to set a handler, a training ends as ever."""

    def refused(*_: object) -> None:
        raise ValueError("signal only works in main thread of the main interpreter")

    with monkeypatch.context() as patched:
        patched.setattr(signal, "signal", refused)
        assert len(trained(tmp_path / "run").history) == 2
    assert now() == handlers


def test_in_another_thread_signals_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training in a thread of the user's touches no signal."""
    ended: list[layerline.Run] = []
    thread = threading.Thread(target=lambda: ended.append(trained(tmp_path / "run")))
    with monkeypatch.context() as patched:
        patched.setattr(signal, "signal", forbidden)
        thread.start()
        thread.join()
    assert len(ended[0].history) == 2


def at(call: int, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """Let something happen before or after the handler is set for the n-th time."""
    before, calls = signal.signal, []

    def counted(number: int, handler: Any) -> Any:
        calls.append(number)
        if len(calls) == call and not after:
            act()
        found = before(number, handler)
        if len(calls) == call and after:
            act()
        return found

    monkeypatch.setattr(signal, "signal", counted)


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_interrupted_while_signals_are_taken(
    handlers: dict[int, Any], call: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All handlers are those before, wherever it is interrupted."""
    with monkeypatch.context() as patched:
        at(call, interrupted, patched, after=after)
        with pytest.raises(KeyboardInterrupt):
            Interrupt(THREE).__enter__()
    assert now() == handlers


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_interrupted_while_signals_are_given_back(
    handlers: dict[int, Any], call: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All handlers are those before, wherever it is interrupted, and the interrupt is not lost."""
    with monkeypatch.context() as patched:
        entered = Interrupt(THREE).__enter__()
        at(call, interrupted, patched, after=after)
        with pytest.raises(KeyboardInterrupt):
            entered.__exit__(None, None, None)
    assert now() == handlers


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_signal_while_signals_are_given_back(
    handlers: dict[int, Any], call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second signal, that would not wait, comes too late for that once they are given back."""
    with monkeypatch.context() as patched:
        entered = Interrupt(THREE).__enter__()
        signal.raise_signal(signal.SIGTERM)
        at(call, lambda: signal.raise_signal(signal.SIGTERM), patched, after=False)
        entered.__exit__(None, None, None)
    assert entered.signal == signal.SIGTERM
    assert now() == handlers
