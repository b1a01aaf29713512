"""Fuzzing with thousands of mutated files: does a parser raise anything but a user error, hang, or use much memory?

    python benchmarks/fuzz.py network --seconds 300 --seed 1
    python benchmarks/fuzz.py all --seconds 60
    python benchmarks/fuzz.py npz --seed 1 --case 4711        repeat one case, with its traceback

A child process mutates valid samples and parses them, one case at a time, under an address space limit. A case fails if
it raises an exception that is not a UserError, takes more than 5 s, grows the process by more than 500 MB, or kills the
process. A case is determined by the seed and its number. Exits with 1 if any case failed. Linux.
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

import fuzz_inputs
import fuzz_onnx
import fuzz_sets
import fuzz_weights

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

INPUTS: Final = {**fuzz_inputs.INPUTS, **fuzz_sets.INPUTS, **fuzz_weights.INPUTS, **fuzz_onnx.INPUTS}
LONGEST: Final = 5.0
"""Seconds."""
LARGEST: Final = 500 * 10**6
"""Bytes by which a case may grow the process."""
ADDRESSES: Final = 3 * 10**9
"""Bytes on top of those that the process has at the start."""
_SHOWN: Final = 10
"""Kinds of failures that are printed in full."""


@dataclass
class Outcome:
    """The outcomes of the cases so far."""

    cases: int = 0
    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    wrong: dict[str, list[int]] = field(default_factory=dict)
    """Failure → its cases."""

    def add(self, case: int, what: str) -> None:
        """Record a failed case; the first of its kind is printed."""
        self.wrong.setdefault(what, []).append(case)
        if len(self.wrong[what]) == 1 and len(self.wrong) <= _SHOWN:
            print(f"case {case}: {what}", flush=True)


def main() -> int:
    """Run the cases of one parser, or of each, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", choices=(*INPUTS, "all"))
    parser.add_argument("--seconds", type=float, default=60, help="seconds per parser [60]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run only this case, in this process")
    options = parser.parse_args()
    if options.case is not None:
        return _again(options.input, options.seed, options.case)
    failed = False
    for name in INPUTS if options.input == "all" else [options.input]:
        found = fuzz(name, options.seconds, options.seed)
        wrong = sum(map(len, found.wrong.values()))
        print(
            f"{name}: {found.cases:,d} cases, {found.read:,d} read, {found.refused:,d} refused, {wrong:,d} failed, of "
            f"{len(found.wrong)} kinds; slowest {found.slowest:.2f} s",
            flush=True,
        )
        failed |= bool(wrong) or not found.cases
    return int(failed)


def fuzz(name: str, seconds: float, seed: int) -> Outcome:
    """Run cases from 0 for a number of seconds, in a child that is replaced when it dies or hangs."""
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
            outcome.add(outcome.cases, f"killed the process: exit code {child.exitcode}")
            outcome.cases += 1
    return outcome


def _watch(told: Connection, outcome: Outcome, end: float) -> None:
    """Count the child's reports, until it exits, hangs, or the time is up."""
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
    """Run cases until the parent kills this process."""
    with tempfile.TemporaryDirectory() as place, contextlib.suppress(BrokenPipeError):
        folder = Path(place)
        subject = INPUTS[name]()
        subject.prepare(folder)
        _limit_addresses()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff prints a lot about damaged files
        told.send(("begun", None))
        case = first
        while True:
            told.send(_outcome(lambda case=case: subject.read(_random(seed, name, case), folder), subject.refusals))
            case += 1


def _outcome(read: Any, refusals: tuple[type[Exception], ...]) -> tuple[str, Any]:
    """Return `read` or `refused` with the seconds, or `wrong` with the failure."""
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
    """Return an exception as its type and the innermost frames of its traceback."""
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
    return Random(f"{seed} {name} {case}")  # noqa: S311 - for test files, not secrets


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
