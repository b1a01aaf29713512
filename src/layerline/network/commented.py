"""A network's text with what comes out of each line in its comments, for who wants to read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from layerline.layers.grammar import times
from layerline.network_file import formatted

if TYPE_CHECKING:
    from layerline.network.graph import Network

_HASH: Final = "#"
_OWN_SIZE: Final = re.compile(r"^[0-9]+×[0-9]+( becomes [0-9]+×[0-9]+)?([;:,] *|$)")
"""A comment that begins with the size of an image; ours takes its place."""


def with_shapes(network: Network) -> str:
    """Return the network's text in its readable form; a layer that changes the size has a comment `→ 16×12×12`.

    Lines in a Repeat say what comes out of their last copy.
    """
    behind = {
        node.line: node.shape for node in network.nodes if node.multiply_adds or node.shape != node.input_shapes[0]
    }
    lines = []
    for number, line in enumerate(network.text.splitlines(), 1):
        code, _, comment = line.partition(_HASH)
        if number in behind:
            rest = _OWN_SIZE.sub("", comment.strip())
            line = f"{code.rstrip()}  {_HASH} → {times(behind[number])}" + (f": {rest}" if rest else "")
        lines.append(line)
    return formatted("\n".join(lines) + "\n", network.name)
