"""A run as a notebook displays it, finished or still training: scores, curves as inline SVG, remarks.

The HTML is self-contained: it loads nothing, and all text from outside is escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from layerline.errors.python_terms import in_python
from layerline.measure import remarks, score_rows
from layerline.numbers import display
from layerline.report import learning_curves, plotted_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result


_STYLE: Final = (
    "<style>"
    ".layerline-run{font-size:14px;line-height:1.5;max-width:72rem}"
    ".layerline-run .charts{display:flex;flex-wrap:wrap;gap:8px}"
    ".layerline-run figure{margin:0;flex:1 1 280px;max-width:420px}"
    ".layerline-run svg{display:block;width:100%;height:auto}"
    ".layerline-run svg text{font-size:12.5px;fill:currentColor}"
    ".layerline-run svg .tick{font-size:11.5px;opacity:.75}"
    ".layerline-run svg .grid{stroke:currentColor;stroke-opacity:.2;fill:none}"
    ".layerline-run .training{color:#1f87c9}.layerline-run .validation{color:#d55e00}"
    ".layerline-run svg .training,.layerline-run svg .validation{fill:none;stroke:currentColor;stroke-width:2}"
    ".layerline-run svg .validation>path{stroke-dasharray:7 3}"
    ".layerline-run svg g circle,.layerline-run svg g rect{fill:currentColor;stroke:none}"
    ".layerline-run svg .test{stroke:currentColor;stroke-width:1.6;stroke-dasharray:2 4;fill:none}"
    ".layerline-run svg .star{fill:currentColor;stroke:none}"
    ".layerline-run p{margin:.3em 0}.layerline-run ul{margin:.3em 0}"
    "</style>"
)


def run(history: Sequence[EpochRow], result: Result, model_epoch: int, stopped: bool, folder: str | None) -> str:
    """Return a finished or stopped run as HTML."""
    parts = [_paragraph(_ending(history, model_epoch, stopped))]
    parts += _tested(result)
    parts.append(_charts(history, result))
    items = [f"<li>{escape(in_python(text))}</li>" for text in remarks.shown(result.remarks)]
    parts += [f"<ul>{''.join(items)}</ul>"] if items else []
    parts += [] if folder is None else [_paragraph(f"written to {display.name(folder, 200)}")]
    return _whole(parts)


def training(history: Sequence[EpochRow], line: str) -> str:
    """Return a run that is still training as HTML; `line`: its progress."""
    return _whole([_paragraph(line), _charts(history, None)])


def _whole(parts: Sequence[str]) -> str:
    return f'<div class="layerline-run">{_STYLE}{"".join(parts)}</div>'


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _ending(history: Sequence[EpochRow], model_epoch: int, stopped: bool) -> str:
    model = f"; saved weights: epoch {model_epoch}" if model_epoch else ""
    return "stopped after " * stopped + learning_curves.length(history) + model


def _tested(result: Result) -> list[str]:
    """Return the test scores with their intervals, and the baselines."""
    if result.test_loss is None:
        return [_paragraph("no test results")]
    network, parts = score_rows.own(result), []
    for name, value, between in (
        ("accuracy", network.accuracy, network.accuracy_interval),
        ("macro F1", network.macro_f1, network.macro_f1_interval),
    ):
        spread = f" ({display.interval(between)})" if between else ""
        parts.append(f"<b>{name} {display.fraction(value)}</b>{spread}")
    text = f"<p>test: {', '.join(parts)}, loss {display.loss(result.test_loss)}</p>"
    simpler = [f"{row.label}: {display.fraction(row.accuracy)}" for row in score_rows.simpler(result)]
    return [text, _paragraph("baselines, accuracy: " + "; ".join(simpler))] if simpler else [text]


def _charts(history: Sequence[EpochRow], result: Result | None) -> str:
    if not history:
        return ""
    key = " · ".join(f'<span class="{name}">{name}</span>' for name, _ in plotted_metrics.sets(history))
    key += " · test (dotted)" if result is not None and result.tested else ""
    drawn = "".join(
        f"<figure><figcaption>{escape(chart.title)}</figcaption>{chart.svg}</figure>"
        for chart in learning_curves.charts(history, result)
    )
    return f'<div class="charts">{drawn}</div><p>{key}</p>'
