"""Changed files by the thousand: does anything but a user's error come out of a parser, does it hang, take memory?

    python benchmarks/fuzz.py network --seconds 300 --seed 1
    python benchmarks/fuzz.py all --seconds 60
    python benchmarks/fuzz.py npz --seed 1 --case 4711        one case again, its traceback shown

A child process changes valid samples and has them read, one case after the other, under a limit on its addresses. A
case is wrong where an exception comes out that is no UserError, where it takes more than 5 s or lets the process grow
by more than 500 MB, or where it ends the process. The seed and the number of a case decide all of it. Exit 1 where any
case was wrong. Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from fuzz_inputs import INPUTS

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LONGEST: Final = 5.0
"""Seconds."""
LARGEST: Final = 500 * 10**6
"""Bytes by which a case may let the process grow."""
ADDRESSES: Final = 3 * 10**9
"""Bytes beside those that the process has when it begins."""
_SHOWN: Final = 10
"""Kinds of wrong cases that are shown whole."""


@dataclass
class Outcome:
    """What came out of the cases so far."""

    cases: int = 0
    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    wrong: dict[str, list[int]] = field(default_factory=dict)
    """What went wrong → the cases."""

    def add(self, case: int, what: str) -> None:
        """Keep a wrong case; the first of its kind is shown."""
        self.wrong.setdefault(what, []).append(case)
        if len(self.wrong[what]) == 1 and len(self.wrong) <= _SHOWN:
            print(f"case {case}: {what}", flush=True)


def main() -> int:
    """Run a parser's cases, or those of each; print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", choices=(*INPUTS, "all"))
    parser.add_argument("--seconds", type=float, default=60, help="of each parser [60]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="only this one, in this process")
    options = parser.parse_args()
    if options.case is not None:
        return _again(options.input, options.seed, options.case)
    failed = False
    for name in INPUTS if options.input == "all" else [options.input]:
        found = fuzz(name, options.seconds, options.seed)
        wrong = sum(map(len, found.wrong.values()))
        print(
            f"{name}: {found.cases:,d} cases, {found.read:,d} read, {found.refused:,d} refused, {wrong:,d} wrong of "
            f"{len(found.wrong)} kinds; the slowest took {found.slowest:.2f} s",
            flush=True,
        )
        failed |= bool(wrong) or not found.cases
    return int(failed)


def fuzz(name: str, seconds: float, seed: int) -> Outcome:
    """Run cases from 0 on for so many seconds, in a child that is replaced when it ends or hangs."""
    outcome, end = Outcome(), time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")
    while time.monotonic() < end:
        ours, theirs = context.Pipe()
        child = context.Process(target=_work, args=(name, seed, outcome.cases, theirs), daemon=True)
        child.start()
        theirs.close()
        _watch(ours, outcome, end)
        if child.is_alive():
            child.kill()
        child.join()
        if child.exitcode != -9 and time.monotonic() < end:
            outcome.add(outcome.cases, f"ended the process: exit {child.exitcode}")
            outcome.cases += 1
    return outcome


def _watch(told: Connection, outcome: Outcome, end: float) -> None:
    """Count what the child tells, until it ends, hangs, or the time is over."""
    ready = False
    while time.monotonic() < end:
        if not told.poll(LONGEST if ready else 120):
            outcome.add(outcome.cases, f"took more than {LONGEST:g} s")
            outcome.cases += 1
            return
        try:
            said: tuple[str, Any] = told.recv()
        except EOFError:
            return
        kind, value = said
        ready = True
        if kind == "begun":
            continue
        if kind == "wrong":
            outcome.add(outcome.cases, value)
        else:
            outcome.read += kind == "read"
            outcome.refused += kind == "refused"
            outcome.slowest = max(outcome.slowest, value)
        outcome.cases += 1


def _work(name: str, seed: int, first: int, told: Connection) -> None:
    """Run cases until the parent ends this process."""
    with tempfile.TemporaryDirectory() as place, contextlib.suppress(BrokenPipeError):
        folder = Path(place)
        subject = INPUTS[name]()
        subject.prepare(folder)
        _limit_addresses()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff says much of damaged files
        told.send(("begun", None))
        case = first
        while True:
            told.send(_outcome(lambda case=case: subject.read(_random(seed, name, case), folder), subject.refusals))
            case += 1


def _outcome(read: Any, refusals: tuple[type[Exception], ...]) -> tuple[str, Any]:
    """Return `read` or `refused` with its seconds, or `wrong` with what happened."""
    start, before = time.monotonic(), _peak()
    try:
        read()
        kind = "read"
    except refusals as error:
        str(error).encode("utf-8", "surrogatepass")
        kind = "refused"
    except Exception as error:
        return "wrong", _where(error)
    grown = _peak() - before
    if grown > LARGEST:
        return "wrong", f"grew by {grown // 10**8 / 10:.1f} GB"
    return kind, time.monotonic() - start


def _where(error: Exception) -> str:
    """Return an exception by its type and the places that it came through last."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    text = "".join(letter for letter in str(error) if not letter.isdigit())[:100]
    return f"{type(error).__name__}: {text!r} at {places}"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _limit_addresses() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _random(seed: int, name: str, case: int) -> Random:
    return Random(f"{seed} {name} {case}")  # noqa: S311 - it makes files, not secrets


def _again(name: str, seed: int, case: int) -> int:
    with tempfile.TemporaryDirectory() as place:
        subject = INPUTS[name]()
        subject.prepare(Path(place))
        try:
            subject.read(_random(seed, name, case), Path(place))
        except subject.refusals as error:
            print(f"refused: {error}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
