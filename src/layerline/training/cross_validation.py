"""Cross-validation: one training per fold, and the predictions of every image by the run that did not train on it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from layerline.data import folds
from layerline.data.dataset import Split
from layerline.errors import RecipeError
from layerline.measure import intervals, remarks
from layerline.numbers import display
from layerline.numbers.scalars import is_whole
from layerline.runs import metrics
from layerline.runs.fold_runs import FoldRuns
from layerline.runs.names import FOLDS
from layerline.runs.predictions import Predictions
from layerline.runs.result import Result
from layerline.training.series import Series, Trainings
from layerline.training.warm_start import leak

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.data.dataset import Dataset
    from layerline.runs.folder import RunFolder
    from layerline.runs.result import Baselines
    from layerline.training.prepared import Prepared


@final
@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation(Trainings):
    """Trainings that differ only in their fold, whose number is theirs."""

    WORD: ClassVar[str] = "fold"
    FILE: ClassVar[str] = FOLDS

    images: int = 0
    """Of all folds together."""
    seed: int = 0
    """Of the intervals: the trainings' own."""
    leak: str | None = None
    """A remark if the trainings start with weights that may have learned from the images."""

    @property
    def tested(self) -> int:
        """The number of images in the finished folds."""
        return sum(_size(run.result) for run in self.runs.values())

    def predictions(self) -> Predictions | None:
        """Return the test predictions of all finished folds, in the order of the images; None if there are none."""
        found = [each for run in self.runs.values() for each in run.predictions if each.split == "test"]
        return _together(found) if found else None

    def result(self) -> Result | None:
        """Return the result of all finished folds together; None without any.

        Of the baselines, which each run has for its own fold, it has the accuracies.
        """
        predicted = self.predictions()
        if predicted is None:
            return None
        results = [run.result for run in self.runs.values()]
        classes, sizes = results[0].classes, [_size(each) for each in results]
        loss = math.fsum(n * (each.test_loss or 0) for n, each in zip(sizes, results, strict=True)) / sum(sizes)
        confusion = metrics.confusion(predicted.truth, predicted.prediction, len(classes))
        result = Result.of(classes, loss, confusion)
        spread = intervals.intervals(confusion, self.seed)
        result = dataclasses.replace(result, intervals=spread, baselines=_baselines(results))
        leaked = () if self.leak is None else (self.leak,)
        return dataclasses.replace(result, remarks=(*leaked, *remarks.of_evaluation(result)))

    def saved(self) -> FoldRuns:
        """Return the summary that is written to folds.json."""
        names = tuple(map(self.name, self.runs))
        common = (self.split_seed, tuple(self.runs), self.diverged, self.stopped, self.means())
        return FoldRuns(names, *common, folds=len(self.asked), images=self.images)


def cross_validation(prepared: Prepared, parts: Sequence[Dataset], folder: RunFolder | None) -> Series[CrossValidation]:
    """Return the trainings on all folds; `prepared` is that of the first."""
    experiment = prepared.experiment
    assert experiment is not None  # noqa: S101 - the command line always has one

    def variant(first: Prepared, number: int) -> Prepared:
        fold = folds.Fold(number, len(parts))
        return first if number == 1 else first.with_data(parts[number - 1], experiment.with_fold(fold))

    tested = [part.test for part in parts if part.test is not None]
    everything = Split(tested[0].source, np.sort(np.concatenate([test.indices for test in tested])))
    whole = dataclasses.replace(parts[0], test=everything)
    none = CrossValidation(
        tuple(range(1, len(parts) + 1)),
        split_seed=experiment.split_seed,
        folder=None if folder is None else folder.path,
        images=len(everything),
        seed=prepared.recipe.seed,
        leak=None if prepared.start is None else leak(prepared.start, whole),
    )
    return Series(prepared, none, folder, variant)


def check_count(count: object) -> None:
    """Raise RecipeError if the number of folds is invalid."""
    if not is_whole(count) or not folds.FEWEST <= count <= folds.MOST:
        raise RecipeError(
            f"--folds {display.name(str(count))}: must be a whole number from {folds.FEWEST} to {folds.MOST}",
            "five are usual, ten if images are few",
        )


def _together(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of disjoint test sets as one, in the order of the images."""
    index = np.concatenate([_index(part) for part in parts])
    order = np.argsort(index)
    names = [name for part in parts for name in part.names or ()]
    first = parts[0]
    many = first.largest is not None
    return Predictions(
        "test",
        np.concatenate([part.truth for part in parts])[order],
        np.concatenate([part.prediction for part in parts])[order],
        np.concatenate([part.probabilities for part in parts])[order],
        index[order],
        tuple(names[k] for k in order.tolist()) if names else None,
        np.concatenate([part.largest for part in parts if part.largest is not None])[order] if many else None,
        np.concatenate([part.own for part in parts if part.own is not None])[order] if many else None,
    )


def _index(part: Predictions) -> np.ndarray:
    assert part.index is not None  # noqa: S101 - every training records it
    return part.index


def _baselines(results: Sequence[Result]) -> Baselines:
    """Return the accuracy of each baseline on all folds together: the mean of theirs, weighted by their images."""
    found: Baselines = {}
    for name, first in (results[0].baselines or {}).items():
        each = [(result.baselines or {}).get(name, {}).get("accuracy") for result in results]
        known = [(_size(result), value) for result, value in zip(results, each, strict=True) if value is not None]
        if len(known) == len(results):
            accuracy = math.fsum(n * value for n, value in known) / sum(n for n, _ in known)
            found[name] = {"accuracy": accuracy, **({"class": first["class"]} if "class" in first else {})}
    return found


def _size(result: Result) -> int:
    return 0 if result.confusion is None else int(result.confusion.sum())
