"""The learning curves of the page, and the same values as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.numbers import display
from layerline.report import drawing, plotted_metrics
from layerline.report.plotted_metrics import PLOTTED
from layerline.runs.history import best as best_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result
    from layerline.runs.saved import SavedRun

MOST_ROWS: Final = 200
"""Maximum number of epochs in the table; of more, evenly spaced ones are shown."""


@dataclass(frozen=True)
class Chart:
    """A chart with its heading."""

    title: str
    svg: str


@dataclass(frozen=True)
class LearningCurves:
    """The section with the charts and the table."""

    charts: tuple[Chart, ...]
    sets: tuple[str, ...]
    """The names of the lines: training, validation, test."""
    heads: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], bool], ...]
    """The cells of each epoch, and whether it is the best."""
    note: str
    summary: str


def of(run: SavedRun) -> LearningCurves:
    """Return the curves of a run with at least one epoch."""
    history, best, sets = run.history, run.best, plotted_metrics.sets(run.history)
    at_best = [k for k, row in enumerate(history) if row is best]
    chosen = drawing.thin(len(history), at_best, MOST_ROWS)
    note = f"{len(chosen)} of {display.count(len(history))} epochs; history.jsonl has all."
    heads = ["epoch"]
    for name, _ in sets:
        heads += [f"{name} loss", f"{name} accuracy", f"{name} macro F1"]
    heads += ["learning rate", "time"]
    return LearningCurves(
        tuple(charts(history, run.result, " All values are in the table below.")),
        (*(name for name, _ in sets), *(["test"] if run.tested else [])),
        tuple(heads),
        tuple((_cells(history[k], [prefix for _, prefix in sets]), history[k] is best) for k in chosen),
        note if len(chosen) < len(history) else "",
        _summary(run),
    )


def charts(history: Sequence[EpochRow], result: Result | None, more: str = "") -> list[Chart]:
    """Return a chart of each metric that has a finite value. more: text for screen readers after its values."""
    found, best = [], best_of(history)
    for metric in PLOTTED:
        lines, level = metric.curves(history), metric.of(result)
        if lines:
            ends = [(line.label, metric.text(line.points[0][1]), metric.text(line.points[-1][1])) for line in lines]
            parts = [f"{label} from {first} to {last}" for label, first, last in ends]
            parts += [] if level is None else [f"test {metric.text(level)}"]
            summary = f"{'; '.join(parts)}.{more}"
            found.append(
                Chart(metric.title, drawing.chart(metric, summary, lines, level, None if best is None else best.epoch))
            )
    return found


def _cells(row: EpochRow, sets: Sequence[str]) -> tuple[str, ...]:
    cells = [display.count(row.epoch)]
    for prefix in sets:
        cells.append(display.loss(getattr(row, f"{prefix}_loss")))
        cells += [display.fraction(getattr(row, f"{prefix}_{name}")) for name in ("accuracy", "macro_f1")]
    return (*cells, display.rate(row.learning_rate), display.seconds(row.seconds))


def _summary(run: SavedRun) -> str:
    best = "" if run.best is None else f" Best epoch: {run.best.epoch} (★); its weights are the saved model."
    return f"{length(run.history)}.{best}"


def length(history: Sequence[EpochRow]) -> str:
    """Return the number of epochs and their total time: `10 epochs in 12.3 s`."""
    epochs = display.counted(len(history), "epoch")
    return f"{epochs} in {display.seconds(sum(row.seconds for row in history))}" if history else epochs
