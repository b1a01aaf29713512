"""Comparison of two recipes, each trained with several seeds, by their means (Welch's test)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from layerline.comparison import differences
from layerline.comparison.paired import LEVEL, Difference
from layerline.errors import UserError
from layerline.measure.student import central, quantile
from layerline.numbers import display
from layerline.runs import saved
from layerline.runs.names import SEEDS
from layerline.runs.seed_runs import SeedRuns
from layerline.runs.series_runs import FIGURES

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.comparison.differences import Changed
    from layerline.runs.saved import SavedRun
    from layerline.runs.series_runs import Mean

_CUTS: Final = ("split_seed", "classes", "test", "validation")
"""Keys of [data] that determine the tested images."""


@dataclass(frozen=True, eq=False)
class Recipes:
    """The scores of A and B over their seeds; a score that one of them lacks is in neither dictionary."""

    a: Path
    b: Path
    means: dict[str, tuple[Mean, Mean]]
    differences: dict[str, Difference]
    """B's mean minus A's, with interval and p by Welch's test."""
    layers: tuple[str, ...]
    values: tuple[Changed, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        sides = (("a", self.a, 0), ("b", self.b, 1))
        return {
            **{
                side: {"seeds": path.as_posix(), **{key: list(pair[k].values) for key, pair in self.means.items()}}
                for side, path, k in sides
            },
            **{f"{key}_difference": dataclasses.asdict(each) for key, each in self.differences.items()},
            "layers": list(self.layers),
            "values": {changed.key: [changed.a, changed.b] for changed in self.values},
        }


def holds_seeds(folder: Path) -> bool:
    """Return whether the folder holds the runs of one recipe with several seeds."""
    return (folder / SEEDS).is_file()


def compare_recipes(a: Path, b: Path) -> Recipes:
    """Return how two folders of seeds differ. Raises UserError if one is damaged or their test images differ."""
    found = [_read(folder) for folder in (a, b)]
    runs = [saved.read(folder / seeds.runs[0]) for folder, seeds in zip((a, b), found, strict=True)]
    _check_same_images(*runs)
    means = {key: tuple(_mean(seeds, key) for seeds in found) for key in FIGURES}
    pairs = {key: (one, two) for key, (one, two) in means.items() if one is not None and two is not None}
    return Recipes(
        a,
        b,
        pairs,
        {key: welch(*pair) for key, pair in pairs.items()},
        differences.layers(*runs),
        tuple(changed for changed in differences.values(*runs) if changed.key != "seed"),
    )


def welch(a: Mean, b: Mean) -> Difference:
    """Return B's mean minus A's, with its 95% interval and p, for n ≥ 2 values of each.

        t = (b̄ − ā) / √(v_a + v_b),    v = s² / n of each,    ν = (v_a + v_b)² / (v_a² / (n_a − 1) + v_b² / (n_b − 1))

    Welch 1947, "The generalization of 'Student's' problem when several different population variances are involved",
    Biometrika 34. ν is not rounded.
    """
    parts = [_variance(mean) for mean in (a, b)]
    square = sum(part for part, _ in parts)
    value = b.mean - a.mean
    if square == 0:
        return Difference(value, value, value, 0.0 if value else 1.0)
    nu = max(1.0, square**2 / sum(part**2 / degrees for part, degrees in parts))
    half = quantile(1 - LEVEL / 2, nu) * math.sqrt(square)
    return Difference(value, value - half, value + half, max(0.0, 1 - central(abs(value) / math.sqrt(square), nu)))


def _variance(mean: Mean) -> tuple[float, int]:
    """Return v and n − 1."""
    n = len(mean.values)
    return (mean.deviation or 0.0) ** 2 / n, n - 1


def sentence(found: Recipes) -> str:
    """Return the verdict: `B is better: …`, `no significant difference: …`."""
    if found.a.resolve() == found.b.resolve():
        return "A and B are the same folder: nothing to compare"
    accuracy, f1 = (found.differences.get(key) for key in ("test_accuracy", "test_macro_f1"))
    if accuracy is None or f1 is None:
        return _by_loss(found.differences.get("validation_loss"))
    by_accuracy, by_f1 = (each.better if each.significant else "" for each in (accuracy, f1))
    if by_accuracy and by_f1 and by_accuracy != by_f1:
        return (
            f"neither is better: {by_accuracy} has the higher mean accuracy, {_by(accuracy)}, "
            f"but {by_f1} the higher macro F1, {_by(f1)}"
        )
    if by_accuracy:
        also = f"so is its macro F1 {_by(f1)}" if by_f1 else f"macro F1 differs {_by(f1)}, which is not significant"
        return f"{by_accuracy} is better: its mean accuracy is higher {_by(accuracy)}; {also}"
    if by_f1:
        return f"{by_f1} is better in macro F1, {_by(f1)}; accuracy differs {_by(accuracy)}, which is not significant"
    return f"no significant difference: the mean accuracies differ {_by(accuracy)}; more seeds may settle it"


def _by_loss(loss: Difference | None) -> str:
    if loss is None:
        return "nothing to compare: they do not both have test or validation scores"
    by = f"by {display.loss(abs(loss.value))} ({display.chance(loss.p)})"
    if loss.significant:
        better = "A" if loss.better == "B" else "B"
        return f"{better} is better: its mean validation loss is lower {by}; there is no test set"
    return f"no significant difference: the mean validation losses differ {by}; there is no test set"


def _by(difference: Difference) -> str:
    return f"by {display.fraction(abs(difference.value))} ({display.chance(difference.p)})"


def _read(folder: Path) -> SeedRuns:
    path = folder / SEEDS
    found = SeedRuns.read(path)
    if len(found.runs) < 2:
        raise UserError(
            f"{path}: only {len(found.runs)} of its training runs finished, but a comparison needs 2",
            "train with more --seeds",
        )
    return found


def _mean(found: SeedRuns, score: str) -> Mean | None:
    """Return the mean of a score, None if fewer than two runs have it."""
    mean = found.means.get(score)
    return mean if mean is not None and len(mean.values) >= 2 else None


def _check_same_images(a: SavedRun, b: SavedRun) -> None:
    differ = [
        f"{key} {first} and {second}"
        for key, first, second in (
            ("fingerprints", *(str(run.record.about.data.fingerprint)[:8] for run in (a, b))),
            ("classes", *(",".join(run.classes) for run in (a, b))),
            *((key, *(run.record.data.get(key, "default") for run in (a, b))) for key in _CUTS),
        )
        if first != second
    ]
    if differ:
        raise UserError(
            f"{a.folder} and {b.folder} were not tested on the same images: {display.name('; '.join(differ), 200)}",
            "train both on the same data with the same --split-seed, --test and --validation",
        )
