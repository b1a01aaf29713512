"""Which epoch's weights to keep: all rules on the same trainings, scored on the test set.

    python benchmarks/best_epoch.py clothing-30 clothing-10 cifar10-100 … --data-dir DIR --seeds 5

Each data set is trained with the seed as the only option, which also determines the splits; validation and test sets
are evaluated after each epoch. A rule sees only the validation metrics. Its cost is the test macro F1 (and accuracy) of
the last epoch minus that of the epoch it selects, in points. Sets measured earlier stay in the file. DIR contains
mnist/, cifar10/ and clothing/.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from conditions import RESULTS, write

import layerline
from layerline.engines.epoch import plan_epoch
from layerline.recipe import Recipe
from layerline.runs import metrics
from layerline.training.automatic import complete

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.data.dataset import Dataset, Split
    from layerline.engines.interface import Engine

Metrics = dict[str, list[float]]


def lowest_loss(seen: Metrics, images: int) -> int:
    """Return the epoch with the lowest loss, the earliest on ties: the rule until 2026-11-29."""
    del images
    return int(np.argmin(seen["loss"]))


def last(seen: Metrics, images: int) -> int:
    """Return the last epoch."""
    del images
    return len(seen["loss"]) - 1


def best(merit: str) -> Callable[[Metrics, int], int]:
    """Return the rule that selects the best epoch by a metric, the latest on ties."""

    def rule(seen: Metrics, images: int) -> int:
        del images
        values = np.array(seen[merit])
        return int(np.flatnonzero(values == values.max())[-1])

    return rule


def within_an_error(*, lowest: bool) -> Callable[[Metrics, int], int]:
    """Return the rule that selects, among the epochs within a standard error of the best accuracy, the one with the
    lowest loss, or the last."""

    def rule(seen: Metrics, images: int) -> int:
        accuracy = np.array(seen["accuracy"])
        p = accuracy.max()
        near = np.flatnonzero(accuracy >= p - np.sqrt(p * (1 - p) / images) - 1e-12)
        return int(near[np.argmin(np.array(seen["loss"])[near])] if lowest else near[-1])

    return rule


RULES: dict[str, Callable[[Metrics, int], int]] = {
    "lowest loss": lowest_loss,
    "last": last,
    "best accuracy": best("accuracy"),
    "best macro F1": best("macro_f1"),
    "lowest loss within an error": within_an_error(lowest=True),
    "last within an error": within_an_error(lowest=False),
}


def main() -> None:
    """Train, and write the epochs that each rule would have selected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--schedule", help="override the automatic schedule")
    parser.add_argument("--name", default="best-epoch")
    options = parser.parse_args()
    given = {} if options.schedule is None else {"schedule": options.schedule}
    kept = RESULTS / f"{options.name}.json"
    found: dict[str, Any] = json.loads(kept.read_text())["sets"] if kept.exists() else {}
    for name in options.sets:
        runs = [trained(name, seed, options.data_dir, given) for seed in range(options.seeds)]
        found[name] = {"rules": summary(runs), "runs": runs}
        for rule, row in found[name]["rules"].items():
            print(
                f"{name:16s} {rule:28s} {row['macro_f1']:.4f}  below the last epoch {row['behind_last']:+.2f}",
                flush=True,
            )
        what = "test metrics of the epoch that each rule selects"
        write(options.name, {"what": what, "given": given, "sets": found})


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means over the seeds for each rule."""
    rows = {}
    for rule, choose in RULES.items():
        chosen = [choose(run["validation"], run["validation_images"]) for run in runs]
        kept = {m: [run["test"][m][k] for run, k in zip(runs, chosen, strict=True)] for m in ("macro_f1", "accuracy")}
        end = [run["test"]["macro_f1"][-1] for run in runs]
        behind = [100 * (e - k) for e, k in zip(end, kept["macro_f1"], strict=True)]
        rows[rule] = {
            "macro_f1": float(np.mean(kept["macro_f1"])),
            "accuracy": float(np.mean(kept["accuracy"])),
            "behind_last": float(np.mean(behind)),
            "worst_behind_last": max(behind),
            "epochs": [k + 1 for k in chosen],
        }
    return rows


def trained(name: str, seed: int, folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of each epoch of one training."""
    network, data = subject(name, seed, folder)
    assumed = complete(network, data, Recipe(seed=seed, **given), given)
    engine, recipe = assumed.engine, assumed.recipe
    splits = {"validation": data.validation, "test": data.test}
    seen: dict[str, Metrics] = {split: {"loss": [], "accuracy": [], "macro_f1": []} for split in ("validation", "test")}
    for epoch in range(1, recipe.epochs + 1):
        engine.reset_running()
        engine.train(plan_epoch(recipe, data.train, epoch, len(data.classes)), 0)
        for split, images in splits.items():
            for merit, value in measured(engine, images, len(data.classes)).items():
                seen[split][merit].append(value)
    return {"seed": seed, "epochs": recipe.epochs, "validation_images": len(data.validation or ()), **seen}


def measured(engine: Engine, split: Split | None, K: int) -> dict[str, float]:
    """Return loss, accuracy and macro F1."""
    if split is None:
        raise ValueError("comparing the rules requires a validation set and a test set")
    outputs = engine.evaluate(split)
    scores = metrics.measure(metrics.confusion(split.labels, outputs.probabilities.argmax(axis=1), K))
    return {"loss": float(outputs.losses.mean()), "accuracy": scores.accuracy, "macro_f1": scores.macro_f1}


def subject(name: str, seed: int, folder: Path) -> tuple[layerline.Network, Dataset]:
    """Return network and data for `<set>-<training images per class>`, or for a whole set."""
    base, _, each = name.partition("-")
    sources: dict[str, str | Path] = {
        "clothing": folder / "clothing" / "clothing-30.tar",
        "cifar10": folder / "cifar10" / "cifar10-jpeg.tar.xz",
        "photos": Path(tempfile.gettempdir()) / "layerline-photos",  # written by benchmarks/folder_of_photos.py
        "mnist": "mnist",
        "digits": "digits",
    }
    limit = int(each) * 10 if each and not (base == "clothing" and each == "30") else None
    more: dict[str, Any] = {"skip_bad": 0.05, "exclude": "*_mask.png"} if base == "photos" else {}
    data = layerline.load_data(sources[base], data_dir=str(folder), seed=seed, limit=limit, **more)
    network = {"clothing": "photo-small", "photos": "photo-small", "digits": "digits"}.get(base, "lenet5")
    return layerline.read(network, data), dataclasses.replace(data, name=name)


if __name__ == "__main__":
    main()
