"""Loops shared by kernels without a tile: over the vectors of a row, and over all values of images.

A row of an image is W·C consecutive floats, processed as whole vectors, then one that stores only the remainder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.compiler.plane import Plane, item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value

NONE: Final[Mapping[str, int]] = {}


def elementwise(
    pen: Pen,
    planes: tuple[tuple[Plane, str], ...],
    step: Callable[[tuple[Pointer, ...], tuple[Index, ...], int], Value],
    elements: Mapping[str, int] = NONE,
) -> None:
    """Write a loop over images, rows and vectors; `step` computes the vector of the last plane from the others.

    elements: the elements per image, for the arguments that have more than the plane.
    """
    plain = all(p.bare for p, _ in planes)
    last = planes[-1][0]
    rows, n = (1, last.size) if plain else (last.height, last.width * last.channels)
    lanes = pen.machine.lanes_for(n)
    with pen.loop("n", pen.count("images")) as image:
        memory = tuple(
            pen.at(pen.pointer(name), item(image, elements.get(name, p.size)) + p.inner()) for p, name in planes
        )
        with pen.loop("h", rows) as h:
            row = tuple(pen.at(m, p.step(h)) for m, (p, _) in zip(memory, planes, strict=True))
            for i, count in vectors(pen, n, lanes):
                pen.store(step(row, (i,) * len(row), lanes), row[-1], i, count)


def vectors(pen: Pen, n: int, lanes: int) -> Iterator[tuple[Index, int]]:
    """Write a loop over the whole vectors of n elements, then the remainder; yields (position, valid lanes)."""
    whole = n - n % lanes
    if whole:
        with pen.loop("i", whole, step=lanes) as i:
            yield i, lanes
    if n % lanes:
        yield pen.index(whole), n % lanes


def clear(pen: Pen, memory: Pointer, size: int, lanes: int | None = None) -> None:
    """Zero the first `size` elements, and up to a vector more, within the buffer's padding."""
    lanes = lanes or pen.machine.lanes
    with pen.loop("clear", -(-size // lanes) * lanes, step=lanes) as i:
        pen.store(pen.constant(0.0, lanes), memory, i)
