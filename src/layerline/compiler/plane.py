"""How an image lies in memory, and the room that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, overload

if TYPE_CHECKING:
    from layerline.compiler.values import Index

ALIGN: Final = 16
"""Elements that every item of a buffer is aligned to (64 bytes of float32: a cache line)."""


def room(n: int) -> int:
    """Return the elements to reserve for n: a vector may be read or add zeros one whole vector past the end."""
    return -(-(n + ALIGN) // ALIGN) * ALIGN


@overload
def item(n: int, elements: int) -> int: ...
@overload
def item(n: Index, elements: int) -> Index: ...
def item(n: Index | int, elements: int) -> Index | int:
    """Return where item n of a buffer begins, whose items hold so many elements."""
    return n * room(elements)


@dataclass(frozen=True)
class Plane:
    """An image in memory: H rows of W pixels of C neighboring floats, inside a border that stays zero.

    `begin`, `inner`, `at`, `step` and `rank` are all the addresses that there are in an image. Rows and columns count
    from pixel (0, 0), so that those of the border above and to the left are negative.
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
        """Return the elements from a row to the next."""
        return (self.left + self.width + self.right) * self.channels

    @property
    def origin(self) -> int:
        """Return where pixel (0, 0) begins."""
        return self.top * self.pitch + self.left * self.channels

    def begin(self, n: Index) -> Index:
        """Return where image n of a buffer begins, border and all."""
        return item(n, self.size)

    def at(self, n: Index, h: Index | int = 0, w: Index | int = 0, c: Index | int = 0) -> Index:
        """Return where a value of image n lies in a buffer."""
        return self.begin(n) + h * self.pitch + w * self.channels + c + self.origin

    @overload
    def inner(self, h: int = 0, w: int = 0, c: int = 0) -> int: ...
    @overload
    def inner(self, h: Index, w: Index | int = 0, c: Index | int = 0) -> Index: ...
    def inner(self, h: Index | int = 0, w: Index | int = 0, c: Index | int = 0) -> Index | int:
        """Return where a value lies in its image, counted from where that begins."""
        return h * self.pitch + w * self.channels + c + self.origin

    def steps(self, stride: tuple[int, int] = (1, 1)) -> tuple[int, int]:
        """Return the elements between rows, and between columns, `stride` of them apart."""
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
        """Return how far it is from a value to the one h rows below, w columns to the right and c channels on.

        stride: what a row and a column count.
        """
        down, right = self.steps(stride)
        return h * down + w * right + c

    def rank(self, h: Index, w: Index, c: Index | int = 0) -> Index:
        """Return the number of a value when all are counted, without the border: what else there is of each lies so."""
        return (h * self.width + w) * self.channels + c

    @property
    def size(self) -> int:
        """Return the elements of the whole plane with its border."""
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
        """Return the same elements as a list: behind Flat every number is a channel."""
        return Plane(self.size, 1, 1)

    @property
    def label(self) -> str:
        """Return the shape as symbols have it."""
        text = f"c{self.channels}h{self.height}w{self.width}"
        return text if self.bare else f"{text}b{self.top}_{self.left}_{self.bottom}_{self.right}"


@dataclass(frozen=True)
class Places:
    """Where in an image each of `count` pooled values came from, in elements of that image."""

    count: int
    steps: tuple[int, int]
    """Elements between rows and columns: of the image, or where windows are given of the patches of their outputs."""
    window: tuple[int, int] | None = None
    """A place counts from the patch of its window's first output; without a window from where the image begins."""
