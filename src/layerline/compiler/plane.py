"""How an image lies in memory, and the room that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALIGN: Final = 16
"""Elements that every item of a buffer is aligned to (64 bytes of float32: a cache line)."""


def room(n: int) -> int:
    """Return the elements to reserve for n: a vector may be read or add zeros one whole vector past the end."""
    return -(-(n + ALIGN) // ALIGN) * ALIGN


@dataclass(frozen=True)
class Plane:
    """An image in memory: H rows of W pixels of C neighbouring floats, inside a border that stays zero."""

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

    @property
    def size(self) -> int:
        """Return the elements of the whole plane with its border."""
        return (self.top + self.height + self.bottom) * self.pitch

    @property
    def bare(self) -> bool:
        """Whether there is no border."""
        return not any((self.top, self.left, self.bottom, self.right))

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
