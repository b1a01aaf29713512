"""How the time of an epoch grows with channels, images, batch size and threads, next to PyTorch's: a graph of each.

    python benchmarks/growth.py --mnist DIR --cifar10 PATH [--only images]

Each point is `layerline engine bench`: epochs alternating with PyTorch's in its fastest setting without torch.compile,
from the same weights, median of --pairs. Channels: three convolutions of 3×3 on CIFAR-10's images, per multiply-add.
Images, batch size and threads: the first row of docs/speed.md, six-layer on MNIST, and vgg-small for threads as well.
The loss after the epoch is in the results for both sides.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any, Final

from conditions import RESULTS, write

import layerline
from layerline.engines.bench import bench
from layerline.engines.peers import SETTINGS
from layerline.recipe import Recipe
from layerline.system.cores import cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerline.data.dataset import Dataset

CHANNELS: Final = (16, 32, 64, 128, 256)
BATCHES: Final = (10, 20, 50, 100, 200, 512)
IMAGES: Final = (2_000, 5_000, 10_000, 20_000, 60_000)
WIDE: Final = """
Conv {0} 3 padding=1
ReLU
Conv {0} 3 padding=1
ReLU
Pool 2
Conv {0} 3 padding=1
ReLU
GlobalPool
Flat
FC classes
"""
EAGER: Final = tuple(setting for setting in SETTINGS if not setting.compiled)
"""PyTorch's settings that start at once; the others take a minute each."""
GRAPHS: Final = {
    "channels": ("channels", "ns per multiply-add and image"),
    "images": ("images per epoch", "µs per image"),
    "batch_size": ("batch size", "µs per image"),
    "threads": ("threads", "µs per image"),
}


def main() -> None:
    """Measure, write the results and draw the graphs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", required=True, help="folder of MNIST's files")
    parser.add_argument("--cifar10", required=True, help="CIFAR-10, in any form that load_data reads")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", choices=tuple(GRAPHS), help="measure one graph again, and keep the others")
    options = parser.parse_args()
    mnist = layerline.load_data("mnist", data_dir=options.mnist, validation="none")
    cifar = layerline.load_data(options.cifar10, validation="none", group_by="none")
    before = RESULTS / "growth.json"
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in GRAPHS}
    if options.only is not None and before.exists():
        found |= json.loads(before.read_text(encoding="utf-8"))["found"]
    for name in GRAPHS if options.only is None else (options.only,):
        found[name] = list(measured(name, mnist, cifar, options.pairs))
        write("growth", {"found": found})  # after each graph: all of them take ten minutes
        draw(name, [each for each in found[name] if "network" not in each])


def measured(name: str, mnist: Dataset, cifar: Dataset, pairs: int) -> Iterator[dict[str, Any]]:
    """Yield the points of a graph."""
    match name:
        case "channels":
            for channels in CHANNELS:
                text, images = WIDE.format(channels), max(1024, 40_000 // channels // 128 * 128)
                yield {"at": channels, **point(text, cifar, 128, cores(), images, pairs)}
        case "images":
            for images in IMAGES:
                yield {"at": images, **point("six-layer", mnist, 50, cores(), images, pairs)}
        case "batch_size":
            for batch in BATCHES:
                yield {"at": batch, **point("six-layer", mnist, batch, cores(), 20_000, pairs)}
        case "threads":
            for threads in range(1, cores() + 1):
                yield {"at": threads, **point("six-layer", mnist, 50, threads, 20_000, pairs)}
            for threads in range(1, cores() + 1):
                wide = point("vgg-small", cifar, 128, threads, 2_000, pairs)
                yield {"network": "vgg-small", "at": threads, **wide}


def point(network: str, data: Dataset, batch: int, threads: int, images: int, pairs: int) -> dict[str, Any]:
    """Return the microseconds per image of both sides, the multiply-adds of an image, and the losses."""
    net = layerline.parse(network, data) if "\n" in network else layerline.read(network, data)
    recipe = Recipe(batch_size=batch, momentum=0.0, learning_rate=0.01)
    found = bench(net, data, recipe, threads, images=images, pairs=pairs, against_torch=True, settings=EAGER)
    result = found.as_dict()
    print(network.split("\n")[-1] or net.parameter_count, batch, threads, images, result["microseconds_an_image"])
    return {
        "images": images,
        "multiply_adds": net.multiply_adds,
        "microseconds_an_image": result["microseconds_an_image"],
        "ratio": result["ratio"],
        "loss": result["loss"],
    }


def draw(name: str, points: Sequence[dict[str, Any]]) -> None:
    """Write the graph of one of GRAPHS, both axes logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for side, label in (("layerline", "Layerline"), ("pytorch", "PyTorch")):
        unit = [1e3 / each["multiply_adds"] if name == "channels" else 1.0 for each in points]
        values = [each["microseconds_an_image"][side]["median"] * u for each, u in zip(points, unit, strict=True)]
        axes.plot([each["at"] for each in points], values, marker="o", label=label)
    across, up = GRAPHS[name]
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.set_xticks([each["at"] for each in points], [f"{each['at']:,d}" for each in points], minor=False)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.legend()
    path = RESULTS / f"growth-{name}.png"
    figure.savefig(path, dpi=120)
    print(f"written: {path.relative_to(RESULTS.parent.parent)}")


if __name__ == "__main__":
    main()
