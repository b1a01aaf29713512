"""The memory layout of an image, and the elements to allocate for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, overload

if TYPE_CHECKING:
    from layerline.compiler.values import Index

ALIGN: Final = 16
"""Alignment of each item of a buffer, in elements (64 bytes of float32: a cache line)."""


def capacity(n: int) -> int:
    """Return the elements to allocate for n: vector loads, and stores of zeros, may overrun by one vector."""
    return -(-(n + ALIGN) // ALIGN) * ALIGN


@overload
def item(n: int, elements: int) -> int: ...
@overload
def item(n: Index, elements: int) -> Index: ...
def item(n: Index | int, elements: int) -> Index | int:
    """Return the offset of item n in a buffer of items with that many elements."""
    return n * capacity(elements)


@dataclass(frozen=True)
class Plane:
    """An image in memory: H rows of W pixels of C consecutive floats, inside a border that stays zero.

    All address computation in an image goes through `begin`, `inner`, `at`, `step` and `rank`. Rows and columns are
    relative to pixel (0, 0), so the top and left border has negative ones.
    """

    channels: int
    height: int
    width: int
    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    @property
    def pitch(self) -> int:
        """Return the row stride in elements."""
        return (self.left + self.width + self.right) * self.channels

    @property
    def origin(self) -> int:
        """Return the offset of pixel (0, 0)."""
        return self.top * self.pitch + self.left * self.channels

    def begin(self, n: Index) -> Index:
        """Return the offset of image n in a buffer, including its border."""
        return item(n, self.size)

    def at(self, n: Index, h: Index | int = 0, w: Index | int = 0, c: Index | int = 0) -> Index:
        """Return the offset of a value of image n in a buffer."""
        return self.begin(n) + h * self.pitch + w * self.channels + c + self.origin

    @overload
    def inner(self, h: int = 0, w: int = 0, c: int = 0) -> int: ...
    @overload
    def inner(self, h: Index, w: Index | int = 0, c: Index | int = 0) -> Index: ...
    def inner(self, h: Index | int = 0, w: Index | int = 0, c: Index | int = 0) -> Index | int:
        """Return the offset of a value within its image, from the image's beginning."""
        return h * self.pitch + w * self.channels + c + self.origin

    def steps(self, stride: tuple[int, int] = (1, 1)) -> tuple[int, int]:
        """Return the elements between rows, and between columns, that are `stride` apart."""
        return stride[0] * self.pitch, stride[1] * self.channels

    @overload
    def step(self, h: int, w: int = 0, c: int = 0, stride: tuple[int, int] = (1, 1)) -> int: ...
    @overload
    def step(self, h: Index, w: Index | int = 0, c: Index | int = 0, stride: tuple[int, int] = (1, 1)) -> Index: ...
    @overload
    def step(self, h: int, w: Index, c: Index | int = 0, stride: tuple[int, int] = (1, 1)) -> Index: ...
    def step(
        self, h: Index | int, w: Index | int = 0, c: Index | int = 0, stride: tuple[int, int] = (1, 1)
    ) -> Index | int:
        """Return the offset from a value to the one h rows below, w columns to the right and c channels further.

        stride: the size of a row step and of a column step.
        """
        down, right = self.steps(stride)
        return h * down + w * right + c

    def rank(self, h: Index, w: Index, c: Index | int = 0) -> Index:
        """Return the index of a value without the border: the offset in a side array with one element per value."""
        return (h * self.width + w) * self.channels + c

    @property
    def size(self) -> int:
        """Return the number of elements, including the border."""
        return (self.top + self.height + self.bottom) * self.pitch

    @property
    def bare(self) -> bool:
        """Whether there is no border."""
        return not any((self.top, self.left, self.bottom, self.right))

    @property
    def inside(self) -> Plane:
        """Return the image without its border."""
        return Plane(self.channels, self.height, self.width)

    @property
    def listed(self) -> Plane:
        """Return the same elements as a flat list: after Flat each value is a channel."""
        return Plane(self.size, 1, 1)

    @property
    def label(self) -> str:
        """Return the shape as it appears in symbols."""
        text = f"c{self.channels}h{self.height}w{self.width}"
        return text if self.bare else f"{text}b{self.top}_{self.left}_{self.bottom}_{self.right}"


@dataclass(frozen=True)
class Places:
    """The source positions of `count` pooled values in an image, in elements of that image."""

    count: int
    steps: tuple[int, int]
    """Elements between rows and between columns: of the image, or, with a window, of the patches of its outputs."""
    window: tuple[int, int] | None = None
    """A position is relative to the patch of its window's first output; without a window, to the image's beginning."""
    across: int | None = None
    """If set, positions are filter by filter, and this is the elements of a row of windows, padded to whole vectors;
    else they are window by window."""
