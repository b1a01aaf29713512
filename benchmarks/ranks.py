"""How the compiled engine scales over machines: measured step times, counted bytes, calculated times.

    python benchmarks/ranks.py [--rounds 5] [--write]

Measured: the time of a step, of one process with all threads, for each network at several batches; and, on this
machine, two ranks of one thread beside one process of two. Counted: the bytes that a step exchanges, and its exchanges
(docs/several-machines.md). Calculated, for R machines, each with B / R of a batch of B images:

    t(R) = t₁(B / R) + E · 2 (R − 1) · latency + 2 (R − 1) / R · bytes / bandwidth

which is a ring that adds up: every machine sends each byte 2 (R − 1) / R times, in 2 (R − 1) messages per exchange.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import statistics
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from conditions import write

from layerline.compiler.compilation import plan
from layerline.compiler.kernels.exchange import Exchange
from layerline.compiler.machine import host
from layerline.compiler.task import task_of
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines import make, ranks_of_environment
from layerline.engines.epoch import plan_epoch
from layerline.network.source import read
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.network import Network

NETWORKS = {
    "six-layer": (1, 28, 28), "lenet5": (1, 28, 28), "keras-mnist": (1, 28, 28),
    "vgg-small": (3, 32, 32), "mobile-small": (3, 32, 32), "resnet20": (3, 32, 32),
}  # fmt: skip
BATCHES = (16, 32, 64, 128, 256, 512, 1024, 2048)
MACHINES = (2, 4, 8)
BANDWIDTHS = {"1 Gbit/s": 0.94e9 / 8, "10 Gbit/s": 9.4e9 / 8}
"""Bytes per second that TCP carries."""
LATENCY = 60e-6
"""Seconds for a message between two machines, with gloo's share: assumed, not measured."""


def network_of(name: str) -> Network:
    """Return a preset for ten classes."""
    return read(name, input_shape=NETWORKS[name], classes=10)


def traffic(name: str) -> tuple[int, int]:
    """Return the bytes that a step exchanges, and in how many exchanges."""
    task = replace(task_of(Recipe(batch_size=64)), exchanges=True)
    kernels = [op.kernel for op in plan(network_of(name), host(), task).program.ops if isinstance(op.kernel, Exchange)]
    return sum(n * dtype.bytes for kernel in kernels for n, dtype in kernel.parts), len(kernels)


def split_of(name: str, images: int) -> Split:
    """Return random images: what they show does not change the time of a step."""
    numbers = np.random.default_rng(0)
    pixels = numbers.integers(0, 256, (images, *NETWORKS[name]), dtype=np.uint8)
    return Split(ImageSet(pixels, numbers.integers(0, 10, images).astype(np.int32)), np.arange(images))


def step_seconds(name: str, batch: int, threads: int | None, rounds: int) -> float:
    """Return the median time of a step, in this process, or in its ranks."""
    ranks = ranks_of_environment()
    recipe = Recipe(batch_size=batch, learning_rate=0.001)
    steps = max(4, 2048 // batch)
    split = split_of(name, batch * steps)
    C = NETWORKS[name][0]
    engine = make("compiled", network_of(name), Scaling((1 / 255,) * C, (0.0,) * C), recipe, threads, ranks=ranks)
    taken = []
    for number in range(rounds + 1):
        epoch = plan_epoch(recipe, split, number + 1, 10)
        start = time.perf_counter()
        engine.train(epoch, 0)
        if number:  # the first includes compilation
            taken.append((time.perf_counter() - start) / steps)
    ranks.leave()
    return statistics.median(taken)


def calculated(times: dict[int, float], batch: int, machines: int, traffic: tuple[int, int], bandwidth: float) -> float:
    """Return the seconds of a step of several machines."""
    moved, exchanges = traffic
    share = times[batch // machines]
    return share + exchanges * 2 * (machines - 1) * LATENCY + 2 * (machines - 1) / machines * moved / bandwidth


def from_which(times: dict[int, float], machines: int, traffic: tuple[int, int], bandwidth: float) -> int | None:
    """Return the smallest measured batch from which several machines take at most 2 / 3 of one's time."""
    for batch in BATCHES:
        known = batch // machines in times and batch in times
        if known and calculated(times, batch, machines, traffic, bandwidth) <= times[batch] * 2 / 3:
            return batch
    return None


def one_rank(rank: int, port: int, name: str, batch: int, rounds: int, results: Any) -> None:
    """Measure as one of two ranks with one thread each."""
    where = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(where)
    results.put((rank, step_seconds(name, batch, 1, rounds)))


def two_ranks(name: str, batch: int, rounds: int) -> float:
    """Return the time of a step of two processes with one thread each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    both = [context.Process(target=one_rank, args=(r, port, name, batch, rounds, results)) for r in range(2)]
    for process in both:
        process.start()
    found = max(results.get()[1] for _ in both)
    for process in both:
        process.join()
    return found


def main() -> None:
    """Measure, calculate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--write", action="store_true", help="write the result to benchmarks/results")
    options = parser.parse_args()
    result: dict[str, Any] = {"latency": LATENCY, "networks": {}}
    for name in options.networks.split(","):
        moved, exchanges = traffic(name)
        batches = [b for b in BATCHES if not (name in ("resnet20", "vgg-small", "mobile-small") and b > 1024)]
        times = {batch: step_seconds(name, batch, None, options.rounds) for batch in batches}
        found: dict[str, Any] = {
            "bytes": moved,
            "exchanges": exchanges,
            "milliseconds": {b: 1e3 * t for b, t in times.items()},
        }
        print(f"{name}: {moved / 1e6:.2f} MB in {exchanges} exchanges per step")
        for batch, seconds in times.items():
            print(f"  batch {batch:5d}  {1e3 * seconds:9.3f} ms, {batch / seconds:11,.0f} images/s")
        for label, bandwidth in BANDWIDTHS.items():
            pays = {R: from_which(times, R, (moved, exchanges), bandwidth) for R in MACHINES}
            found[label] = {
                "pays_from": pays,
                "speedup": {
                    R: {
                        b: times[b] / calculated(times, b, R, (moved, exchanges), bandwidth)
                        for b in times
                        if b // R in times
                    }
                    for R in MACHINES
                },
            }
            print(f"  {label}: pays from batch", ", ".join(f"{pays[R]} with {R} machines" for R in MACHINES))
        one, two = step_seconds(name, 128, 2, options.rounds), two_ranks(name, 128, options.rounds)
        found["here"] = {"one_process_two_threads": 1e3 * one, "two_ranks_one_thread": 1e3 * two}
        print(f"  here, batch 128: 1 × 2 threads {1e3 * one:.3f} ms, 2 ranks × 1 thread {1e3 * two:.3f} ms")
        result["networks"][name] = found
    if options.write:
        write("ranks", result)


if __name__ == "__main__":
    main()
