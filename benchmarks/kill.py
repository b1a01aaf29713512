"""SIGKILL at random times during training and saving: does each run resume, without loss, to bit-identical results?

    [TMPDIR=DIR] python benchmarks/kill.py --kills 1200 --seed 1

Each run is trained once without interruption, then again in a separate folder, where its process is killed and the run
resumed until it finishes. After each kill, all files in `checkpoints/` are read: their digests must match, and the
newest one and history.jsonl must agree on the epochs in both. An epoch that was in history.jsonl must be the same when
recomputed. To hit many points within steps and saves, epochs are short, no graphs are drawn, the writer polls every
5 ms, and two of three processes skip the pause between saves. Each process is a fork of this one, with everything
imported and compiled, so that its first step starts immediately.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from conditions import file_system, write

import layerline
from layerline import engines
from layerline.runs.checkpoint import Checkpoints, checkpoints, writer
from layerline.system import workers
from layerline.training import loop, session
from layerline.training.rerunning import TIMES

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

NETWORKS: Final = (
    "Conv 16 3 1 1\nReLU\nDropout 0.2\nFlat\nFC classes\n",
    "Conv 6 3 1 1\nBatchNorm\nReLU\nMaxPool 2\nConv 8 3 1 1\nReLU\nFlat\nFC classes\n",
    "Conv 4 1\nReLU\nFlat\nFC 64\nReLU\nDropout 0.5\nFC classes\n",
)
RECIPES: Final[tuple[dict[str, Any], ...]] = (
    {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.02, "augment": "shift=1"},
    {"optimizer": "adamw", "learning_rate": 0.002, "ema": 0.9},
    {"optimizer": "muon", "learning_rate": 0.01, "label_smoothing": 0.1},
)
LONGEST: Final = 0.15
"""Seconds after the first step within which a process is killed."""
STARTING: Final = 0.05
"""Fraction of processes that are killed before their first step."""
TRAINING, SAVING = 0, 1
"""Bytes of the shared memory in which a process reports its activity."""


def main() -> None:
    """Kill, resume and compare until there are enough kills, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    session._Training._illustrate = lambda *_: []  # type: ignore[method-assign]
    workers.TICK = 0.005  # type: ignore[misc]
    counts: Counter[str] = Counter()
    begin, data = time.perf_counter(), layerline.load_data("digits", limit=1200)
    with tempfile.TemporaryDirectory(prefix="layerline-kill-") as scratch:
        while counts["kills"] < options.kills:
            number = counts["runs"]
            run = _Run(Path(scratch) / str(number), data, number, Random(options.seed * 10_000 + number), counts)  # noqa: S311
            run.through()
            counts["runs"] += 1
            shutil.rmtree(run.out.parent)
            print(f"{counts['runs']} runs, {counts['kills']} kills: all resumed to bit-identical results", flush=True)
    result = {
        "what": "SIGKILL at random times: each run resumed to results identical to the uninterrupted one, nothing lost",
        "file_system": file_system(),
        "seed": options.seed,
        **counts,
        "epochs_lost": 0,
        "corrupt_files": 0,
        "runs_that_differ": 0,
        "seconds": time.perf_counter() - begin,
    }
    print(json.dumps(result, indent=2))
    write(f"kill-{file_system()}", result)


class _Run:
    """One training without interruption, and the same killed repeatedly. Any difference aborts the benchmark."""

    def __init__(self, scratch: Path, data: Any, number: int, rng: Random, counts: Counter[str]) -> None:
        from interrupted import Training  # type: ignore[import-not-found]  # in tests/

        network = layerline.parse(NETWORKS[number % len(NETWORKS)], data)
        options = RECIPES[number // len(NETWORKS) % len(RECIPES)]
        recipe = layerline.Recipe(epochs=25, batch_size=rng.choice([1, 2]), seed=number, **options)
        self.case = Training(network, data, recipe)
        self.whole, self.out = scratch / "whole", scratch / "killed"
        self._engine = engines.make("compiled", network, data.scaling, recipe, 1)
        self._engine.prepare(data.train.source)
        self._engine.evaluate(data.test)
        self._rng, self._counts = rng, counts
        self._doing = mmap.mmap(-1, 2)
        self._told: dict[int, dict[str, Any]] = {}
        scratch.mkdir()

    def through(self) -> None:
        """Train without interruption, then with kills and resumes to the end, and compare."""
        from interrupted import traces, trained

        if self._end_of(self._start(lambda: trained(self.case, self.whole), rest=writer.REST)) != 0:
            raise SystemExit("the uninterrupted run failed")
        while not self._attempt():
            self._look()
        found, expected = traces(self.out), traces(self.whole)
        differing = [key for key in expected if found[key] != expected[key]]
        if differing:
            raise SystemExit(
                f"{self.out}: {', '.join(differing)} differ from the uninterrupted run: {self.case.recipe}"
            )
        left = list(self.out.rglob("*.part"))
        if left:
            raise SystemExit(f"partial files left: {left}")

    def _attempt(self) -> bool:
        """Start or resume the run in a process and kill it at a random time; return whether it had finished."""
        process = self._start(self._go, rest=self._rng.choice([0.0, 0.0, float(writer.REST)]))
        wait = self._rng.uniform(0, LONGEST)
        if self._rng.random() < STARTING:
            time.sleep(wait)
        else:
            while (
                not self._doing[TRAINING] and os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            ):
                time.sleep(0.001)
            time.sleep(wait)
        os.kill(process, signal.SIGKILL)
        code = self._end_of(process)
        if code == 0:
            return True
        if code != -signal.SIGKILL:
            raise SystemExit(f"{self.out}: a process exited with {code}")
        self._counts["kills"] += 1
        doing = "a save" if self._doing[SAVING] else "training" if self._doing[TRAINING] else "the start"
        self._counts[f"kills_in_{doing.replace(' ', '_')}"] += 1
        return False

    def _go(self) -> None:
        import interrupted
        from interrupted import gone_on, trained

        engines.make = interrupted.make = lambda *_, **__: self._engine
        if not (self.out / "network.cnn").exists():  # killed before the run started: the user starts it again
            shutil.rmtree(self.out, ignore_errors=True)
            trained(self.case, self.out, every=0.01)
        else:
            gone_on(self.case, self.out, every=0.01)

    def _look(self) -> None:
        """Check the files after a kill: checkpoints are intact, and no recorded epoch changes."""
        kept = Checkpoints(self.out / "checkpoints")
        parts = list(self.out.rglob("*.part"))
        self._counts["kills_that_left_a_temporary_file"] += bool(parts)
        found = [checkpoints._read(path, position) for position, path in kept._listed()]  # raises if corrupt
        snapshots = [each.snapshot for each in found]
        self._counts["checkpoints_read"] += len(snapshots)
        if list(kept.folder.glob("*.damaged")):
            raise SystemExit(f"{kept.folder}: a checkpoint was marked as damaged")
        history = self.out / "history.jsonl"
        text = history.read_text() if history.exists() else ""
        if text and not text.endswith("\n"):
            raise SystemExit(f"{history}: its last line is incomplete")
        rows = [json.loads(line) for line in text.splitlines()]
        held = [dataclasses.asdict(row) for row in snapshots[0].history] if snapshots else []
        both = min(len(rows), len(held))
        self._counts["rows_seen_and_kept"] += both
        self._counts["rows_seen_and_computed_again"] += len(rows) - both
        if rows[:both] != held[:both]:
            raise SystemExit(f"{history}: differs from the newest checkpoint")
        for row in rows:
            figures = {key: value for key, value in row.items() if key not in TIMES}
            if self._told.setdefault(row["epoch"], figures) != figures:
                raise SystemExit(f"{history}: epoch {row['epoch']} differs from its earlier record")

    def _start(self, work: Callable[[], object], rest: float) -> int:
        """Start a process that does `work` and reports its activity in the shared memory; return its ID."""
        self._doing[:] = b"\0\0"
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            writer.REST = rest  # type: ignore[misc,assignment]
            self._mark()
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _mark(self) -> None:
        """Make this process report when it runs steps and when it saves."""
        run_steps, save, doing = loop.Loop._run_steps, Checkpoints.save, self._doing

        def steps(*arguments: Any) -> None:
            doing[TRAINING] = 1
            run_steps(*arguments)

        def saves(*arguments: Any) -> Path:
            doing[SAVING] = 1
            try:
                return save(*arguments)
            finally:
                doing[SAVING] = 0

        loop.Loop._run_steps, Checkpoints.save = steps, saves  # type: ignore[method-assign,assignment]

    @staticmethod
    def _end_of(process: int) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _ended(process: int) -> bool:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


if __name__ == "__main__":
    main()
