"""Training a PyTorch module with `fit_torch` compared with PyTorch's own loop, alternating, with the same recipe.

    python benchmarks/fit_torch.py mnist-example --data-dir DIR
    python benchmarks/fit_torch.py lenet5 --data-dir DIR

A pair is three trainings from the same weights, each in its own process, one after the other: `fit_torch`, PyTorch's
loop over tensors in memory (the fastest plain form), and PyTorch's loop over a DataLoader (the usual form). The time of
`fit_torch` is that of the whole call, with carrying the module over and compiling; PyTorch's is the time of its epochs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from conditions import spread, steal, write
from torch import nn
from torch.nn import functional
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

import layerline

if TYPE_CHECKING:
    from collections.abc import Iterable

SIDES: Final = ("fit_torch", "tensors", "loader")
MEAN, DEVIATION = 0.1307, 0.3081
"""Of MNIST's training pixels, as PyTorch's example subtracts and divides them."""
Pair = tuple[torch.Tensor, torch.Tensor]


class MnistExample(nn.Module):
    """The network of PyTorch's MNIST example: two convolutions, functional ReLU and pooling, two dropouts."""

    def __init__(self) -> None:
        """Create the layers."""
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = torch.flatten(self.dropout1(functional.max_pool2d(x, 2)), 1)
        return functional.log_softmax(self.fc2(self.dropout2(functional.relu(self.fc1(x)))), dim=1)


class LeNet5(nn.Module):
    """LeNet-5 as it is usually written today: ReLU and max-pooling."""

    def __init__(self) -> None:
        """Create the layers."""
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities."""
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = torch.flatten(functional.max_pool2d(functional.relu(self.conv2(x)), 2), 1)
        x = functional.relu(self.fc2(functional.relu(self.fc1(x))))
        return functional.log_softmax(self.fc3(x), dim=1)


Made = tuple[torch.optim.Optimizer, Any]
"""An optimizer and its scheduler."""
MODULES: Final[dict[str, type[nn.Module]]] = {"mnist-example": MnistExample, "lenet5": LeNet5}


def tensors(options: argparse.Namespace) -> tuple[Pair, Pair]:
    """Return the training and test images as PyTorch users have them: normalized float32 tensors."""
    data = layerline.load_data("mnist", data_dir=options.data_dir, validation="none")
    assert data.test is not None  # noqa: S101 - MNIST has one
    found = []
    for split in (data.train, data.test):
        images = (split.images[: options.images].astype(np.float32) / 255 - MEAN) / DEVIATION
        labels = split.labels[: options.images].astype(np.int64)
        found.append((torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)))
    return found[0], found[1]


def batches(side: str, train: Pair, size: int) -> Iterable[Any]:
    """Return the shuffled batches of an epoch of PyTorch's loop."""
    x, y = train
    if side == "tensors":
        order = torch.randperm(len(x))
        return ((x[order[k : k + size]], y[order[k : k + size]]) for k in range(0, len(x), size))
    return DataLoader(TensorDataset(x, y), batch_size=size, shuffle=True)


def by_pytorch(side: str, module: nn.Module, train: Pair, made: Made, options: argparse.Namespace) -> float:
    """Train as PyTorch's example does; return the seconds of the epochs."""
    optimizer, scheduler = made
    begin = time.perf_counter()
    module.train()
    for _ in range(options.epochs):
        for x, y in batches(side, train, options.batch_size):
            optimizer.zero_grad()
            functional.nll_loss(module(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        scheduler.step()
    return time.perf_counter() - begin


def by_fit_torch(module: nn.Module, train: Pair, made: Made, options: argparse.Namespace) -> float:
    """Train by the two-line change; return the seconds of the epochs alone."""
    optimizer, scheduler = made
    fit = layerline.fit_torch(
        *(module, train),
        epochs=options.epochs,
        optimizer=optimizer,
        scheduler=scheduler,
        batch_size=options.batch_size,
        threads=options.threads,
    )
    return sum(row.seconds for row in fit.history)


def recipe(module: nn.Module, options: argparse.Namespace) -> Made:
    """Return optimizer and scheduler, the same for all sides."""
    optimizer = torch.optim.SGD(module.parameters(), lr=options.lr, momentum=0.9)
    return optimizer, lr_scheduler.StepLR(optimizer, 1, 0.7)


def measure(side: str, options: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of a training, of its epochs alone, and the test accuracy after it."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    module = MODULES[options.network]()
    train, (xt, yt) = tensors(options)
    module(train[0][: options.batch_size]).sum().backward()  # PyTorch's first call is slow: not part of the time
    module.zero_grad()
    made = recipe(module, options)  # before any clock starts: PyTorch's first optimizer imports its compiler, a second
    begin = time.perf_counter()
    if side == "fit_torch":
        epochs = by_fit_torch(module, train, made, options)
    else:
        epochs = by_pytorch(side, module, train, made, options)
    seconds = time.perf_counter() - begin
    module.eval()
    with torch.no_grad():
        predicted = torch.cat([module(xt[k : k + 1000]).argmax(1) for k in range(0, len(xt), 1000)])
    return {"seconds": seconds, "of_epochs": epochs, "accuracy": (predicted == yt).double().mean().item()}


def in_process(side: str, seed: int, arguments: list[str]) -> dict[str, float]:
    """Return what `measure` returns in a new process."""
    command = [sys.executable, str(Path(__file__)), *arguments, "--side", side, "--seed", str(seed)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, float] = json.loads(printed)
    return found


def summary(pairs: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """Return the result of all pairs."""
    found = {side: [pair[side] for pair in pairs] for side in SIDES}
    return {
        "what": f"training {options.network} on mnist, {options.epochs} epochs, batch {options.batch_size}",
        "images": options.images or "all",
        "threads": options.threads,
        "pytorch": torch.__version__,
        "ratio": {side: spread([pair["ratio"][side] for pair in pairs]) for side in SIDES[1:]},
        "seconds": {side: spread([each["seconds"] for each in values]) for side, values in found.items()},
        "accuracy": {side: spread([each["accuracy"] for each in values]) for side, values in found.items()},
        "pairs": pairs,
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=MODULES)
    parser.add_argument("--data-dir")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--images", type=int, help="training and test images [all]")
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side is not None:
        print(json.dumps(measure(options.side, options)))
        return
    pairs: list[dict[str, Any]] = []
    for number in range(options.pairs):
        before = steal()
        turned = [*SIDES[number % 3 :], *SIDES[: number % 3]]  # each side is first as often as the others
        pair: dict[str, Any] = {side: in_process(side, number, sys.argv[1:]) for side in turned}
        pair["ratio"] = {side: pair[side]["seconds"] / pair["fit_torch"]["seconds"] for side in SIDES[1:]}
        pair["steal"] = steal() - before
        pairs.append(pair)
        parts = [f"{side} {pair[side]['seconds']:.2f} s {pair[side]['accuracy']:.4f}" for side in SIDES]
        print(
            f"{number + 1}: {', '.join(parts)}, ratio {pair['ratio']['tensors']:.2f} and {pair['ratio']['loader']:.2f}"
        )
    result = summary(pairs, options)
    print(f"median ratio {result['ratio']['tensors']['median']:.2f} and {result['ratio']['loader']['median']:.2f}")
    write(f"fit-torch-{options.network}-{options.threads}-threads", result)


if __name__ == "__main__":
    main()
