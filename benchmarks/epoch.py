"""One training epoch compared with PyTorch, alternating, on the same images: the ratio of each pair, and their median.

    python benchmarks/epoch.py six-layer --data mnist --data-dir DIR --batch-size 50

The same as `layerline engine bench six-layer --against torch`, with the result in the results folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from conditions import write

import layerline
from layerline.compiler.machine import named
from layerline.engines.bench import bench
from layerline.recipe import Recipe


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
    parser.add_argument("--cpu", help="hold both sides to its instructions, such as x86-64-v3 for AVX2")
    options = parser.parse_args()
    data = layerline.load_data(options.data, data_dir=options.data_dir, validation="none")
    network = layerline.read(options.network, data)
    recipe = Recipe(batch_size=options.batch_size, momentum=0.0, learning_rate=0.01)
    measure = {"images": options.images, "pairs": options.pairs, "against_torch": True, "say": print}
    machine = named(options.cpu) if options.cpu else None
    found = bench(network, data, recipe, options.threads, machine=machine, **measure)
    for name, loss in found.differing.items():
        print(f"the loss of torch {name} is {loss:.4f}, ours is {found.loss:.4f}")
    what = f"one training epoch, {options.network} on {data.name}, batch {options.batch_size}"
    name = f"epoch-{Path(options.network).stem}-{data.name}-{options.threads}-threads"
    write(f"{name}-{options.cpu}" if options.cpu else name, {"what": what, **found.as_dict()})


if __name__ == "__main__":
    main()
