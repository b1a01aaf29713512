"""The five graphs of a run, drawn into its folder as PNG and SVG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layerline.report import curves, filters, matrix, sheet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from layerline.network import Network
    from layerline.run_folder import EpochRow, Result


@dataclass(frozen=True)
class Drawn:
    """What was drawn: the files' names, and for each graph that was not drawn a sentence that says why."""

    files: tuple[str, ...]
    missing: tuple[str, ...]


def draw(
    folder: Path,
    history: Sequence[EpochRow],
    result: Result,
    network: Network,
    weights: Mapping[str, NDArray[Any]],
) -> Drawn:
    """Draw loss, accuracy, macro_f1, confusion and filters, each as .png and .svg.

    weights: those of the best epoch, under the names of `network.to_torch().state_dict()`.
    Raises UserError where the folder cannot be written.
    """
    files: list[str] = []
    missing: list[str] = []
    with sheet.look():
        for name, figure in _figures(history, result, network, weights):
            if isinstance(figure, str):
                missing.append(f"no {name}.png: {figure}")
            else:
                files += sheet.publish(figure, folder, name)
    return Drawn(tuple(files), tuple(missing))


def _figures(
    history: Sequence[EpochRow], result: Result, network: Network, weights: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, Figure | str]]:
    """Yield each graph's name with its figure, or with the reason why there is none; one figure lives at a time."""
    for merit in curves.MERITS:
        figure = curves.curve(merit, history, result) if history else None
        yield merit.name, figure or "no epoch was finished"
    if result.confusion is None:
        yield "confusion", "there is no test set"
    else:
        yield "confusion", matrix.picture(result.confusion, result.classes)
    first = filters.first_filters(network, weights)
    if first is None:
        yield "filters", "no convolution, and no FC layer that reads the image itself"
    else:
        yield "filters", filters.picture(first)
