"""The peer: PyTorch training the same network on the same images, in a separate process.

It reads a line, trains one epoch, and prints the seconds. Images are converted to float32 tensors once, before any
clock starts. Eager mode, reshuffled each epoch, no metrics: only training.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np


def main() -> None:
    """Train an epoch per input line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--data", required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()

    import torch
    from torch import nn

    import layerline

    torch.set_num_threads(options.threads)
    data = layerline.load_data(options.data, data_dir=options.data_dir, validation="none")
    network = layerline.read(options.network, data)
    order = torch.channels_last if options.channels_last else torch.contiguous_format
    x = torch.from_numpy(data.scaling.apply(data.train.source.images)).contiguous(memory_format=order)
    y = torch.from_numpy(data.train.source.labels.astype(np.int64))
    torch.manual_seed(0)
    model = network.to_torch()
    model.to(memory_format=order)  # type: ignore[call-overload]  # missing from PyTorch's types
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    numbers = np.random.default_rng(0)

    def epoch(images: int) -> float:
        places = torch.from_numpy(numbers.permutation(data.train.indices)[:images])
        float(x.sum())  # a virtual machine may have reclaimed idle memory: touch it before the clock starts
        start = time.perf_counter()
        for first in range(0, images, options.batch_size):
            some = places[first : first + options.batch_size]
            loss = nn.functional.cross_entropy(model(x[some]), y[some])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return time.perf_counter() - start

    epoch(20 * options.batch_size)
    print("ready", torch.__version__, flush=True)
    for line in sys.stdin:
        print(epoch(int(line) or len(data.train)), flush=True)


if __name__ == "__main__":
    main()
