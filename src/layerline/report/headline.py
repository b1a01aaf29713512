"""What the page begins with: how good the network is, how sure that is, and what can be had without it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline import figures, metrics
from layerline.report.drawing import Bar, scale

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerline.runs.result import Baseline, Baselines, Result
    from layerline.runs.saved import SavedRun

_SIMPLE: Final = {
    "thumbnails": "logistic regression on 16×16 thumbnails",
    "nearest": "nearest training image by 16×16 thumbnails",
}


@dataclass(frozen=True)
class Headline:
    """The first figures of the page."""

    summary: str
    """A sentence: what was measured, on how many images."""
    state: tuple[str, ...]
    """Sentences about what is missing: no test set, stopped."""
    scores: tuple[Score, ...]
    loss: str
    """Of the same images; empty where it is not known."""


@dataclass(frozen=True)
class Score:
    """One score with its interval and its baselines."""

    name: str
    reads: str
    interval: str
    rows: tuple[tuple[str, str], ...]
    drawing: str


def of(run: SavedRun) -> Headline:
    """Return the first figures of a run; of the validation set where there was no test."""
    result = run.result
    if result is not None and result.tested:
        counts = run.confusion("test")
        where = "the test images" if counts is None else f"{figures.count(int(counts.sum()))} test images"
        values = _Values(result.test_accuracy, result.test_macro_f1, result.test_loss)
        state: tuple[str, ...] = ()
    else:
        where, values = _validation(run)
        state = _missing(run, where)
    summary = f"Measured on {where}{_of_epoch(run)}." if where else ""
    return Headline(
        summary,
        state,
        tuple(_scores(values, result)),
        "" if values.loss is None else figures.loss(values.loss),
    )


@dataclass(frozen=True)
class _Values:
    """What was measured on some images."""

    accuracy: float | None = None
    macro_f1: float | None = None
    loss: float | None = None


def _of_epoch(run: SavedRun) -> str:
    return "" if run.best is None else f" with the weights of epoch {run.best.epoch}, the best"


def _validation(run: SavedRun) -> tuple[str, _Values]:
    """Return what the figures of the validation set at the best epoch are of (empty: nothing), and the figures."""
    confusion, best = run.confusion("validation"), run.best
    if confusion is not None:
        scores = metrics.measure(confusion)
        where = f"{figures.count(int(confusion.sum()))} validation images"
        return where, _Values(scores.accuracy, scores.macro_f1, None if best is None else best.validation_loss)
    if best is not None and best.validation_accuracy is not None:
        values = _Values(best.validation_accuracy, best.validation_macro_f1, best.validation_loss)
        return "the validation images", values
    return "", _Values()


def _missing(run: SavedRun, where: str) -> tuple[str, ...]:
    if run.result is None:
        first = f"This training did not come to its end: {_cause(run)}. So nothing was tested."
    else:
        first = "There was no test set (--test), so nothing was tested."
    if where:
        return (
            first,
            "The figures are of the validation set, by which the best epoch was chosen: new ones may do worse.",
        )
    if run.history and run.history[-1].validation_accuracy is None:
        return (
            first,
            "There was no validation set either: the figures of the training images, below, say how well the network "
            "remembers them, not how well it will do on new ones.",
        )
    return (first,)


def _cause(run: SavedRun) -> str:
    causes = {"stopped": "it was stopped", "diverged": "its loss was no longer a number"}
    if run.ending is None:
        return " or ".join(causes.values())
    steps = run.ending.steps
    after = f" {figures.count(steps)} steps into epoch {len(run.history) + 1}" if steps else ""
    return causes[run.ending.ended] + after


def _scores(values: _Values, result: Result | None) -> Iterator[Score]:
    """Yield accuracy and macro F1, each with its interval and baselines as far as they are known."""
    intervals = (result.intervals or {}) if result is not None and result.tested else {}
    baselines = {} if result is None or result.baselines is None else result.baselines
    if values.accuracy is not None:
        beside = [(label, baseline.get("accuracy")) for label, baseline in _named(baselines)]
        yield _score("Accuracy", values.accuracy, intervals.get("test_accuracy"), beside)
    if values.macro_f1 is not None:
        beside = [(label, baseline.get("macro_f1")) for label, baseline in _named(baselines)]
        yield _score("Macro F1", values.macro_f1, intervals.get("test_macro_f1"), beside)


def _named(baselines: Baselines) -> Iterator[tuple[str, Baseline]]:
    """Yield the baselines with what they are called."""
    for key, label in _SIMPLE.items():
        if key in baselines:
            yield label, baselines[key]
    if "largest_class" in baselines:
        largest = baselines["largest_class"]
        yield f"always “{figures.name(largest.get('class', ''), 20)}”", largest


def _score(
    name: str, value: float, bounds: tuple[float, float] | None, beside: Sequence[tuple[str, float | None]]
) -> Score:
    between = "" if bounds is None else f"95 % interval: {_share(bounds[0])} to {_share(bounds[1])}"
    others = [(label, share, "other") for label, share in beside if share is not None]
    rows = [("this network", value, "own"), *others]
    read = tuple((label, _share(share)) for label, share, _ in rows)
    bars = [
        Bar(label, style, share, _share(share), bounds if style == "own" else None)
        for label, share, style in rows
        if math.isfinite(share)
    ]
    summary = "; ".join(f"{label} {share}" for label, share in read) + (f"; {between}" if between else "")
    drawing = scale(name, summary, bars) if bars else ""
    return Score(name, _share(value), between, read, drawing)


def _share(value: float) -> str:
    return figures.percent(value, 2)
