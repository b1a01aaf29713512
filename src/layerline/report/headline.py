"""The first section of the page: the scores of the network with their intervals, and the baselines."""

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
    """The scores at the top of the page."""

    summary: str
    """A sentence: which weights were evaluated, on how many images."""
    state: tuple[str, ...]
    """Sentences about what is missing: no test set, stopped."""
    scores: tuple[Score, ...]
    loss: str
    """Of the same images; empty if not known."""


@dataclass(frozen=True)
class Score:
    """One score with its interval and its baselines."""

    name: str
    reads: str
    """As displayed."""
    interval: str
    compared: bool
    """Whether a baseline is drawn next to it."""
    drawing: str


def of(run: SavedRun) -> Headline:
    """Return the scores of a run: on the test set, or without a test on the validation set."""
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
    summary = f"Evaluated on {where}{_of_epoch(run)}." if where else ""
    return Headline(summary, state, tuple(scores), "" if loss is None else display.loss(loss))


def _of_epoch(run: SavedRun) -> str:
    return "" if run.best is None else f" with the weights from epoch {run.best.epoch}, the best epoch"


def _validation(run: SavedRun) -> tuple[str, ScoreRow, float | None]:
    """Return on what the best epoch was validated (empty: nothing), its scores, and its loss."""
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
        first = f"This training did not finish: {_cause(run)}. No test was run."
    else:
        first = "There was no test set (--test), so no test was run."
    if where:
        return (
            first,
            "These scores are from the validation set, which was used to choose the best epoch: expect somewhat lower "
            "scores on new images.",
        )
    if run.history and run.history[-1].validation_accuracy is None:
        return (
            first,
            "There was no validation set either: the training metrics below show how well the network fits the "
            "training images, not how well it will do on new ones.",
        )
    return (first,)


def _cause(run: SavedRun) -> str:
    causes = {"stopped": "it was stopped", "diverged": "its loss became NaN or infinite"}
    if run.ending is None:
        return " or ".join(causes.values())
    steps = run.ending.steps
    after = f" {display.count(steps)} steps into epoch {len(run.history) + 1}" if steps else ""
    return causes[run.ending.ended] + after


def _scores(network: ScoreRow, simpler: Sequence[ScoreRow]) -> Iterator[Score]:
    """Yield accuracy and macro F1, each with its interval and baselines if known."""
    if network.accuracy is not None:
        baselines = [(row.label, row.accuracy) for row in simpler]
        yield _score("Accuracy", network.label, network.accuracy, network.accuracy_interval, baselines)
    if network.macro_f1 is not None:
        baselines = [(row.label, row.macro_f1) for row in simpler]
        yield _score("Macro F1", network.label, network.macro_f1, network.macro_f1_interval, baselines)


def _score(
    name: str,
    label: str,
    value: float,
    bounds: tuple[float, float] | None,
    baselines: Sequence[tuple[str, float | None]],
) -> Score:
    interval = "" if bounds is None else f"95% confidence interval: {_percent(bounds[0])} to {_percent(bounds[1])}"
    rows = [(label, value), *((label, other) for label, other in baselines if other is not None)]
    bars = [
        Bar(label, "other" if k else "own", each, _percent(each), None if k else bounds)
        for k, (label, each) in enumerate(rows)
        if math.isfinite(each)
    ]
    summary = "; ".join([f"{label} {_percent(each)}" for label, each in rows] + [interval] * bool(interval))
    return Score(name, _percent(value), interval, len(rows) > 1, scale(name, summary, bars) if bars else "")


def _percent(value: float) -> str:
    return display.percent(value, 2)
