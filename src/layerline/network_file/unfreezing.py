"""The text of a network whose last frozen layers are trained as well: the End of its Freeze moves up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.errors import NetworkError
from layerline.network_file.formatting import formatted
from layerline.network_file.mistakes import Mistakes
from layerline.network_file.tree import Block, read_tree
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.network_file.tree import LayerLine


def unfrozen(text: str, count: int, name: str) -> str:
    """Return the text with the last `count` units of its Freeze after its End, or without the Freeze if it has fewer.

    A unit is a Conv or Depthwise with the lines that follow it, or a block, such as a Residual or a Repeat. name: that
    of the file, in messages. Raises NetworkError if the text has mistakes, or no Freeze.
    """
    mistakes = Mistakes(name, text)
    tree = read_tree(mistakes)
    mistakes.raise_any()
    freeze = next((item for item in tree.items if isinstance(item, Block) and item.freezes), None)
    if freeze is None:
        raise NetworkError(f"--unfreeze {count}: {display.name(name, 200)} has no frozen layers", "omit --unfreeze")
    starts = [item.span.line for item in freeze.branches[0] if _begins(item)]
    lines = text.split("\n")
    lines[freeze.end_line - 1] = ""
    if count >= len(starts):
        lines[freeze.span.line - 1] = ""
    else:
        lines.insert(starts[-count] - 1, "End\n")
    return formatted("\n".join(lines), name)


def _begins(item: LayerLine | Block) -> bool:
    """Return whether a line or block begins a unit."""
    return isinstance(item, Block) or (item.layer is not None and item.layer.has_filters)
