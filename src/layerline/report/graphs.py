"""The five graphs of a run, drawn into its folder as PNG and SVG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layerline.numbers import display
from layerline.report import curves, filters, matrix
from layerline.report.plotted_metrics import PLOTTED
from layerline.runs import metrics
from layerline.system.workers import check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.network import Network
    from layerline.report.sheet import Sheet
    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result


@dataclass(frozen=True)
class Graphs:
    """What was drawn: the file names, and for each missing graph the reason."""

    files: tuple[str, ...]
    missing: tuple[str, ...]


def draw(
    folder: Path,
    history: Sequence[EpochRow],
    result: Result,
    network: Network,
    weights: Mapping[str, NDArray[Any]],
) -> Graphs:
    """Draw loss, accuracy, macro_f1, confusion and filters, each as .png and .svg.

    weights: from the best epoch, under the names of `network.to_torch().state_dict()`.
    Raises UserError if the folder cannot be written.
    """
    files: list[str] = []
    missing: list[str] = []
    for name, sheet in _sheets(history, result, network, weights):
        if isinstance(sheet, str):
            missing.append(f"no {name}.png: {sheet}")
        else:
            check()  # after a request to stop, nothing more is drawn
            files += sheet.publish(folder, name)
    return Graphs(tuple(files), tuple(missing))


def _sheets(
    history: Sequence[EpochRow], result: Result, network: Network, weights: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, Sheet | str]]:
    """Yield each graph's name with its sheet, or with the reason why there is none."""
    for metric in PLOTTED:
        sheet = curves.curve(metric, history, result) if history else None
        yield metric.name, sheet or "no epoch was finished"
    if result.confusion is None:
        yield "confusion", "there is no test set"
    elif isinstance(result.confusion, metrics.SparseCounts):
        many = display.count(metrics.MOST_DENSE)
        yield "confusion", f"there are more than {many} classes; the report lists the most frequent confusions"
    else:
        yield "confusion", matrix.picture(result.confusion, result.classes)
    first = filters.first_filters(network, weights)
    if first is None:
        yield "filters", "no convolution, and no FC layer directly on the input"
    else:
        yield "filters", filters.picture(first)
