"""Networks that nobody tuned the kernels for: their share of the CPU's measured peak, and that of the presets.

    python benchmarks/random_networks.py --data cifar10 mnist --data-dir DIR

Each of ten networks is drawn from a seed: one to four convolutions with kernels of 3 or 5, 6 to 96 filters, BatchNorm
or not, ReLU, a pool after some, one or two layers after Flat. A share is the multiply-adds of a training epoch by their
formulas, per second, divided by those of the measured peak of all threads: zeros that are skipped, and multiplications
that Winograd's tiles save, count as done.
"""

from __future__ import annotations

import argparse
from random import Random
from typing import TYPE_CHECKING, Any, Final

from conditions import write

import layerline
from layerline.engines.bench import bench
from layerline.errors import UserError
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.network import Network

NETWORKS: Final = 10
PRESETS: Final = {1: ("six-layer", "lenet5", "keras-mnist"), 3: ("vgg-small", "resnet20", "mobile-small")}
"""Channels of the images → the presets that are made for them."""


def drawn(seed: int, data: Dataset) -> Network:
    """Return the network of a seed."""
    rng, lines = Random(seed), []  # noqa: S311 - not a secret
    for _ in range(rng.randint(1, 4)):
        kernel = rng.choice([3, 3, 5])
        padding = rng.choice([0, kernel // 2])
        lines.append(f"Conv {rng.choice([6, 8, 12, 16, 20, 32, 48, 64, 96])} {kernel} padding={padding}")
        lines += ["BatchNorm"] * (rng.random() < 0.4) + ["ReLU"] + ["Pool 2"] * (rng.random() < 0.7)
    lines += ["Flat", *[f"FC {rng.choice([32, 84, 100, 128])}\nReLU"] * rng.randint(0, 1), "FC classes"]
    try:
        return layerline.parse("\n".join(lines) + "\n", data, name=f"random-{seed}")
    except UserError:  # more pools than pixels
        return drawn(seed + 1000, data)


def measured(network: Network, data: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """Return the time and the share of a network."""
    recipe = Recipe(batch_size=options.batch_size, momentum=0.0, learning_rate=0.001)
    found = bench(network, data, recipe, options.threads, images=options.images, pairs=options.epochs)
    share = found.flops / (found.threads * found.peak)
    microseconds = found.seconds / found.images * 1e6
    print(f"{network.name:16} {data.name:12} {microseconds:9.1f} µs per image  {share:5.0%} of the peak", flush=True)
    return {"data": data.name, "microseconds_an_image": microseconds, "share": share, "network": network.text}


def main() -> None:
    """Measure all, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=4096, help="per epoch")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    shares: dict[str, dict[str, Any]] = {"named": {}, "random": {}}
    for number, name in enumerate(options.data):
        data = layerline.load_data(name, data_dir=options.data_dir, validation="none", group_by="none")
        for preset in PRESETS[data.shape[0]]:
            shares["named"][preset] = measured(layerline.read(preset, data), data, options)
        for seed in range(number, NETWORKS, len(options.data)):
            network = drawn(seed, data)
            shares["random"][network.name] = measured(network, data, options)
    least = {kind: min(one["share"] for one in found.values()) for kind, found in shares.items()}
    mean = {kind: sum(one["share"] for one in found.values()) / len(found) for kind, found in shares.items()}
    for kind in shares:
        print(f"{kind}: {mean[kind]:.0%} of the peak on average, {least[kind]:.0%} at least")
    write("random-networks", {"what": "share of the peak", "mean": mean, "least": least, **shares})


if __name__ == "__main__":
    main()
