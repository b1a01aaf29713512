"""What the page begins with: how good the network is, how sure that is, and what can be had without it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from layerline import figures, metrics
from layerline.report.drawing import Bar, scale

if TYPE_CHECKING:
    from layerline.runs.saved import SavedRun

_NAMES: Final = {"accuracy": "Accuracy", "macro_f1": "Macro F1"}


@dataclass(frozen=True)
class Headline:
    """The first figures of the page."""

    summary: str
    """A sentence: what was measured, on how many images."""
    state: tuple[str, ...]
    """Sentences about what is missing: no test set, stopped."""
    merits: tuple[Merit, ...]
    loss: str
    """Of the same images; empty where it is not known."""


@dataclass(frozen=True)
class Merit:
    """One figure with its interval and its baselines."""

    name: str
    reads: str
    interval: str
    rows: tuple[tuple[str, str], ...]
    drawing: str


def of(run: SavedRun) -> Headline:
    """Return the first figures of a run; of the validation set where there was no test."""
    result = run.result or {}
    if run.tested:
        counts = run.confusion("test")
        state: tuple[str, ...] = ()
        values = {name: result.get(f"test_{name}") for name in _NAMES}
        where = "the test images" if counts is None else f"{figures.count(int(counts.sum()))} test images"
        loss = result.get("test_loss")
    else:
        values, where, loss = _validation(run)
        state = _missing(run, where)
    summary = f"Measured on {where}{_of_epoch(run)}." if where else ""
    intervals, baselines = _table(result.get("intervals")), _table(result.get("baselines"))
    merits = [
        _merit(name, values[name], intervals.get(f"test_{name}") if run.tested else None, baselines)
        for name in _NAMES
        if values.get(name) is not None
    ]
    return Headline(summary, state, tuple(merits), "" if loss is None else figures.loss(loss))


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _of_epoch(run: SavedRun) -> str:
    return "" if run.best is None else f" with the weights of epoch {run.best.epoch}, the best"


def _validation(run: SavedRun) -> tuple[dict[str, float | None], str, float | None]:
    """Return the figures of the validation set at the best epoch, what they are of (empty: nothing), and the loss."""
    confusion = run.confusion("validation")
    if confusion is not None:
        scores = metrics.measure(confusion)
        values: dict[str, float | None] = {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
        loss = None if run.best is None else run.best.validation_loss
        return values, f"{figures.count(int(confusion.sum()))} validation images", loss
    if run.best is not None and run.best.validation_accuracy is not None:
        return (
            {"accuracy": run.best.validation_accuracy, "macro_f1": run.best.validation_macro_f1},
            "the validation images",
            run.best.validation_loss,
        )
    return {}, "", None


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
    cause = causes.get(run.ending.get("ended") or "", " or ".join(causes.values()))
    steps = run.ending.get("steps") or 0
    after = f" {figures.count(steps)} steps into epoch {len(run.history) + 1}" if steps else ""
    return cause + after


def _merit(name: str, value: Any, interval: Any, baselines: dict[str, Any]) -> Merit:
    value = math.nan if value is None else float(value)
    bounds = None
    if isinstance(interval, list | tuple) and len(interval) == 2 and None not in interval:
        bounds = float(interval[0]), float(interval[1])
    between = "" if bounds is None else f"95 % interval: {_share(bounds[0])} to {_share(bounds[1])}"
    rows = [("this network", value, "own")]
    thumbnails, nearest, largest = (_table(baselines.get(key)) for key in ("thumbnails", "nearest", "largest_class"))
    if thumbnails.get(name) is not None:
        rows.append(("logistic regression on 16×16 thumbnails", float(thumbnails[name]), "other"))
    if nearest.get(name) is not None:
        rows.append(("nearest training image by 16×16 thumbnails", float(nearest[name]), "other"))
    if largest.get(name) is not None:
        rows.append((f"always “{figures.name(str(largest.get('class', '')), 20)}”", float(largest[name]), "other"))
    read = tuple((label, _share(share)) for label, share, _ in rows)
    bars = [
        Bar(label, style, share, _share(share), bounds if style == "own" else None)
        for label, share, style in rows
        if math.isfinite(share)
    ]
    summary = "; ".join(f"{label} {share}" for label, share in read) + (f"; {between}" if between else "")
    drawing = scale(_NAMES[name], summary, bars) if bars else ""
    return Merit(_NAMES[name], _share(value), between, read, drawing)


def _share(value: float) -> str:
    return figures.percent(value, 2)
