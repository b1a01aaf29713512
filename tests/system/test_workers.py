"""Workers: they do a part each, and whatever is raised in the thread that waits, none is at work when it is told."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from command import PLAIN
from threads import threads_of_ours

from layerline.errors import UserError
from layerline.system import workers
from layerline.system.workers import StoppedError, Workers, aside, check, spread

if TYPE_CHECKING:
    from types import FrameType


class TooLateError(Exception):
    """What the handler of an alarm raises."""


class Busy:
    """Work that goes on until it is told to stop, and says how many threads are in it."""

    def __init__(self, number: int = 2, during: Any = None) -> None:
        self.at_work, self.asked = 0, 0
        self._lock, self._during = threading.Lock(), during
        self.workers = Workers(self._work, number, ask=self._ask)

    def _ask(self) -> None:
        self.asked += 1

    def _work(self, k: int) -> None:
        with self._lock:
            self.at_work += 1
        if self._during is not None and k == 0:
            self._during(self)
        while not self.workers.stopped:
            pass
        with self._lock:
            self.at_work -= 1


def test_each_does_its_part() -> None:
    """work(0) … work(n − 1) are done once each, in threads of their own that are gone when the call returns."""
    done: list[tuple[int, int]] = []
    Workers(lambda k: done.append((k, threading.get_ident())), 5).run()
    assert sorted(k for k, _ in done) == list(range(5))
    assert threading.get_ident() not in {thread for _, thread in done}
    assert threads_of_ours() == 0
    assert aside(lambda: 7) == 7
    assert spread(lambda item: item * item, range(100), 3) == [k * k for k in range(100)]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, TooLateError])
def test_a_signal_in_the_waiting_thread(raised: type[BaseException]) -> None:
    """What a signal's handler raises comes out when the workers have stopped, and not before."""

    def handler(*_: object) -> None:
        raise raised

    before = signal.signal(signal.SIGUSR1, handler)
    busy = Busy(3, during=lambda _: os.kill(os.getpid(), signal.SIGUSR1))
    try:
        with pytest.raises(raised):
            busy.workers.run()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert busy.at_work == 0
    assert busy.asked >= 1
    assert threads_of_ours() == 0


def test_a_second_signal_while_they_stop() -> None:
    """However often the wait is interrupted, it goes on; the last interrupt is raised."""

    def handler(*_: object) -> None:
        raise TooLateError

    def during(busy: Busy) -> None:
        for number, asked in ((signal.SIGUSR1, 0), (signal.SIGUSR2, 1), (signal.SIGUSR1, 2)):
            while busy.asked < asked:
                pass
            os.kill(os.getpid(), number)

    before = [signal.signal(number, handler) for number in (signal.SIGUSR1, signal.SIGUSR2)]
    busy = Busy(2, during)
    try:
        with pytest.raises(TooLateError):
            busy.workers.run()
    finally:
        for number, old in zip((signal.SIGUSR1, signal.SIGUSR2), before, strict=True):
            signal.signal(number, old)
    assert busy.at_work == 0
    assert threads_of_ours() == 0


def test_an_interrupt_at_every_line() -> None:
    """An exception before any line that the waiting thread executes in system/workers.py leaves no thread at work."""
    for line in range(1, 200):
        begun: list[int] = []
        busy = Busy(2, during=lambda _, begun=begun: begun.append(1))
        countdown = [line]

        def trace(frame: FrameType, event: str, _: Any, countdown: list[int] = countdown) -> Any:
            if frame.f_code.co_filename != workers.__file__:
                return None
            if event == "line":
                countdown[0] -= 1
                if countdown[0] == 0:
                    raise KeyboardInterrupt
            return trace

        def tick(busy: Busy = busy) -> None:
            busy.workers.stop()  # with no interrupt it ends so

        sys.settrace(trace)
        try:
            busy.workers.run(tick)
        except (KeyboardInterrupt, StoppedError) as error:
            ended: type[BaseException] | None = type(error)
        finally:
            sys.settrace(None)
        assert busy.at_work == 0, line
        assert threads_of_ours() == 0, line
        if ended is StoppedError and countdown[0] > 0:
            break
    assert 30 < line < 199


def test_what_a_worker_raises_is_raised() -> None:
    """The others are stopped, and the caller gets the exception."""
    stopped: list[int] = []

    def work(k: int) -> None:
        if k == 1:
            raise MemoryError("no more")
        while not crew.stopped:
            pass
        stopped.append(k)

    crew = Workers(work, 3)
    with pytest.raises(MemoryError, match="no more"):
        crew.run()
    assert sorted(stopped) == [0, 2]


def test_what_is_raised_between_two_looks() -> None:
    """An exception of `tick` stops the workers like one of a signal."""
    busy = Busy()

    def tick() -> None:
        raise TooLateError

    with pytest.raises(TooLateError):
        busy.workers.run(tick)
    assert busy.at_work == 0


def test_inner_workers_stop_with_the_outer_ones() -> None:
    """Workers that a worker has started are told to stop with it, and those that it would start do not begin."""
    inner, late = Busy(2), Busy(2)
    seen: list[str] = []

    def work() -> None:
        for busy in (inner, late):
            try:
                busy.workers.run()
            except StoppedError:
                seen.append("stopped")
        check()

    def tick() -> None:
        if inner.at_work == 2:
            raise TooLateError

    with pytest.raises(TooLateError):
        aside(work, tick)
    assert seen == ["stopped", "stopped"]
    assert (inner.at_work, late.at_work, late.asked) == (0, 0, 0)


def test_fewer_threads_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system starts two threads of four, the two do their work; where none, it is the user's limit."""
    begin, allowed, done = _thread.start_new_thread, [2], list[int]()

    def limited(*arguments: Any) -> int:
        if allowed[0] == 0:
            raise RuntimeError("can't start new thread")
        allowed[0] -= 1
        return begin(*arguments)

    monkeypatch.setattr(_thread, "start_new_thread", limited)
    Workers(done.append, 4).run()
    assert sorted(done) == [0, 1]
    with pytest.raises(UserError, match="cannot start a thread"):
        Workers(done.append, 4).run()


def test_a_thread_that_ends_before_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not done is never taken for done, as where the memory for a thread's first step is missing."""
    begin, done = _thread.start_new_thread, list[int]()

    def failing(function: Any, arguments: tuple[Any, ...]) -> int:
        return begin(function, arguments) if arguments[2] == 0 else begin(str, ())

    monkeypatch.setattr(_thread, "start_new_thread", failing)
    with pytest.raises(RuntimeError, match="1 of 2 threads ended before their work"):
        Workers(done.append, 2).run()
    assert done == [0]


def test_ends_told_in_any_order() -> None:
    """However threads take turns at their ends, work that was done is not taken for work that was stopped."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(3000):
            asked: list[int] = []
            Workers(lambda _: None, 3, ask=lambda asked=asked: asked.append(1)).run()
            assert asked == []
    finally:
        sys.setswitchinterval(interval)


SMALL_STACKS = """
import threading
threading.stack_size(64 * 1024)
import layerline
data = layerline.load_data("digits")
block = "Residual\\nConv 16 3 1 1\\nBatchNorm\\nGELU\\nConv 16 3 1 1\\nBatchNorm\\nEnd\\nReLU\\n"
text = "Conv 16 3 1 1\\nBatchNorm\\nReLU\\n" + 8 * block + "Pool 2\\nFlat\\nFC 64\\nSiLU\\nFC classes\\n"
layerline.train(layerline.parse(text, data), data, epochs=1, learning_rate=0.01, optimizer="sgd", batch_size=64)
print(threading.stack_size())  # which also sets it to 0
"""


def test_threads_of_small_stacks() -> None:
    """Where a process gives its threads 64 kB, ours have what LLVM takes, and the setting is as it was."""
    ended = subprocess.run([sys.executable, "-c", SMALL_STACKS], env=PLAIN, capture_output=True, text=True)  # noqa: S603
    assert (ended.returncode, ended.stdout) == (0, "65536\n"), ended.stderr
