"""The section about the folds of a cross-validation: one row each, and their means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.numbers import display
from layerline.runs.series_runs import FIGURES

if TYPE_CHECKING:
    from layerline.runs.fold_runs import FoldRuns
    from layerline.runs.series_runs import Mean

_HEADS: Final = ("fold", "validation loss", "test accuracy", "test macro F1")


@dataclass(frozen=True)
class FoldTable:
    """The folds as text."""

    heading: str
    text: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[tuple[str, ...], ...]
    """The mean, and if there are at least two folds, half its 95% interval and the standard deviation."""


def of(folds: FoldRuns) -> FoldTable:
    """Return the table of the finished folds."""
    means = [folds.means.get(metric) for metric in FIGURES]
    rows = [
        (str(number), *(_cell(metric, _value(mean, k, folds)) for metric, mean in zip(FIGURES, means, strict=True)))
        for k, number in enumerate(folds.finished)
    ]
    totals = [("mean", *(_cell(metric, _mean(mean)) for metric, mean in zip(FIGURES, means, strict=True)))]
    if len(folds.finished) > 1:
        half = [None if mean is None or mean.high is None else mean.high - mean.mean for mean in means]
        spread = [None if mean is None else mean.deviation for mean in means]
        for name, values in (("± (95%)", half), ("deviation", spread)):
            totals.append((name, *(_cell(metric, value) for metric, value in zip(FIGURES, values, strict=True))))
    return FoldTable(_heading(folds), _text(folds), _HEADS, tuple(rows), tuple(totals))


def _heading(folds: FoldRuns) -> str:
    found, asked = len(folds.finished), folds.folds or len(folds.finished)
    return f"{asked} folds" if found == asked else f"{found} of {asked} folds"


def _text(folds: FoldRuns) -> str:
    """Return sentences about the interval and the folds that are missing."""
    text = "± is half the 95% confidence interval of the mean (Student's t), approximate because folds share images."
    if folds.diverged:
        numbers = ", ".join(map(str, folds.diverged))
        text += f" Excluded because the loss became NaN or infinite: {numbers}."
    if folds.stopped is not None:
        text += " The cross-validation was stopped before its end."
    return text


def _value(mean: Mean | None, k: int, folds: FoldRuns) -> float | None:
    """Return the value of the k-th finished fold; None if some folds lack it, because it is then unknown which."""
    return mean.values[k] if mean is not None and len(mean.values) == len(folds.finished) else None


def _mean(mean: Mean | None) -> float | None:
    return None if mean is None else mean.mean


def _cell(metric: str, value: float | None) -> str:
    return display.loss(value) if metric == "validation_loss" else display.fraction(value)
