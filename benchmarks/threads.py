"""Threads: bit-identical results for any number of threads, the speedup of two over one, and the effect of a busy core.

    python benchmarks/threads.py six-layer --data mnist --data-dir DIR --batch-size 50

All numbers are medians of --rounds rounds; within a round the cases run alternately.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conditions import spread, write

import layerline
from layerline.engines import make
from layerline.engines.epoch import Epoch
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine

BUSY = "while True: pass"


def engine_for(data: Dataset, options: argparse.Namespace, threads: int) -> tuple[Engine, Recipe]:
    """Return a new engine and its recipe."""
    network = layerline.read(options.network, data)
    recipe = Recipe(batch_size=options.batch_size, momentum=0.9, learning_rate=0.01)
    return make("compiled", network, data.scaling, recipe, threads), recipe


def digest(data: Dataset, options: argparse.Namespace, threads: int) -> str:
    """Return the SHA-256 of the weights after an epoch."""
    engine, recipe = engine_for(data, options, threads)
    engine.train(Epoch(data.train.source, data.train.indices, recipe.learning_rates(len(data.train))), 0)
    return hashlib.sha256(b"".join(a.tobytes() for a in engine.state().weights.values())).hexdigest()


def rounds(data: Dataset, options: argparse.Namespace) -> dict[int, list[float]]:
    """Return µs/image of one and of two threads, measured alternately."""
    engines = {threads: engine_for(data, options, threads) for threads in (1, 2)}
    taken: dict[int, list[float]] = {1: [], 2: []}
    for number in range(options.rounds + 1):
        for threads, (engine, recipe) in engines.items():
            start = time.perf_counter()
            engine.train(Epoch(data.train.source, data.train.indices, recipe.learning_rates(len(data.train))), 0)
            if number:  # the first includes compilation
                taken[threads].append((time.perf_counter() - start) / len(data.train) * 1e6)
    return taken


def report(taken: dict[int, list[float]]) -> dict[str, Any]:
    """Return both medians and the ratio per round."""
    ratios = [one / two for one, two in zip(taken[1], taken[2], strict=True)]
    return {"one_thread": spread(taken[1]), "two_threads": spread(taken[2]), "one_over_two": spread(ratios)}


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--data", required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    data = layerline.load_data(options.data, data_dir=options.data_dir, validation="none")
    cases = [(threads, run) for threads in (1, 2, 3, 4) for run in (1, 2)]
    digests = {f"{threads} threads, run {run}": digest(data, options, threads) for threads, run in cases}
    for name, value in digests.items():
        print(f"{name}: {value}")
    free = report(rounds(data, options))
    busy_process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        busy = report(rounds(data, options))
    finally:
        busy_process.kill()
    for name, figures in (("free", free), ("one core busy", busy)):
        one, two, gain = (figures[key]["median"] for key in ("one_thread", "two_threads", "one_over_two"))
        print(f"{name}: one thread {one:.2f} µs/image, two {two:.2f}; median speedup {gain:.2f}")
    same = len(set(digests.values())) == 1
    print(f"bit-identical: {same}")
    result = {"what": f"{options.network} on {options.data}, batch {options.batch_size}", "same_bits": same}
    result |= {"sha256": digests, "free": free, "busy": busy}
    write(f"threads-{Path(options.network).stem}-{options.data}", result)


if __name__ == "__main__":
    main()
