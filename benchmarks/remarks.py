"""How often each remark is right, and whether following its advice helps.

    python benchmarks/remarks.py --data-dir DIR

Trainings of small networks on subsets of digits, MNIST and CIFAR-10, with good and bad learning rates, and with random
and true labels. Each case specifies the remark that it deserves. Whether a training deserves more epochs is determined
by one twice as long: yes if its test loss is lower by a tenth, no if it is higher. Reported are the fractions of
deserving cases that get the remark, of undeserving cases that get it, and of remarks whose options, added to the same
training, lowered the test loss. DIR contains mnist/ and cifar10/.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from conditions import write

import layerline
from layerline.data.dataset import ImageSet, Split
from layerline.recipe import Recipe
from layerline.recipe.usual import usual_rate
from layerline.training.automatic import complete

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.data.dataset import Dataset

WORDS = {
    "too low": "is too low",
    "too high": "is too high",
    "labels": "unrelated to the images",
}
"""Remark → a phrase in it."""
MORE: Final = "More epochs may help"
CLEARLY: Final = 0.1
"""A test loss lower by this fraction means that a training deserved more epochs."""
OPTION = re.compile(r"--(epochs|optimizer|momentum|learning-rate) ([a-z0-9.e-]+[a-z0-9])")


@dataclasses.dataclass(frozen=True)
class Case:
    """A training, and the remark that it deserves, if any."""

    data: Dataset
    network: layerline.Network
    recipe: Recipe
    deserves: str | None


def main() -> None:
    """Train, follow the advice, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    counts: dict[str, dict[str, int]] = {name: defaultdict(int) for name in WORDS}
    odd: list[dict[str, Any]] = []
    for case in cases(options.data_dir, options.seeds):
        run = layerline.train(case.network, case.data, case.recipe, live=False)
        for name, words in WORDS.items():
            said = next((text for text in run.result.remarks if words in text), None)
            kind = "deserved" if case.deserves == name else "undeserved"
            counts[name][kind] += 1
            counts[name][f"{kind}_said"] += said is not None
            if (said is not None) != (case.deserves == name):
                odd.append({"remark": name, "said": said, "deserves": case.deserves, **about(case, run)})
            if said is not None and (again := advised(case, said)) is not None:
                counts[name]["typed"] += 1
                counts[name]["helped"] += better(again, run)
    counts["more epochs"] = of_lengths(options.data_dir, options.seeds)
    rows = {name: {**found, **shares(found)} for name, found in counts.items()}
    for name, row in rows.items():
        print(f"{name:14s} " + "  ".join(f"{key} {value}" for key, value in row.items()))
    write("remarks", {"what": "remarks: right, wrong, and whether their advice helps", "remarks": rows, "odd": odd})


def cases(folder: Path, seeds: int) -> Iterator[Case]:
    """Yield the trainings."""
    for seed in range(seeds):
        for data, network in subjects(folder, seed):
            chosen = complete(network, data, Recipe(seed=seed), ()).recipe
            yield Case(data, network, dataclasses.replace(chosen, epochs=30), None)
            for optimizer in ("muon", "sgd", "adamw"):
                recipe = Recipe(optimizer=optimizer, epochs=12, schedule="one-cycle", seed=seed, batch_size=32)
                usual = usual_rate(recipe)
                for factor, deserves in ((1 / 1000, "too low"), (1 / 60, "too low"), (0.5, None), (1.5, None)):
                    yield Case(data, network, dataclasses.replace(recipe, learning_rate=usual * factor), deserves)
                wild = dataclasses.replace(recipe, learning_rate=usual * (300 if optimizer == "sgd" else 3000))
                yield Case(data, network, wild, "too high")
            for k, epochs in enumerate((15, 30, 45)):
                lot = dataclasses.replace(chosen, epochs=epochs, augment="none")
                yield Case(shuffled(data, 3 * seed + k), network, lot, "labels")


def of_lengths(folder: Path, seeds: int) -> dict[str, int]:
    """Return how often trainings of several lengths get the remark that more epochs may help, and whether they do."""
    found: dict[str, int] = defaultdict(int)
    for seed in range(seeds):
        for data, network in subjects(folder, seed):
            chosen = complete(network, data, Recipe(seed=seed), ()).recipe
            for schedule, epochs, part in itertools.product(("constant", chosen.schedule), (4, 6, 10, 20, 40), (1, 3)):
                rate = chosen.learning_rate / part
                recipe = dataclasses.replace(chosen, epochs=epochs, schedule=schedule, learning_rate=rate)
                once, twice = (
                    layerline.train(network, data, dataclasses.replace(recipe, epochs=epochs * k), live=False)
                    for k in (1, 2)
                )
                said = any(MORE in remark for remark in once.result.remarks)
                after, before = twice.result.test_loss or 0.0, once.result.test_loss or 0.0
                kind = "deserved" if after < (1 - CLEARLY) * before else "undeserved" if after > before else "between"
                found[kind] += 1
                found[f"{kind}_said"] += said
                found["typed"] += said
                found["helped"] += said and after < before
    return found


def subjects(folder: Path, seed: int) -> Iterator[tuple[Dataset, layerline.Network]]:
    """Yield data sets, each with a network."""
    cifar = folder / "cifar10" / "cifar10-jpeg.tar.xz"
    for source, network, more in (
        ("digits", "digits", {}),
        ("mnist", "six-layer", {"limit": 1_500}),
        (cifar, "six-layer", {"limit": 1_500, "classes": "cat,dog"}),
        (cifar, "lenet5", {"limit": 2_000}),
    ):
        data = layerline.load_data(source, data_dir=str(folder), seed=seed, **more)
        if data.test is not None:
            data = dataclasses.replace(data, test=Split(data.test.source, data.test.indices[:2_000]))
        yield data, layerline.read(network, data)


def shuffled(data: Dataset, seed: int) -> Dataset:
    """Return the data with random labels."""

    def drawn(split: Split | None) -> Split | None:
        if split is None:
            return None
        source, numbers = split.source, np.random.default_rng(seed)
        labels = numbers.integers(0, len(data.classes), len(source.labels)).astype(np.int32)
        images = ImageSet(source.images, labels, source.maximum)
        return Split(images, split.indices)

    train = drawn(data.train) or data.train
    return dataclasses.replace(data, train=train, validation=drawn(data.validation), test=drawn(data.test))


def advised(case: Case, said: str) -> layerline.Run | None:
    """Return the same training with the options that a remark names, or None if it names none."""
    found = {key.replace("-", "_"): value for key, value in OPTION.findall(said)}
    if not found:
        return None
    kinds = {"epochs": int, "momentum": float, "learning_rate": float, "optimizer": str}
    recipe = dataclasses.replace(case.recipe, **{key: kinds[key](value) for key, value in found.items()})
    return layerline.train(case.network, case.data, recipe, live=False)


def better(again: layerline.Run, run: layerline.Run) -> bool:
    """Return whether the test loss is lower."""
    after, before = again.result.test_loss, run.result.test_loss
    return after is not None and before is not None and after < before


def shares(found: dict[str, int]) -> dict[str, float]:
    """Return the three fractions, where defined."""
    pairs = {
        "right": ("deserved_said", "deserved"),
        "false": ("undeserved_said", "undeserved"),
        "help": ("helped", "typed"),
    }
    return {name: round(found[a] / found[b], 4) for name, (a, b) in pairs.items() if found.get(b)}


def about(case: Case, run: layerline.Run) -> dict[str, Any]:
    """Return the settings that identify a case."""
    recipe = case.recipe
    kept = {key: getattr(recipe, key) for key in ("optimizer", "learning_rate", "epochs", "seed")}
    losses = [round(row.train_loss, 4) for row in run.history]
    return {"data": case.data.name, "network": case.network.name, **kept, "train_losses": losses}


if __name__ == "__main__":
    main()
