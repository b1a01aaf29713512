"""The curves of the page, and the table that says the same in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline import figures
from layerline.report import drawing
from layerline.report.curves import MERITS

if TYPE_CHECKING:
    from layerline.report.curves import Merit
    from layerline.runs.history import EpochRow
    from layerline.runs.saved import SavedRun

MOST_ROWS: Final = 200
"""Epochs in the table; of more, evenly spread ones are shown."""
_SETS: Final = (("training", "train"), ("validation", "validation"))


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
    """Return the curves of a run with at least one epoch; a merit without a finite number has no chart."""
    history, best = run.history, run.best
    found = [_chart(run, merit) for merit in MERITS]
    charts = tuple(chart for chart in found if chart is not None)
    held = any(row.validation_loss is not None for row in history)
    sets = [name for name, _ in _SETS[: 1 + held]] + (["test"] if run.tested else [])
    at_best = [k for k, row in enumerate(history) if row is best]
    chosen = drawing.thin(len(history), at_best, MOST_ROWS)
    note = f"{len(chosen)} of {figures.count(len(history))} epochs; all are in history.jsonl."
    heads = ["epoch"]
    for name, _ in _SETS[: 1 + held]:
        heads += [f"{name} loss", f"{name} accuracy", f"{name} macro F1"]
    heads += ["learning rate", "time"]
    return LearningCurves(
        charts,
        tuple(sets),
        tuple(heads),
        tuple((_cells(history[k], held), history[k] is best) for k in chosen),
        note if len(chosen) < len(history) else "",
        _summary(run),
    )


def _chart(run: SavedRun, merit: Merit) -> Chart | None:
    lines, says = [], []
    for name, prefix in _SETS:
        finite = merit.points(run.history, prefix)
        if finite:
            lines.append(drawing.Curve(name, name, finite))
            says.append(f"{name} from {merit.shown(finite[0][1])} to {merit.shown(finite[-1][1])}")
    if not lines:
        return None
    level = None if run.result is None else merit.of(run.result)
    if level is not None:
        says.append(f"test {merit.shown(level)}")
    best = None if run.best is None else run.best.epoch
    summary = "; ".join(says) + ". All values are in the table below."
    svg = drawing.chart(merit.title, summary, lines, level, best, merit.shown, may_be_log=not merit.is_share)
    return Chart(merit.title, svg)


def _cells(row: EpochRow, held: bool) -> tuple[str, ...]:
    cells = [figures.count(row.epoch)]
    for _, prefix in _SETS[: 1 + held]:
        cells.append(figures.loss(getattr(row, f"{prefix}_loss")))
        cells += [figures.fraction(getattr(row, f"{prefix}_{name}")) for name in ("accuracy", "macro_f1")]
    return (*cells, figures.rate(row.learning_rate), figures.seconds(row.seconds))


def _summary(run: SavedRun) -> str:
    count = len(run.history)
    epochs = "1 epoch" if count == 1 else f"{figures.count(count)} epochs"
    total = figures.seconds(sum(row.seconds for row in run.history))
    best = "" if run.best is None else f" The best was epoch {run.best.epoch}, marked by a star: the model is of it."
    return f"{epochs} in {total}.{best}"
