"""Comparison of two runs by their predictions for the images that both were tested on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from layerline.comparison import differences
from layerline.comparison.paired import Paired, paired
from layerline.errors import UserError
from layerline.layers.grammar import times
from layerline.numbers import display
from layerline.runs import saved

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from layerline.comparison.differences import Changed
    from layerline.runs.predictions import Predictions
    from layerline.runs.saved import SavedRun

SplitName = Literal["test", "validation"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs, A and B, compared on the images that both were tested on."""

    a: SavedRun
    b: SavedRun
    classes: tuple[str, ...]
    split: SplitName
    """validation unless both have a test set: it selected the epoch of each, so both scores are too optimistic."""
    by_name: bool
    """Whether images are matched by file name, because the data's fingerprints differ."""
    left_out: tuple[int, int]
    """Numbers of images in A's and in B's set that the other's set lacks."""
    paired: Paired
    layers: tuple[str, ...]
    """See `differences.layers`; empty if the networks are the same."""
    values: tuple[Changed, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        p = self.paired
        sides = {
            side: {
                "run": run.folder.as_posix(),
                "accuracy": scores.accuracy,
                "macro_f1": scores.macro_f1,
                "only_right": only,
            }
            for side, run, scores, only in (("a", self.a, p.a, p.only_a), ("b", self.b, p.b, p.only_b))
        }
        return {
            **sides,
            "split": self.split,
            "by_name": self.by_name,
            "left_out": list(self.left_out),
            "images": p.images,
            "alike": p.alike,
            "accuracy_difference": dataclasses.asdict(p.accuracy),
            "macro_f1_difference": dataclasses.asdict(p.macro_f1),
            "images_needed": p.needed,
            "layers": list(self.layers),
            "values": {changed.key: [changed.a, changed.b] for changed in self.values},
        }


def compare(a: str | os.PathLike[str], b: str | os.PathLike[str], *, seed: int = 0) -> Comparison:
    """Return how the runs in the folders `a` and `b` differ; `seed` seeds the bootstrap.

    Images are matched by index if the data have the same fingerprint, otherwise by file name. Raises UserError if one
    is not a run, is damaged, has no predictions, or was tested on other images or classes.
    """
    runs = saved.read(Path(a)), saved.read(Path(b))
    _check_classes(*runs)
    split = _split(*runs)
    both = runs[0].predictions[split], runs[1].predictions[split]
    by_name = not _same_data(*runs)
    places = _common(runs, both, split, by_name)
    renumbered = np.array([runs[0].classes.index(name) for name in runs[1].classes], np.int64)
    truth = both[0].truth[places[0]]
    _check_truth(runs, truth, renumbered[both[1].truth[places[1]]])
    return Comparison(
        *runs,
        runs[0].classes,
        split,
        by_name,
        (len(both[0]) - len(truth), len(both[1]) - len(truth)),
        paired(
            truth,
            both[0].prediction[places[0]],
            renumbered[both[1].prediction[places[1]]],
            len(runs[0].classes),
            seed=seed,
        ),
        differences.layers(*runs),
        differences.values(*runs),
    )


def _check_classes(a: SavedRun, b: SavedRun) -> None:
    """Raise UserError if the classes are not the same; their order may differ."""
    lacks = [
        f"only {run.folder} has {_some([name for name in run.classes if name not in other.classes])}"
        for run, other in ((a, b), (b, a))
        if set(run.classes) - set(other.classes)
    ]
    if lacks:
        raise UserError(
            f"{a.folder} and {b.folder} have different classes: {'; '.join(lacks)}",
            "train both with the same --classes",
        )


def _split(a: SavedRun, b: SavedRun) -> SplitName:
    """Return the split to compare on. Raises UserError if there is none."""
    for run in (a, b):
        if not run.predictions:
            why = "it did not finish" if run.result is None else "it had neither a test nor a validation set"
            raise UserError(
                f"{run.folder} has no predictions: {why}", "train it to the end, with --test or --validation"
            )
    if "test" in a.predictions and "test" in b.predictions:
        return "test"
    if "validation" in a.predictions and "validation" in b.predictions:
        return "validation"
    raise UserError(
        f"{a.folder} has predictions for {' and '.join(a.predictions)} images, but "
        f"{b.folder} for {' and '.join(b.predictions)} images",
        "a paired test needs the same images: train both with the same --test and --validation",
    )


def _same_data(a: SavedRun, b: SavedRun) -> bool:
    fingerprint = a.record.about.data.fingerprint
    return bool(fingerprint) and fingerprint == b.record.about.data.fingerprint


def _common(
    runs: tuple[SavedRun, SavedRun], both: tuple[Predictions, Predictions], split: SplitName, by_name: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions in each set of the images that are in both. Raises UserError if there are none."""
    names = f"{runs[0].folder} and {runs[1].folder}"
    if by_name and None in (both[0].names, both[1].names):
        raise UserError(
            f"{names} were trained on different data: {_data(runs[0])} and {_data(runs[1])}",
            "a paired test needs the same images: train both on the same data",
        )
    one, two = (
        np.asarray(predictions.names if by_name else _index(predictions, run))
        for predictions, run in zip(both, runs, strict=True)
    )
    _, here, there = np.intersect1d(one, two, return_indices=True)
    if not len(here):
        other = f"; their data differ: {_data(runs[0])} and {_data(runs[1])}" if by_name else ""
        raise UserError(
            f"{names} have no {split} images in common{other}",
            "train both on the same data with the same --split-seed, which determines the sets",
        )
    order = np.argsort(here)  # in the order of A's set, so that the bootstrap does not depend on names
    return here[order].astype(np.int64), there[order].astype(np.int64)


def _check_truth(runs: tuple[SavedRun, SavedRun], truth: NDArray[np.int64], other: NDArray[np.int64]) -> None:
    """Raise UserError if the same image has one class in A and another in B."""
    differ = np.flatnonzero(truth != other)
    if len(differ):
        classes = [display.name(runs[0].classes[labels[differ[0]]], 30) for labels in (truth, other)]
        raise UserError(
            f"{runs[0].folder} and {runs[1].folder}: {display.count(len(differ))} of the images have different labels, "
            f"such as {classes[0]} in one and {classes[1]} in the other",
            "the labels changed between the two runs: train both on the same data",
        )


def _index(predictions: Predictions, run: SavedRun) -> NDArray[np.int64]:
    if predictions.index is None:
        raise UserError(f"{run.folder}: predictions.npz does not identify its images", "train the run again")
    return predictions.index


def _data(run: SavedRun) -> str:
    about = run.record.about.data
    name, fingerprint = about.name or "?", about.fingerprint or "?"
    size = times(about.image) or "?"
    return f"{display.name(name, 30)} ({size}, fingerprint {display.name(fingerprint[:8])}…)"


def _some(names: list[str]) -> str:
    return ", ".join(display.name(name, 30) for name in names[:5]) + (", …" if len(names) > 5 else "")
