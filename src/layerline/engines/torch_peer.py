"""PyTorch training a network as a PyTorch user would: the other side of `layerline engine bench`, in its own process.

    python -m layerline.engines.torch_peer FOLDER --weights FILE --threads N [--channels-last] [--compiled]

FOLDER has the network, the scaled images as float32, their labels, order and initial weights, as `peers` writes them.
First it trains the step after which weights are compared, and writes the weights to FILE (.npz). Then, for each
line read, it trains an epoch from the initial weights and prints the seconds and the loss after it. Only training is
timed: images are tensors in memory, and no metrics are computed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_WARM_STEPS = 20


class _Peer:
    """The modules and tensors, and one epoch of training."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Read everything, and build the modules."""
        import torch

        from layerline.network import parse

        folder = Path(options.folder)
        self.facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        shape, classes = tuple(self.facts["input_shape"]), self.facts["classes"]
        network = parse(self.facts["network"], input_shape=shape, classes=classes)
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        images = np.load(folder / "images.npy", mmap_mode="c")  # one copy in memory for all peers
        self.x = torch.from_numpy(images).contiguous(memory_format=layout)
        self.y = torch.from_numpy(np.load(folder / "labels.npy"))
        self.order = torch.from_numpy(np.load(folder / "order.npy"))
        self.weights = {
            name: torch.from_numpy(np.load(folder / f"{number}.{name}.npy"))
            for number, name in enumerate(self.facts["weights"])
        }
        self.module = network.to_torch()
        self.module.to(memory_format=layout)  # type: ignore[call-overload]  # missing from PyTorch's types
        self.loss: Callable[..., Any] = lambda x, y: torch.nn.functional.cross_entropy(self.module(x), y)
        self.optimizer = torch.optim.SGD(
            self.module.parameters(),
            lr=self.facts["learning_rate"],
            momentum=self.facts["momentum"],
            fused=not options.compiled,  # one pass over all tensors: a little faster, and it cannot be compiled
        )
        self.step: Callable[[], Any] = self.optimizer.step
        if options.compiled:
            # dynamic=False: else a smaller last batch replaces the code of all batches by one for any size
            self.loss, self.step = (torch.compile(each, dynamic=False) for each in (self.loss, self.step))

    def begin(self) -> None:
        """Set the initial weights."""
        self.module.load_state_dict(self.weights)
        self.module.train()
        self.optimizer.state.clear()

    def epoch(self, images: int) -> float:
        """Train on the first images of the order; return the seconds."""
        float(self.x.sum())  # a virtual machine may have reclaimed idle memory: touch it before the clock starts
        start = time.perf_counter()
        for first in range(0, images, self.facts["batch_size"]):
            some = self.order[first : min(images, first + self.facts["batch_size"])]
            loss = self.loss(self.x[some], self.y[some])
            self.optimizer.zero_grad()
            loss.backward()
            self.step()
        return time.perf_counter() - start

    def loss_after(self) -> float:
        """Return the mean loss over the images that both sides compare."""
        import torch

        self.module.eval()
        some = self.order[: self.facts["compared"]]
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(self.module(self.x[some]), self.y[some]))


def main() -> None:
    """Train an epoch per input line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compiled", action="store_true")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    peer = _Peer(options)
    peer.begin()
    peer.epoch(peer.facts["batch_size"])
    np.savez(options.weights, **{name: value.numpy() for name, value in peer.module.state_dict().items()})
    images, batch = len(peer.order), peer.facts["batch_size"]
    peer.epoch(min(images, _WARM_STEPS * batch + images % batch))  # the smaller last batch too
    print(json.dumps({"version": torch.__version__}), flush=True)  # noqa: T201 - the parent reads it
    for _ in sys.stdin:
        peer.begin()
        print(json.dumps({"seconds": peer.epoch(images), "loss": peer.loss_after()}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
