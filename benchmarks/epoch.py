"""One training epoch compared with PyTorch, alternating, on the same images: the ratio of each pair, and their median.

    python benchmarks/epoch.py six-layer --data mnist --data-dir DIR --batch-size 50

PyTorch runs in separate processes, in its default layout and with channels last, each with and without retaining freed
memory; in each pair the fastest of the four counts. Each side reads all its images once before its clock starts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from conditions import spread, steal, write

import layerline
from layerline.engines import make
from layerline.engines.epoch import Epoch
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.data.dataset import Dataset

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4294967296"}


class Peer:
    """PyTorch in a separate process."""

    def __init__(self, options: argparse.Namespace, *, channels_last: bool, keep_memory: bool) -> None:
        """Start it and wait until it is ready."""
        self.name = ("channels_last" if channels_last else "default") + ("+keep" if keep_memory else "")
        command = [sys.executable, str(Path(__file__).with_name("peer.py")), options.network, "--data", options.data]
        command += ["--batch-size", str(options.batch_size), "--threads", str(options.threads)]
        command += ["--data-dir", options.data_dir] if options.data_dir else []
        command += ["--channels-last"] if channels_last else []
        environment = {**os.environ, **(KEEP_MEMORY if keep_memory else {})}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.version = self._line().split()[1]

    def epoch(self, images: int) -> float:
        """Return the time of an epoch in seconds."""
        assert self.process.stdin  # noqa: S101 - it is a pipe
        self.process.stdin.write(f"{images}\n")
        self.process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self.process.stdout  # noqa: S101 - it is a pipe
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer {self.name} exited")
        return line


def our_epoch(data: Dataset, options: argparse.Namespace) -> tuple[Callable[[int], float], float]:
    """Return a function that trains an epoch and returns its time in seconds, and the compile time in seconds."""
    network = layerline.read(options.network, data)
    recipe = Recipe(batch_size=options.batch_size, momentum=0.0, learning_rate=0.01, schedule="constant")
    engine = make("compiled", network, data.scaling, recipe, options.threads)
    rates = np.full(recipe.steps(len(data.train)), 0.01)
    numbers = np.random.default_rng(0)
    start = time.perf_counter()
    engine.train(Epoch(data.train.source, data.train.indices[: options.batch_size].copy(), rates), 0)
    compiling = time.perf_counter() - start

    def epoch(images: int) -> float:
        order = numbers.permutation(data.train.indices)[:images]
        int(data.train.source.images.sum())  # like the peer: reclaim idle memory before the clock starts
        begin = time.perf_counter()
        engine.train(Epoch(data.train.source, order, rates), 0)
        return time.perf_counter() - begin

    return epoch, compiling


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--data", required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--images", type=int, help="images per epoch [all]")
    options = parser.parse_args()
    data = layerline.load_data(options.data, data_dir=options.data_dir, validation="none")
    images = options.images or len(data.train)
    epoch, compiling = our_epoch(data, options)
    peers = [Peer(options, channels_last=last, keep_memory=keep) for last in (False, True) for keep in (False, True)]
    pairs: list[dict[str, object]] = []
    taken: list[tuple[float, float]] = []
    for number in range(options.pairs):
        before = steal()
        theirs = {peer.name: peer.epoch(images) for peer in peers}
        between = steal()
        ours = epoch(images)
        best = min(theirs, key=lambda name: theirs[name])
        taken.append((ours, theirs[best]))
        pair = {
            "ours": ours,
            "pytorch": theirs,
            "ratio": theirs[best] / ours,
            "steal": [between - before, steal() - between],
        }
        pairs.append(pair)
        print(
            f"{number + 1}: ours {ours:.3f} s, PyTorch {theirs[best]:.2f} s ({best}), ratio {theirs[best] / ours:.1f}"
        )
    ratios = [theirs / ours for ours, theirs in taken]
    mine, peer_best = ([pair[who] / images * 1e6 for pair in taken] for who in (0, 1))
    result = {
        "what": f"one training epoch, {options.network} on {data.name}, batch {options.batch_size}",
        "images": images,
        "threads": options.threads,
        "pytorch": peers[0].version,
        "ratio": spread(ratios),
        "microseconds_an_image": {"layerline": spread(mine), "pytorch": spread(peer_best)},
        "seconds_to_compile": compiling,
        "pairs": pairs,
    }
    print(f"median ratio {spread(ratios)['median']:.1f}")
    write(f"epoch-{Path(options.network).stem}-{data.name}-{options.threads}-threads", result)


if __name__ == "__main__":
    main()
