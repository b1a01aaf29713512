"""Startup time and memory: the wait before the first step, and the peak memory of a run.

    python benchmarks/startup.py --data mnist --data-dir DIR

Whole processes, median of --runs: `layerline --help`; a run of two epochs on all images, with its peak memory as
reported by the system, without the cache of machine code. In this process: the time to generate and compile the code of
each preset, for training and for prediction, and the time if it is on disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conditions import spread, write

from layerline.compiler.code_cache import VARIABLE
from layerline.compiler.compilation import compile_network, compiled_alone, plan
from layerline.compiler.kernels.optimizers import Sgd
from layerline.compiler.machine import host
from layerline.compiler.task import Task
from layerline.network import presets, read


def whole_process(command: list[str]) -> tuple[float, float]:
    """Return the time of a command in seconds, and its peak memory in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} exited with {status}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def compile_seconds(runs: int, cache: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return the compile times of each preset for MNIST (digits for its own data), with momentum, batch size 64.

    Without the cache on disk, and "from disk" with it.
    """
    seconds: dict[str, dict[str, dict[str, float]]] = {}
    for preset in presets():
        shape = (1, 8, 8) if preset.startswith("digits") else (1, 28, 28)
        network = read(preset, input_shape=shape, classes=10)
        for training in (True, False):
            task = Task(64 if training else 1, Sgd(decay=False), training=training)
            for folder, name in (("no", ""), (cache, " from disk")):
                os.environ[VARIABLE] = folder
                taken = []
                for _ in range(runs + 1):
                    compiled_alone.cache_clear()
                    plan.cache_clear()
                    start = time.perf_counter()
                    compile_network(network, host(), task)
                    taken.append(time.perf_counter() - start)
                part = ("training" if training else "prediction") + name
                seconds.setdefault(preset, {})[part] = spread(taken[1:])  # the first one filled the cache
    return seconds


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    os.environ[VARIABLE] = "no"
    layerline = [str(Path(sys.executable).with_name("layerline"))]
    helps = [whole_process([*layerline, "--help"])[0] for _ in range(options.runs + 1)][1:]
    print(f"--help: {spread(helps)['median']:.3f} s")
    folder = tempfile.mkdtemp()
    train = [*layerline, "train", "six-layer", "--data", options.data, "--epochs", "2", "--quiet"]
    train += ["--data-dir", options.data_dir] if options.data_dir else []
    runs = [whole_process([*train, "--out", f"{folder}/{number}"]) for number in range(3)]
    seconds, peaks = zip(*runs, strict=True)
    print(f"train, 2 epochs: {spread(list(seconds))['median']:.2f} s, {max(peaks) / 1e6:.0f} MB peak")
    compiling = compile_seconds(options.runs, f"{folder}/code")
    shutil.rmtree(folder)
    for preset, parts in compiling.items():
        print(f"compile {preset}: " + ", ".join(f"{part} {times['median']:.2f} s" for part, times in parts.items()))
    result = {
        "what": f"whole processes; training six-layer on {options.data}, 2 epochs, default recipe",
        "help_seconds": spread(helps),
        "train_seconds": spread(list(seconds)),
        "train_peak_bytes": spread(list(peaks)),
        "compile_seconds": compiling,
    }
    write("startup", result)


if __name__ == "__main__":
    main()
