"""What the page begins with: how good the network is, how sure that is, and what can be had without it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.measure import score_rows
from layerline.numbers import display
from layerline.report.drawing import Bar, scale
from layerline.runs import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerline.measure.score_rows import ScoreRow
    from layerline.runs.saved import SavedRun


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
    compared: bool
    """Whether a baseline is drawn beside it."""
    drawing: str


def of(run: SavedRun) -> Headline:
    """Return the first figures of a run; of the validation set where there was no test."""
    result = run.result
    if result is not None and result.tested:
        counts = run.confusion("test")
        where = "the test images" if counts is None else f"{display.count(int(counts.sum()))} test images"
        state: tuple[str, ...] = ()
        scores = _scores(score_rows.own(result), score_rows.simpler(result))
        loss = result.test_loss
    else:
        where, network, loss = _validation(run)
        state = _missing(run, where)
        scores = _scores(network, ())
    summary = f"Measured on {where}{_of_epoch(run)}." if where else ""
    return Headline(summary, state, tuple(scores), "" if loss is None else display.loss(loss))


def _of_epoch(run: SavedRun) -> str:
    return "" if run.best is None else f" with the weights of epoch {run.best.epoch}, the best"


def _validation(run: SavedRun) -> tuple[str, ScoreRow, float | None]:
    """Return what the figures of the validation set at the best epoch are of (empty: nothing), and the figures."""
    confusion, best = run.confusion("validation"), run.best
    loss = None if best is None else best.validation_loss
    if confusion is not None:
        scores = metrics.measure(confusion)
        where = f"{display.count(int(confusion.sum()))} validation images"
        return where, score_rows.network(scores.accuracy, scores.macro_f1), loss
    if best is not None and best.validation_accuracy is not None:
        return "the validation images", score_rows.network(best.validation_accuracy, best.validation_macro_f1), loss
    return "", score_rows.network(None, None), None


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
    after = f" {display.count(steps)} steps into epoch {len(run.history) + 1}" if steps else ""
    return causes[run.ending.ended] + after


def _scores(network: ScoreRow, simpler: Sequence[ScoreRow]) -> Iterator[Score]:
    """Yield accuracy and macro F1, each with its interval and baselines as far as they are known."""
    if network.accuracy is not None:
        beside = [(row.label, row.accuracy) for row in simpler]
        yield _score("Accuracy", network.label, network.accuracy, network.accuracy_interval, beside)
    if network.macro_f1 is not None:
        beside = [(row.label, row.macro_f1) for row in simpler]
        yield _score("Macro F1", network.label, network.macro_f1, network.macro_f1_interval, beside)


def _score(
    name: str,
    label: str,
    value: float,
    bounds: tuple[float, float] | None,
    beside: Sequence[tuple[str, float | None]],
) -> Score:
    between = "" if bounds is None else f"95 % interval: {_share(bounds[0])} to {_share(bounds[1])}"
    rows = [(label, value), *((label, share) for label, share in beside if share is not None)]
    bars = [
        Bar(label, "other" if k else "own", share, _share(share), None if k else bounds)
        for k, (label, share) in enumerate(rows)
        if math.isfinite(share)
    ]
    summary = "; ".join([f"{label} {_share(share)}" for label, share in rows] + [between] * bool(between))
    return Score(name, _share(value), between, len(rows) > 1, scale(name, summary, bars) if bars else "")


def _share(value: float) -> str:
    return display.percent(value, 2)
