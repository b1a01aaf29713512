"""Each signal in each phase of a training: the exit, and whether the run then resumes to the same result.

    python benchmarks/signals.py

A process is paused for 0.3 s at the start of a phase (for a save, before the file is renamed); signals are sent then.
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
    """Test each pair, and write benchmarks/results/signals.json."""
    import held  # type: ignore[import-not-found]  # in tests/

    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_DFL
        )  # background jobs of a shell ignore some signals, and child processes inherit that
    wrong = {}
    for phase in held.PHASES:
        for sent in held.SIGNALS:
            found = tried(phase, sent)
            print(f"{phase:<8} {sent:<12} {found or 'ok'}", flush=True)
            if found:
                wrong[f"{phase}, {sent}"] = found
    what = "signals in the phases of a training: exit code, no traceback, --resume to the uninterrupted result"
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
