"""Winograd's convolutions compared with direct ones: the same seeds trained with both, paired.

    python benchmarks/winograd_seeds.py --mnist DIR --cifar10 PATH

Three networks, each with SGD, with four times the learning rate, and with Muon; short runs on a part of the
data. A pair differs by rounding alone, which training amplifies: the question is whether one side is better than the
other by more than chance. Of each score: the mean difference, Student's t and its two-sided p, and the standard
deviation among seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

from conditions import write

import layerline
from layerline.data.dataset import Split
from layerline.measure.student import central
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset

TESTED: Final = 2000
"""Test images."""
SCORES: Final = ("test_accuracy", "test_loss", "train_loss")
NETWORKS: Final = {"keras-mnist": "mnist", "vgg-small": "cifar10", "resnet20": "cifar10"}
RECIPES: Final[dict[str, dict[str, Any]]] = {
    "sgd": {"learning_rate": 0.05},
    "sgd, high rate": {"learning_rate": 0.2},
    "muon": {"learning_rate": 0.01, "optimizer": "muon"},
}


def main() -> None:
    """Train all pairs, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", required=True, help="folder of MNIST's files")
    parser.add_argument("--cifar10", required=True, help="CIFAR-10, in any form that load_data reads")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    data = {
        "mnist": layerline.load_data("mnist", data_dir=options.mnist, limit=options.images),
        "cifar10": layerline.load_data(options.cifar10, limit=options.images, group_by="none"),
    }
    data = {name: dataclasses.replace(one, test=first(one.test, TESTED)) for name, one in data.items()}
    found = []
    for network, name in NETWORKS.items():
        for words, values in RECIPES.items():
            recipe = Recipe(epochs=options.epochs, batch_size=64, augment="none", class_weights="none", **values)
            pairs = [
                [
                    scores(network, data[name], dataclasses.replace(recipe, seed=seed, exact=exact))
                    for exact in (True, False)
                ]
                for seed in range(options.seeds)
            ]
            found.append({"network": network, "recipe": words, **compared(pairs)})
            print(found[-1], flush=True)
    write(
        "winograd-seeds", {"seeds": options.seeds, "epochs": options.epochs, "images": options.images, "found": found}
    )


def first(split: Split | None, count: int) -> Split | None:
    """Return the first images of a split."""
    return None if split is None else Split(split.source, split.indices[:count].copy())


def scores(network: str, data: Dataset, recipe: Recipe) -> dict[str, float]:
    """Train, and return the scores of the last epoch."""
    start = time.perf_counter()
    try:
        run = layerline.train(layerline.read(network, data), data, recipe, live=False)
    except layerline.DivergedError:
        return {**dict.fromkeys(SCORES, math.nan), "seconds": time.perf_counter() - start}
    last, result = run.history[-1], run.result
    found = {"test_accuracy": result.test_accuracy, "test_loss": result.test_loss, "train_loss": last.train_loss}
    return {**{name: math.nan if score is None else score for name, score in found.items()}, "seconds": last.seconds}


def compared(pairs: list[list[dict[str, float]]]) -> dict[str, Any]:
    """Return the scores' differences, transformed minus direct."""
    diverged = [sum(math.isnan(pair[side]["train_loss"]) for pair in pairs) for side in (0, 1)]
    whole = [pair for pair in pairs if not any(math.isnan(one["train_loss"]) for one in pair)]
    result: dict[str, Any] = {"diverged": {"direct": diverged[0], "transformed": diverged[1]}, "pairs": len(whole)}
    for score in SCORES if len(whole) > 1 else ():
        differences = [transformed[score] - direct[score] for direct, transformed in whole]
        mean, error = statistics.mean(differences), statistics.stdev(differences) / math.sqrt(len(whole))
        t = mean / error if error else 0.0
        result[score] = {
            "direct": statistics.mean(direct[score] for direct, _ in whole),
            "among_seeds": statistics.stdev(direct[score] for direct, _ in whole),
            "difference": mean,
            "t": t,
            "p": 1 - central(abs(t), len(whole) - 1),
        }
    return result


if __name__ == "__main__":
    main()
