"""Every signal in every phase of a training: how it ends, and whether what is left goes on to the whole run.

    python benchmarks/signals.py

A process is held for 0.3 s where a phase begins (or, of a save, before the file takes its name); the signals come then.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from conditions import write

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def main() -> None:
    """Try every pair, and write benchmarks/results/signals.json."""
    import held  # type: ignore[import-not-found]  # it lies with the tests

    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # a shell's background job ignores some, and so would what it starts
    wrong = {}
    for phase in held.PHASES:
        for sent in held.SIGNALS:
            found = tried(phase, sent)
            print(f"{phase:<8} {sent:<12} {found or 'as it should be'}", flush=True)
            if found:
                wrong[f"{phase}, {sent}"] = found
    what = "signals in the phases of a training: the exit code, no traceback, --resume to the whole run"
    tally = {"phases": list(held.PHASES), "signals": list(held.SIGNALS), "wrong": wrong}
    write("signals", {"what": what, **tally})
    sys.exit(bool(wrong))


def tried(phase: str, sent: str) -> str | None:
    """Return what went wrong, or None."""
    import held
    from command import with_data  # type: ignore[import-not-found]  # likewise

    with tempfile.TemporaryDirectory() as name:
        try:
            held.check(with_data(Path(name)), phase, sent)
        except AssertionError as error:
            return str(error) or "an assertion failed"
    return None


if __name__ == "__main__":
    main()
