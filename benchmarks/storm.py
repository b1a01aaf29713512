"""Random calls from several threads under random interrupts: are all results bit-exact, and is all state restored?

    nice python benchmarks/storm.py --minutes 5 --seed 1
    python benchmarks/storm.py --round 10003 --minutes 1

A round is a process of --round-minutes; its seed is printed, and --round repeats it (thread scheduling is up to the
system, so timing is not reproduced exactly). A round computes all answers in one thread, then runs bursts: 1 to 8
threads make calls; the main thread is interrupted by SIGINT, by timeouts and exits raised in handlers, and by handlers
that predict; the other threads by asynchronous exceptions; children are forked. After a burst no layerline thread is
left, guard zones around all memory that machine code writes to are intact, as are freed buffers (in two of three
rounds; in the others freed memory is really free, and arrays allocated after an interrupt stay unchanged), and the
process settings are restored. If no call finishes for --patience seconds, it is a hang.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Final

WHOLE: Final = 0.15
"""Fraction of bursts without interrupts."""


def main() -> None:
    """Run rounds for a number of minutes, and exit with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--round-minutes", type=float, default=1.5)
    parser.add_argument("--round", type=int, help="run only this round, in this process")
    parser.add_argument("--only", help="kinds of calls, comma-separated")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds without a finished call that count as a hang [60]"
    )
    parser.add_argument("--growth", type=float, default=60.0, help="maximum memory growth in MB/min [60]")
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    if options.round is not None:
        with tempfile.TemporaryDirectory(prefix="layerline-storm-") as scratch:
            os.environ["XDG_CACHE_HOME"] = scratch
            Round(options.round, Path(scratch), options.only).run(options.minutes * 60)
        return
    counts: Counter[str] = Counter()
    places: Counter[str] = Counter()
    faults: list[str] = []
    slopes: list[float] = []
    number, end = 0, time.monotonic() + options.minutes * 60
    while (left := end - time.monotonic()) > 5:
        seed = options.seed * 10_000 + number
        number += 1
        told, wrong = supervised(seed, min(options.round_minutes * 60, left), options)
        counted = told.get("counts", {})
        counts.update(counted)
        places.update(told.get("places", {}))
        slope = told.get("slope")
        if slope is not None:
            slopes.append(slope)
            if slope > options.growth:
                wrong.append(f"memory grows by {slope:.0f} MB/min")
        faults += [f"round {seed}: {fault}" for fault in wrong]
        print(f"round {seed}: {counted.get('bursts', '?')} bursts, {len(wrong)} faults, {slope} MB/min")
    result = {"seed": options.seed, "rounds": number, "counts": dict(sorted(counts.items())), "faults": faults}
    result |= {"interrupts_in": dict(places.most_common(60)), "megabytes_a_minute": slopes}
    print(json.dumps(result, indent=2, ensure_ascii=False))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    sys.exit(bool(faults))


def supervised(seed: int, seconds: float, options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Run a round in a separate process; return its final report and its faults, including crashes and hangs."""
    command = [sys.executable, __file__, "--round", str(seed), "--minutes", str(seconds / 60)]
    command += ["--only", options.only] if options.only else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    told: dict[str, Any] = {}
    faults: list[str] = []
    while True:
        try:
            line = lines.get(timeout=options.patience)
        except queue.Empty:
            faults.append(f"hang: nothing in {options.patience:.0f} s")
            process.send_signal(signal.SIGUSR1)  # the traceback of each thread, on stderr
            time.sleep(2)
            process.kill()
            break
        if line is None:
            break
        if line.startswith("FAULT "):
            print(f"round {seed}: {line}", end="", flush=True)
            faults.append(line.removeprefix("FAULT ").strip())
        elif line.startswith("{"):
            told = json.loads(line)
    code = process.wait()
    if code < 0 and not any(fault.startswith("hang") for fault in faults):
        faults.append(f"crash: {signal.Signals(-code).name}")
    elif code > 0:
        faults.append(f"exited with {code}")
    return told, faults


class Round:
    """A storm in this process."""

    def __init__(self, seed: int, scratch: Path, only: str | None) -> None:
        """Prepare: compute all answers, without interrupts."""
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        self._rng = Random(seed)  # noqa: S311
        import_module("matplotlib.pyplot")  # later imports would be interrupted
        from canaries import Canaries, Settings
        from interrupts import Sender, Signals, watch_starts
        from storm_calls import Calls

        self.counts: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        self._calls = Calls(scratch, self._in_child)
        for kind in self._calls.kinds:
            if kind != "fork":
                for _ in range(2):
                    self._calls.timed(kind, self._rng)
                print("prepared", kind, flush=True)
        self._canaries = Canaries() if self._rng.random() < 2 / 3 else None
        if self._canaries:
            self._calls.models = [type(m)(m.network, m.classes, m.scaling, m.weights) for m in self._calls.models]
        self._kinds = only.split(",") if only else list(self._calls.kinds)
        watch_starts()
        self._sender = Sender()
        self._signals = Signals(self._sender, self.counts, self.places)
        self._settings = Settings()
        self._memory: list[tuple[float, float]] = []
        self._files = 0
        self._known: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        """Run the bursts, and report to the supervisor on standard output."""
        from interrupts import switching

        start = time.monotonic()
        while time.monotonic() < start + seconds:
            with switching(self._rng.choice((0.005, 0.005, 1e-4, 1e-5))):
                self._burst()
            self._look()
            self.counts["bursts"] += 1
            self._memory.append((time.monotonic() - start, self._resident()))
            print(f"burst {self.counts['bursts']}", flush=True)
        told = {"counts": self.counts, "places": self.places, "slope": self._slope(), "memory": self._memory[-1][1]}
        print(json.dumps(told), flush=True)

    def _burst(self) -> None:
        """Make calls in several threads, including this one, and wait for all."""
        calm = self._rng.random() < WHOLE
        threads = [
            threading.Thread(target=self._work, args=(Random(self._rng.random()), calm), name=f"user-{k}")  # noqa: S311
            for k in range(self._rng.randrange(8))
        ]
        for thread in threads:
            thread.start()
        for _ in range(self._rng.randint(1, 4)):
            self._in_main(calm)
        for thread in threads:
            thread.join()
        self._reap()

    def _kind(self, rng: Random) -> str:
        kind = rng.choices(self._kinds, [self._calls.weights[kind] for kind in self._kinds])[0]
        self.counts[f"call: {kind}"] += 1
        return kind

    def _in_main(self, calm: bool) -> None:
        from interrupts import KINDS, RAISED

        rng, signals = self._rng, self._signals
        kind, how = self._kind(rng), "none" if calm else rng.choice(KINDS)
        handled = rng.randrange(len(self._calls.models))
        inner = Random(rng.random())  # noqa: S311

        def predict() -> None:
            try:
                self._calls.some(inner, n=handled)
                self.counts["predictions in a handler"] += 1
            except BaseException as error:
                self._fault(f"predict in a handler, in {signals.last}, during {kind}", error)

        name = f"{kind}, main thread, {how}"
        try:
            signals.arm(how, self._calls.seconds[kind], rng, predict)
            self._calls.timed(kind, rng)
            signals.disarm()
            self.counts["answered"] += 1
            if signals.raised > len(signals.unraisable):
                self._fault(f"{name}: returned, though an exception was raised in {signals.last}", None)
        except RAISED:
            signals.disarm()
            self.counts["interrupted"] += 1
        except BaseException as error:
            signals.disarm()
            self._fault(f"{name}, last interrupt in {signals.last or 'none'}", error)
        finally:
            signals.disarm()
        self._after(name)

    def _work(self, rng: Random, calm: bool) -> None:
        """Make calls in a user thread, which receives asynchronous exceptions."""
        from interrupts import Async, Victim, place

        victim = Victim()
        for _ in range(rng.randint(1, 4)):
            kind = self._kind(rng)
            how = "asynchronous" if not calm and rng.random() < 0.5 else "none"
            name = f"{kind}, another thread, {how}"
            if kind == "fork":
                how = "none"
            if how != "none":
                for _ in range(rng.choice((1, 1, 2))):
                    self._sender.later(rng.random() * 1.3 * self._calls.seconds[kind], victim.send)
            try:
                victim.open = how != "none"
                self._calls.timed(kind, rng)
                victim.close()
                self.counts["answered"] += 1
            except Async as error:
                victim.close()
                self.counts["interrupted"] += 1
                self.counts["interrupt: asynchronous"] += 1
                at = error.__traceback__
                while at is not None and at.tb_next is not None:
                    at = at.tb_next
                self.places[place(None if at is None else at.tb_frame)] += 1
            except BaseException as error:
                victim.close()
                # An asynchronous exception may hit a thread that its target is just starting, which then dies.
                if how != "none" and "ended before their work" in str(error):
                    self.counts["interrupted"] += 1
                else:
                    self._fault(name, error)
            self._after(name)

    def _after(self, name: str) -> None:
        """Check what can be checked while other threads are running."""
        from canaries import plain_arithmetic

        print("call", flush=True)
        for fault in () if self._canaries is None else self._canaries.faults():
            self._fault(f"{name}: {fault}", None)
        if not plain_arithmetic():
            self._fault(f"{name}: floating-point mode changed", None)

    def _look(self) -> None:
        """Check the state after a burst."""
        import numpy as np
        from canaries import locks_held, threads_left

        left = threads_left()
        if left:
            self._fault(f"threads left: {left}".replace("\n", " "), None)
        held = locks_held()
        if held:
            self._fault(f"locks never released: {held}", None)
        for fault in () if self._canaries is None else self._canaries.settle():
            self._fault(fault, None)
        if self._canaries is None:
            mine = [np.zeros(size, np.uint8) for size in (200_000, 40_000, 400_000, 50_000) * 8]
            time.sleep(0.02)
            if any(m.any() for m in mine):
                self._fault("user arrays were written to", None)
        for fault in self._settings.changed():
            self._fault(fault, None)
        for fault in self._signals.faults:
            self._fault(fault, None)
        self._signals.faults.clear()

    def _reap(self) -> None:
        """Wait for the children; dump the traceback of one that hangs."""
        end = time.monotonic() + 45
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self.counts["children"] += 1
                if code:
                    self._fault(f"a forked child exited with {code}", None)
            elif time.monotonic() > end:
                self._fault("a forked child hangs", None)
                self._kill_children()
            else:
                time.sleep(0.005)

    @staticmethod
    def _kill_children() -> None:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for task in Path("/proc/self/task").iterdir():
            children += (task / "children").read_text().split()
        for child in set(map(int, children)):
            os.kill(child, signal.SIGUSR1)
            time.sleep(1)
            os.kill(child, signal.SIGKILL)

    def _in_child(self) -> None:
        self._signals.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _fault(self, what: str, error: BaseException | None) -> None:
        if error is not None:
            what += f": {type(error).__name__}: {error}".replace("\n", " ")[:400]
        self._known[what.split(":")[0]] += 1
        print(f"FAULT {what}", flush=True)
        if error is not None and self._known[what.split(":")[0]] <= 3:
            traceback.print_exception(error)

    def _resident(self) -> float:
        from canaries import resident

        gc.collect()
        return resident()

    def _slope(self) -> float | None:
        """Return the memory growth in the second half, in MB/min."""
        half = self._memory[len(self._memory) // 2 :]
        if len(half) < 5 or self._canaries is not None:  # which keeps freed buffers
            return None
        fit = statistics.linear_regression([t / 60 for t, _ in half], [mb for _, mb in half])
        return round(fit.slope, 1)


if __name__ == "__main__":
    main()
