"""A network's text with the output shape of each line as a comment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from layerline.layers.grammar import times
from layerline.network_file import formatted

if TYPE_CHECKING:
    from layerline.network.graph import Network

_HASH: Final = "#"
_OWN_SIZE: Final = re.compile(r"^[0-9]+×[0-9]+( becomes [0-9]+×[0-9]+)?([;:,] *|$)")
"""A comment that starts with the size of an image; the new one replaces it."""


def with_shapes(network: Network) -> str:
    """Return the network's text in its readable form; a layer that changes the size gets a comment `→ 16×12×12`.

    Lines in a Repeat have the output shape of their last copy.
    """
    outputs = {
        node.line: node.shape for node in network.nodes if node.multiply_adds or node.shape != node.input_shapes[0]
    }
    lines = []
    for number, line in enumerate(network.text.splitlines(), 1):
        code, _, comment = line.partition(_HASH)
        if number in outputs:
            rest = _OWN_SIZE.sub("", comment.strip())
            line = f"{code.rstrip()}  {_HASH} → {times(outputs[number])}" + (f": {rest}" if rest else "")
        lines.append(line)
    return formatted("\n".join(lines) + "\n", network.name)
