"""The automatic choices compared with a search: 30 runs over learning rate and epochs, selected by validation.

    python benchmarks/defaults.py --data mnist --data-dir DIR --network lenet5

The default should be within a point of the best run of the search. The search keeps everything else at the default. Its
best run is reported on the validation set, by which it was selected, and on the test set.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from typing import TYPE_CHECKING, Any

from conditions import write

import layerline
from layerline.recipe import Recipe
from layerline.training.automatic import complete

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.network import Network

RATES = tuple(0.0005 * 2.0**k for k in range(6))
EPOCHS = (5, 10, 15, 20, 30)


def main() -> None:
    """Train the default and the 30 runs of the search, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--network", default="lenet5")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--threads", type=int, help="number of threads; results do not depend on it")
    options = parser.parse_args()
    data = layerline.load_data(options.data, data_dir=options.data_dir, limit=options.limit)
    network = layerline.read(options.network, data)
    default = complete(network, data, Recipe(), (), threads=options.threads)
    found = [trained(network, data, default.recipe, options.threads)]
    for epochs, rate in itertools.product(EPOCHS, RATES):
        recipe = dataclasses.replace(default.recipe, learning_rate=rate, epochs=epochs)
        found.append(trained(network, data, recipe, options.threads))
    best = max(found[1:], key=lambda run: run["validation_accuracy"])
    write(
        f"defaults-{options.network}-{data.name}",
        {
            "what": "defaults for network and data, compared with a search of 30 runs over learning rate and epochs",
            "images": len(data.train),
            "default": found[0],
            "best_of_search": best,
            "points_behind_on_validation": 100 * (best["validation_accuracy"] - found[0]["validation_accuracy"]),
            "points_behind_on_test": 100 * (best["test_accuracy"] - found[0]["test_accuracy"]),
            "recipe": default.recipe.as_dict(),
            "reasons": default.reasons,
            "search": found[1:],
        },
    )


def trained(network: Network, data: Dataset, recipe: Recipe, threads: int | None) -> dict[str, Any]:
    """Train, and return the metrics of the epoch whose weights are saved."""
    start = time.perf_counter()
    run = layerline.train(network, data, recipe, threads=threads)
    kept = run.history[run.model_epoch - 1]
    row = {
        "learning_rate": recipe.learning_rate,
        "epochs": recipe.epochs,
        "validation_accuracy": kept.validation_accuracy,
        "validation_loss": kept.validation_loss,
        "test_accuracy": run.result.test_accuracy,
        "seconds": time.perf_counter() - start,
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
