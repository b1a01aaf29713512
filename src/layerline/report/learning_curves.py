"""The curves of the page, and the table that says the same in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.numbers import display
from layerline.report import drawing, merits
from layerline.report.merits import MERITS
from layerline.runs.history import best as best_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result
    from layerline.runs.saved import SavedRun

MOST_ROWS: Final = 200
"""Epochs in the table; of more, evenly spread ones are shown."""


@dataclass(frozen=True)
class Chart:
    """A chart with its heading."""

    title: str
    svg: str


@dataclass(frozen=True)
class LearningCurves:
    """The whole section."""

    charts: tuple[Chart, ...]
    sets: tuple[str, ...]
    """What the lines are: training, validation, test."""
    heads: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], bool], ...]
    """The cells of an epoch, and whether it is the best."""
    note: str
    summary: str


def of(run: SavedRun) -> LearningCurves:
    """Return the curves of a run with at least one epoch."""
    history, best, sets = run.history, run.best, merits.sets(run.history)
    at_best = [k for k, row in enumerate(history) if row is best]
    chosen = drawing.thin(len(history), at_best, MOST_ROWS)
    note = f"{len(chosen)} of {display.count(len(history))} epochs; all are in history.jsonl."
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
    """Return a chart for each merit that has a finite number. more: what a screen reader says behind its values."""
    found, best = [], best_of(history)
    for merit in MERITS:
        lines, level = merit.curves(history), merit.of(result)
        if lines:
            ends = [(line.label, merit.shown(line.points[0][1]), merit.shown(line.points[-1][1])) for line in lines]
            says = [f"{label} from {first} to {last}" for label, first, last in ends]
            says += [] if level is None else [f"test {merit.shown(level)}"]
            summary = f"{'; '.join(says)}.{more}"
            found.append(
                Chart(merit.title, drawing.chart(merit, summary, lines, level, None if best is None else best.epoch))
            )
    return found


def _cells(row: EpochRow, sets: Sequence[str]) -> tuple[str, ...]:
    cells = [display.count(row.epoch)]
    for prefix in sets:
        cells.append(display.loss(getattr(row, f"{prefix}_loss")))
        cells += [display.fraction(getattr(row, f"{prefix}_{name}")) for name in ("accuracy", "macro_f1")]
    return (*cells, display.rate(row.learning_rate), display.seconds(row.seconds))


def _summary(run: SavedRun) -> str:
    best = "" if run.best is None else f" The best was epoch {run.best.epoch}, marked by a star: the model is of it."
    return f"{length(run.history)}.{best}"


def length(history: Sequence[EpochRow]) -> str:
    """Return how many epochs there were, and how long they took together: `10 epochs in 12.3 s`."""
    epochs = display.counted(len(history), "epoch")
    return f"{epochs} in {display.seconds(sum(row.seconds for row in history))}" if history else epochs
