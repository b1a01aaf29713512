"""READ: the network file, from bytes to a tree of lines, and back to formatted text."""

from __future__ import annotations

from layerline.network_file.formatting import formatted
from layerline.network_file.mistakes import Mistakes, Span, code_span
from layerline.network_file.reading import LARGEST_FILE, check_size, read_text
from layerline.network_file.statements import Token
from layerline.network_file.tree import MOST_LAYERS, Block, LayerLine, Tree, read_tree

__all__ = [
    "LARGEST_FILE",
    "MOST_LAYERS",
    "Block",
    "LayerLine",
    "Mistakes",
    "Span",
    "Token",
    "Tree",
    "check_size",
    "code_span",
    "formatted",
    "read_text",
    "read_tree",
]
