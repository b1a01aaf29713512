"""Tiling: splits work into equal pieces, and filters into vectors, so that accumulators stay in registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.compiler.layout import BlockLayout

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine


def balanced(n: int, most: int) -> list[tuple[int, int, int]]:
    """Split n into the fewest pieces of at most `most`, as equal as possible: (first, size, count) for each size.

    28 pixels in pieces of at most 12 are [(0, 10, 1), (10, 9, 2)], so that no piece is a small remainder.
    """
    pieces = -(-n // most)
    small, larger = divmod(n, pieces)
    pieces_by_size = [(0, small + 1, larger), (larger * (small + 1), small, pieces - larger)]
    return [piece for piece in pieces_by_size if piece[2]]


def filter_blocks(filters: int, machine: Machine, most: int) -> tuple[BlockLayout, ...]:
    """Split filters into vectors, at most `most` vectors per block; the remainder gets a vector of its own width."""
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
