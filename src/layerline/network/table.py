"""The table that `layerline describe` prints."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from layerline.layers import BLOCK_ENDS
from layerline.layers.grammar import times
from layerline.network.memory import PER_FROZEN, PER_PARAMETER, PER_VALUE, training_bytes
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.layers import Branches, Word
    from layerline.network.graph import Network, Node

_COLUMNS: Final = 80
_GAP: Final = "  "
_INDENT: Final = "  "
_HEAD: Final = ("layer", "output", "parameters", "multiply-adds", "memory")
_COUNTED: Final = "forward pass of one image, in Conv, Depthwise and FC"
_TOTAL: Final = (
    "the total is what the compiled engine allocates on this machine with SGD and",
    "momentum, not the sum of the rows; images and program (about 200 MB) are extra",
)
_FROZEN: Final = f"in frozen layers {PER_FROZEN} bytes per parameter, and per value of a single image"
_SAME: Final = "padding=same: TensorFlow's rule: ⌈n / stride⌉ outputs, the odd row or column at the end"
_NARROWEST: Final = 12
_LONG: Final = 10**12


def describe(network: Network, batch_size: int = 64, memory: int | None = None) -> str:
    """Return the table in 80 columns: a row per layer, the totals, what they count, and the network's notes.

    `memory` is an engine's total, in bytes; without it the total is an estimate like the rest.
    """
    layers, last = rows(network, batch_size), totals(network, batch_size, memory)
    table = [_HEAD, *layers, *last]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    left = _COLUMNS - sum(widths[1:]) - len(_GAP) * (len(_HEAD) - 1)
    widths[0] = min(widths[0], max(left, _NARROWEST))
    lines = [_line(row, widths) for row in table]
    rule = "─" * max(map(len, lines))
    return "\n".join(
        [
            headline(network),
            "",
            lines[0],
            rule,
            *lines[1 : -len(last)],
            rule,
            *lines[-len(last) :],
            "",
            f"multiply-adds: {_COUNTED}",
            f"memory: a rough estimate for a training step with {batch_size:,d} images:",
            f"{PER_PARAMETER} bytes per parameter (weight, gradient, momentum), {PER_VALUE} per value (and gradient)",
            *((_FROZEN,) if network.frozen_parameter_count else ()),
            *(_TOTAL if memory is not None else ()),
            *((_SAME,) if any(map(_pads_same, network.nodes)) else ()),
            *(f"\n{note}" for note in network.notes),
        ]
    )


def _pads_same(node: Node) -> bool:
    window = node.layer.slides()
    return window is not None and window.pads is None


def headline(network: Network) -> str:
    """Return name, input and classes: `lenet5: input 1×28×28, 10 classes`."""
    return f"{display.name(network.name, 30)}: input {times(network.input_shape)}, {network.classes} classes"


def parameters(network: Network) -> str:
    """Return the number of parameters: `61,706 parameters`, `1,290 trained and 9,248 frozen parameters`."""
    frozen = network.frozen_parameter_count
    kinds = f" trained and {display.count(frozen)} frozen" if frozen else ""
    return f"{display.count(network.parameter_count)}{kinds} parameters"


def as_html(network: Network, batch_size: int = 64) -> str:
    """Return the table as HTML for a notebook: it loads nothing, and all text is escaped."""
    head = "".join(_cell("th", name, column) for column, name in enumerate(_HEAD))
    body = "".join(
        f"<tr>{''.join(_cell('td', cell, column) for column, cell in enumerate(row))}</tr>"
        for row in (*rows(network, batch_size), *totals(network, batch_size))
    )
    title = f"{display.name(network.name)}: input {times(network.input_shape)}, {network.classes:,d} classes"
    notes = f"multiply-adds: {_COUNTED}; memory: training step with {batch_size:,d} images"
    return (
        f'<div class="layerline-network"><p><b>{escape(title)}</b></p>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p><small>{notes}</small></p>"
        f"{''.join(f'<pre>{escape(note)}</pre>' for note in network.notes)}</div>"
    )


def _cell(tag: str, text: str, column: int) -> str:
    """Return an HTML cell; the layers' indentation is preserved."""
    style = "padding:.15em .6em;" + ("text-align:left;white-space:pre" if column == 0 else "text-align:right")
    return f'<{tag} style="{style}">{escape(text)}</{tag}>'


def rows(network: Network, batch_size: int) -> list[tuple[str, ...]]:
    """Return a row per layer, and one at the start of each branch of a block."""
    found: list[tuple[str, ...]] = []
    begun: dict[str, int] = {}  # a block's path → how many of its branches have a row

    def begin(first: Word, form: Branches, block: str, depth: int, branches: int) -> None:
        for number in range(begun.get(block, 0), branches):
            word = form.separator if number else first
            found.append((_INDENT * depth + (word.name if word else ""), "", "", "", ""))
            begun[block] = number + 1

    for node in network.nodes:
        steps = node.path.split(".")
        for end in range(1, len(steps), 2):
            word, form, branches = _branch(steps[end])
            begin(word, form, ".".join(steps[:end]), end // 2, branches)
        if node.layer.branches and node.layer.branches.may_be_empty:
            begin(node.layer.word, node.layer.branches, node.path, len(steps) // 2, len(node.inputs))
        found.append(_row(node, len(steps) // 2, batch_size))
    return found


def _branch(module: str) -> tuple[Word, Branches, int]:
    """Return the block that a branch's module is in, and how many of its branches end there."""
    numbers = ((layer, layer.branches.number(module)) for layer in BLOCK_ENDS)
    layer, number = next((layer, number) for layer, number in numbers if number is not None)
    return layer.word, layer.branches, number + 1


def totals(network: Network, batch_size: int, memory: int | None = None) -> list[tuple[str, ...]]:
    """Return the last row, and before it, if layers are frozen, the numbers of trained and of frozen parameters."""
    trained, frozen = network.parameter_count, network.frozen_parameter_count
    needed = training_bytes(network.nodes, batch_size) if memory is None else memory
    kinds = [("trained", trained), ("frozen", frozen)] if frozen else []
    total = ("total", "", _count(trained + frozen), _count(network.multiply_adds), display.size(needed))
    return [*((name, "", _count(number), "", "") for name, number in kinds), total]


def _row(node: Node, depth: int, batch_size: int) -> tuple[str, ...]:
    return (
        _INDENT * depth + str(node.layer),
        "×".join(map(str, node.shape)),
        f"frozen {_count(node.frozen_parameters)}" if node.frozen_parameters else _count(node.parameters),
        _count(node.multiply_adds),
        display.size(training_bytes([node], batch_size)),
    )


def _count(number: int) -> str:
    """Return a count in at most 15 columns; a dash for 0."""
    if number >= _LONG:
        return f"{number:.3e}"
    return display.count(number) if number else display.NOTHING


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first = row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 1] + "…"
    cells = [f"{first:<{widths[0]}}", f"{row[1]:<{widths[1]}}"]
    cells += [f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True)]
    return _GAP.join(cells).rstrip()
