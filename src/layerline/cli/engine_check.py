"""What `layerline engine check` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.cli.columns import folded, table
from layerline.engines.cross_check import BATCHES, FACTOR, FLOOR
from layerline.network.table import headline
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.data.dataset import Dataset
    from layerline.engines.cross_check import Deviation, EngineCheck
    from layerline.network import Network
    from layerline.network.graph import Node
    from layerline.recipe import Recipe

_LONGEST_LAYER: Final = 36
_LONGEST_NAME: Final = 20
_LONGEST_OWNER: Final = 18
_MOST_NAMES: Final = 8
_TOLERANCE: Final = (
    f"tolerance: the error of a parameter's gradient (norm of its difference from float64) is at most {FACTOR:g} times "
    f"that of PyTorch in float32, or {FLOOR:g} of the largest gradient's norm"
)
_ROUNDING: Final = (
    "a ReLU or max-pool whose inputs are equal up to rounding may go either way, so a parameter is only out of "
    f"tolerance if it is in {BATCHES} batches"
)
_REPORT: Final = (
    "This is a bug in Layerline: its training may be wrong. Please report it with the lines above and the network "
    "file. Until it is fixed, --engine torch trains the same network."
)


def lines(network: Network, data: Dataset, recipe: Recipe, found: EngineCheck) -> Iterator[str]:
    """Yield the lines: what was compared, layers, parameters, the verdict."""
    compiled, torch = found.facts
    yield headline(network)
    yield f"batch: {display.counted(found.images, 'image')} of {display.name(data.name)}, seed {recipe.seed}"
    yield f"step: SGD, learning rate {display.rate(recipe.learning_rate)}, momentum {recipe.momentum:g}"
    yield f"compiled: {compiled['lanes']} lanes ({compiled['cpu']}); torch: {torch['torch']} on the CPU"
    yield ""
    yield "largest difference from float64, relative to the largest value there"
    yield ""
    head = ("output when predicting", "shape", "compiled", "torch")
    yield from table(head, [_layer(each.node, each.output) for each in found.layers])
    yield ""
    yield from _parameters(found)
    yield ""
    yield from _verdict(found)


def _layer(node: Node, output: Deviation) -> tuple[str, ...]:
    shape = "×".join(map(str, node.shape))
    return (display.name(str(node.layer), _LONGEST_LAYER), shape, *_cells(output))


def _parameters(found: EngineCheck) -> Iterator[str]:
    """Yield a line per parameter: its gradient, and its value after the step."""
    rows = [
        (
            _end(each.name) + (" *" if each.name in found.out[0] else ""),
            display.name(str(each.node.layer), _LONGEST_OWNER),
            *_cells(each.gradient),
            *_cells(each.weight),
        )
        for each in found.parameters
    ]
    head = ("parameter", "layer", "compiled", "torch", "compiled", "torch")
    head_line, *others = table(head, rows, left=(0, 1))
    at = head_line.index("compiled")
    step = head_line.rindex("compiled")
    yield f"{'':{at}}{'gradient':<{step - at}}after a step"
    yield from (head_line, *others)
    if any(each.gradient.compiled is None for each in found.parameters):
        yield f"{display.NOTHING}: zero up to rounding, as for a bias before BatchNorm"
    if found.out[0]:
        yield "*: out of tolerance in this batch"


def _end(name: str) -> str:
    """Return a parameter's name, or its end if it is long: in deep branches the end is what differs."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def _cells(deviation: Deviation) -> tuple[str, str]:
    compiled, torch = (
        display.NOTHING if value is None else f"{value:.1e}" for value in (deviation.compiled, deviation.torch)
    )
    return compiled, torch


def _verdict(found: EngineCheck) -> Iterator[str]:
    all_of_them = display.counted(len(found.parameters), "parameter")
    if found.failed:
        names = ", ".join(found.failed[:_MOST_NAMES])
        names += ", …" if len(found.failed) > _MOST_NAMES else ""
        some = f"{len(found.failed)} of {all_of_them}"
        batches = "1 batch" if len(found.out) == 1 else f"each of {len(found.out)} batches"
        yield folded(f"verdict: the compiled engine is out of tolerance for {some} in {batches}: {names}")
        yield folded(_TOLERANCE)
        yield folded(_REPORT)
        return
    yield f"verdict: the compiled engine is within tolerance for {all_of_them}"
    yield folded(_TOLERANCE)
    if found.out[0]:
        yield folded(_ROUNDING)
