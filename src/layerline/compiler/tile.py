"""How work is cut so that its sums stay in registers: equal pieces, filters in vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.compiler.layout import BlockLayout

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine


def balanced(n: int, most: int) -> list[tuple[int, int, int]]:
    """Cut n into as few pieces of at most `most` as it takes, as equal as they can be: (first, size, count) of each
    size.

    28 pixels in pieces of at most 12 are [(0, 10, 1), (10, 9, 2)]: no piece is a small remainder.
    """
    pieces = -(-n // most)
    small, larger = divmod(n, pieces)
    cuts = [(0, small + 1, larger), (larger * (small + 1), small, pieces - larger)]
    return [cut for cut in cuts if cut[2]]


def filter_blocks(filters: int, machine: Machine, most: int) -> tuple[BlockLayout, ...]:
    """Cut filters into vectors, at most `most` vectors a block; what is left over gets a vector of its own width."""
    lanes = machine.lanes_for(filters)
    whole, rest = divmod(filters, lanes)
    blocks = (
        [BlockLayout(first * lanes, lanes, vectors, count) for first, vectors, count in balanced(whole, most)]
        if whole
        else []
    )
    if rest:
        narrow = machine.lanes_for(rest)
        blocks.append(BlockLayout(whole * lanes, narrow, 1, 1))
    return tuple(blocks)
