"""Where the time of one training command goes: wall and CPU seconds of its stages.

    python benchmarks/stages.py lenet5 --data mnist --data-dir DIR --epochs 1
    python benchmarks/stages.py examples/experiments/mnist-99.toml --data-dir DIR

Whole processes of `layerline train`, --runs of them; of each stage and of the process the smallest values. Stages are
functions that are timed where they are called; CPU time is that of all threads of the command while one runs, so that
stages which run at the same time count twice. "other" is what is in no stage. The child that draws is in the process's
CPU time only.
"""

from __future__ import annotations

import argparse
import builtins
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STAGES: Final = {
    "data": ("layerline.experiment.experiment", "Experiment.load"),
    "compiling": ("layerline.compiler.compilation", "compiled_alone"),
    "rate search": ("layerline.training.automatic.learning_rate", "choose"),
    "preprocessing": ("layerline.training.prepared", "preprocessing_of"),
    "epochs": ("layerline.training.loop", "Loop._run_epoch"),
    "test": ("layerline.training.session", "_Training._evaluate"),
    "thumbnails": ("layerline.measure.baselines", "_predict_by_regression"),
    "nearest image": ("layerline.measure.baselines", "_predict_by_nearest"),
    "intervals": ("layerline.measure.intervals", "intervals"),
    "graphs": ("layerline.training.session", "_Training._draw"),
    "report.html": ("layerline.training.session", "_Training._report"),
}
"""Stage → the function that it is, by module and name. Parts of a stage that are stages are not counted in it."""
IMPORTS: Final = "imports"


class Times:
    """Wall and CPU seconds by stage, each without the stages inside it; one thread of the command waits for another."""

    def __init__(self) -> None:
        """Begin."""
        self.seconds: dict[str, list[float]] = {}
        self._inner: list[list[float]] = [[0.0, 0.0]]
        self._timed: set[str] = set()
        self._import = builtins.__import__
        self._importing: set[int] = set()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed as a stage."""

        @functools.wraps(function)
        def inside(*arguments: Any, **named: Any) -> Any:
            began = (time.perf_counter(), time.process_time())
            self._inner.append([0.0, 0.0])
            try:
                return function(*arguments, **named)
            finally:
                inner = self._inner.pop()
                for k, now in enumerate((time.perf_counter(), time.process_time())):
                    self._inner[-1][k] += now - began[k]
                    self.seconds.setdefault(stage, [0.0, 0.0])[k] += now - began[k] - inner[k]

        return inside

    def importing(self, name: str, *rest: Any, **named: Any) -> Any:
        """Import like Python; time the outermost imports of new modules, and then the stages in them."""
        thread = threading.get_ident()
        if thread in self._importing:
            return self._import(name, *rest, **named)
        self._importing.add(thread)
        known = len(sys.modules)
        try:
            began = (time.perf_counter(), time.process_time())
            found = self._import(name, *rest, **named)
            if len(sys.modules) > known:
                for k, now in enumerate((time.perf_counter(), time.process_time())):
                    self._inner[-1][k] += now - began[k]
                    self.seconds.setdefault(IMPORTS, [0.0, 0.0])[k] += now - began[k]
                self._time_stages()
            return found
        finally:
            self._importing.discard(thread)

    def _time_stages(self) -> None:
        for stage, (module, names) in STAGES.items():
            owner: Any = sys.modules.get(module)
            *path, name = names.split(".")
            for part in path:
                owner = getattr(owner, part, None)
            if stage not in self._timed and name in vars(owner or self):
                self._timed.add(stage)
                setattr(owner, name, self.timed(stage, getattr(owner, name)))


def trained(command: Sequence[str]) -> None:
    """Train in this process, and print the times as JSON on stderr."""
    times, began = Times(), (time.perf_counter(), time.process_time())
    builtins.__import__ = times.importing
    from layerline.cli import main

    code = main(["train", *command])
    whole = [now - begin for now, begin in zip((time.perf_counter(), time.process_time()), began, strict=True)]
    other = [whole[k] - sum(pair[k] for pair in times.seconds.values()) for k in range(2)]
    print(json.dumps({**times.seconds, "other": other}), file=sys.stderr)
    sys.exit(code)


def run(command: Sequence[str]) -> dict[str, list[float]]:
    """Return the times of a process that trains."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, __file__, "--inside", *command, "--out", f"{folder}/run", "--quiet"]
        start = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        with process.stderr:
            text = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(text)
    found: dict[str, list[float]] = json.loads(text)
    return {**found, "whole process": [seconds, usage.ru_utime + usage.ru_stime]}


def main() -> None:
    """Measure, print a table, and write the result if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options, command = parser.parse_known_args()
    runs = [run(command) for _ in range(options.runs)]
    stages = [*dict.fromkeys(stage for one in runs for stage in one)]
    least = {stage: [min(one.get(stage, [0.0, 0.0])[k] for one in runs) for k in range(2)] for stage in stages}
    for stage, (wall, cpu) in least.items():
        print(f"{stage:14} {wall:6.2f} s {cpu:6.2f} s CPU")
    if options.write:
        from conditions import write

        write(f"stages-{Path(command[0]).stem}", {"command": command, "runs": options.runs, "seconds": least})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        trained(sys.argv[2:])
    main()
