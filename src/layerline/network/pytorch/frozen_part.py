"""The frozen part of a PyTorch module: from the input to the first trained parameter, if it has frozen ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import nn

from layerline.layers import BLOCK_ENDS
from layerline.network.pytorch.blocks import Line
from layerline.network.pytorch.module_checks import MODAL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from layerline.network.graph import Network

_FREEZE: Final = "Freeze"
_END: Final = "End"
_SEPARATORS: Final = [layer.branches.separator.name for layer in BLOCK_ENDS if layer.branches.separator]
"""Words between the branches of a block."""


def freeze(lines: Sequence[Line], still: Collection[str]) -> list[Line]:
    """Return the lines with the frozen part in a Freeze: whole lines and blocks from the input on.

    It ends before the first with a trained parameter, or with a dropout that is in use, unless frozen ones follow.
    still: the paths of dropouts and BatchNorms that stay in evaluation mode.
    """
    end = frozen = 0
    for last, item in _items(lines):
        parameters = [each for line in item for each in _parameters(line)]
        if any(each.requires_grad for each in parameters):
            break
        if parameters or any(line.place[0] in still or stands_still(line) for line in item):
            end = frozen = last
        elif end == last - len(item) and not any(line.part and line.part.layer.only_in_training for line in item):
            end = last
    return [Line(_FREEZE), *lines[:end], Line(_END), *lines[end:]] if frozen else list(lines)


def frozen_paths(lines: Sequence[Line]) -> set[str]:
    """Return the paths of the operations in the Freeze; none if there is no Freeze."""
    return {line.place[0] for line in lines[: _end(lines)]}


def not_still(lines: Sequence[Line]) -> list[Line]:
    """Return the lines after the Freeze that must be in it."""
    return [line for line in lines[_end(lines) :] if stands_still(line)]


def stands_still(line: Line) -> bool:
    """Return whether an operation must be in a frozen part."""
    return line.part is not None and line.part.still


def _end(lines: Sequence[Line]) -> int:
    """Return the number of lines of the Freeze; 0 if there is none."""
    return next(_items(lines))[0] if lines and lines[0].text == _FREEZE else 0


def not_frozen(module: nn.Module, network: Network, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the parameters with requires_grad=False that are in no Freeze. names: our weights → those of `module`."""
    frozen = {names[name] for node in network.nodes if node.frozen for name in node.weights if name in names}
    known = module.named_parameters()
    return tuple(name for name, each in known if not each.requires_grad and name not in frozen)


def mode_notes(module: nn.Module, lines: Sequence[Line], still: Collection[str]) -> tuple[str, ...]:
    """Return a note if the frozen part has dropouts or BatchNorms that PyTorch would use in training mode."""
    paths = frozen_paths(lines) - set(still)
    found = [path for path, part in module.named_modules() if isinstance(part, MODAL) and path in paths]
    if not found:
        return ()
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (f"{found[0]}{more}: frozen, so as in evaluation mode; in PyTorch, only after {found[0]}.eval()",)


def _items(lines: Sequence[Line]) -> Iterator[tuple[int, Sequence[Line]]]:
    """Yield each line or block that is in no other, after the number of lines up to its end."""
    depth = first = 0
    for number, line in enumerate(lines, 1):
        if line.part is None and line.text not in _SEPARATORS:
            depth += -1 if line.text == _END else 1
        if depth == 0:
            yield number, lines[first:number]
            first = number


def _parameters(line: Line) -> list[nn.Parameter]:
    weights = {} if line.part is None else line.part.weights
    return [weight for weight in weights.values() if isinstance(weight, nn.Parameter)]
