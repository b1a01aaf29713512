"""A row of docs/records.md: an experiment trained with consecutive seeds, and its whole command timed.

    python benchmarks/records.py examples/experiments/mnist-99.toml --data-dir DIR --seeds 30

Of each seed: the test accuracy, the wall seconds of its epochs, and its core-seconds, which are the CPU time of all
threads from an engine without memory to the end of the last epoch, validation included. Then `layerline train` as a
process, --runs times, with all its files; machine code is on disk by then.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conditions import RESULTS, spread, steal, write

from layerline.experiment.experiment import settle
from layerline.measure.student import mean_of
from layerline.training import Interrupt, Watcher
from layerline.training.prepared import prepare_experiment
from layerline.training.seeds import series

if TYPE_CHECKING:
    from layerline.runs.history import EpochRow
    from layerline.runs.metrics import Scores
    from layerline.training import Run

DATA: Final = ("data", "data_dir")
"""Options that say where the data is."""
SLOW: Final = 60.0
"""Seconds of an epoch from which on its end is worth a line on the screen."""


@dataclass
class Times(Watcher):
    """The seconds of one training: of its epochs, and the CPU time until the last of them ends."""

    began: float = field(default_factory=time.process_time)
    cores: float = 0.0
    epochs: list[float] = field(default_factory=list)

    def epoch(self, row: EpochRow, train: Scores, validation: Scores | None) -> bool:
        """Add an epoch."""
        del validation
        self.cores = time.process_time() - self.began
        self.epochs.append(row.seconds)
        if row.seconds >= SLOW:
            print(f"epoch {row.epoch}: {row.seconds:.0f} s, training accuracy {train.accuracy:.4f}", flush=True)
        return False


def main() -> None:
    """Train with every seed, time the command, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5, help="whole commands")
    options = parser.parse_args()
    where = {key: value for key in DATA if (value := getattr(options, key)) is not None}
    name = f"record-{options.experiment.stem}"
    there = (
        json.loads(path.read_text(encoding="utf-8")) if (path := RESULTS / f"{name}.json").exists() else {"seeds": 0}
    )
    if options.seeds < max(1, there["seeds"]):
        parser.error(f"--seeds {options.seeds}: {path.name} has {there['seeds']}, and would be replaced")
    stolen = steal()
    seeds = trained(options.experiment, where, options.seeds)
    stolen = steal() - stolen
    row = {"experiment": options.experiment.name, **seeds, "steal_s": stolen}
    if options.runs:
        row["whole_command"] = commands(options.experiment, where, options.runs)
    print(row)
    write(name, row)


def trained(path: Path, where: dict[str, str], count: int) -> dict[str, Any]:
    """Return the scores and times of all seeds."""
    experiment = settle(str(path), where)
    data = experiment.load()
    prepared = prepare_experiment(experiment, experiment.network(data), data)
    prepared.engine.prepare(data.train.source)
    times: dict[int, Times] = {}

    def watch(seed: int) -> tuple[Watcher, Interrupt]:
        times[seed] = Times()
        return times[seed], Interrupt()

    def ended(seed: int, run: Run | None) -> None:
        assert run is not None  # noqa: S101 - a record that diverges is none
        print(f"seed {seed}: {run.result.test_accuracy:.4f}, {sum(times[seed].epochs):.2f} s", flush=True)

    found = series(prepared, count, None).run(watch, ended, Interrupt())
    accuracy = mean_of(found.values("test_accuracy"))
    return {
        "seeds": count,
        "parameters": prepared.network.parameter_count,
        "test_accuracy": {
            "values": list(accuracy.values),
            "mean": accuracy.mean,
            "low": accuracy.low,
            "high": accuracy.high,
        },
        "training_s": spread([sum(each.epochs) for each in times.values()]),
        "core_seconds": spread([each.cores for each in times.values()]),
    }


def commands(path: Path, where: dict[str, str], runs: int) -> dict[str, Any]:
    """Return the wall and CPU seconds of `layerline train` with this experiment."""
    flags = [part for key, value in where.items() for part in (f"--{key.replace('_', '-')}", value)]
    wall, cores = [], []
    for k in range(runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "layerline", "train", str(path), *flags, "--out", f"{folder}/run"]
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise RuntimeError(f"{command} exited with {status}")
        if k:  # the first one fills the caches
            wall.append(time.perf_counter() - start)
            cores.append(usage.ru_utime + usage.ru_stime)
    return {"wall_s": spread(wall), "cpu_s": spread(cores)}


if __name__ == "__main__":
    main()
