"""Many images of one size in one array, which grows in place as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline import figures
from layerline.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST: Final = 256
"""Images there is room for at the start."""
_GROWTH: Final = 8
"""An eighth more each time: so much of the memory may be room that is not used."""


class ImageStack:
    """Images uint8 (H, W) or (H, W, 3), one behind the other; gray until the first one in colour comes."""

    def __init__(self, place: str, expected: int = 0) -> None:
        """Begin empty, with room for the number of images that is expected, where it is known."""
        self.gray = 0
        """How many of the images are gray."""
        self._place = place
        self._expected = expected
        self._count = 0
        self._array: NDArray[np.uint8] = np.empty(0, np.uint8)

    def __len__(self) -> int:
        """Return how many images there are."""
        return self._count

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Put an image behind the others, whose height and width are those of the first."""
        try:
            if not self._count:
                self._array = np.empty((max(self._expected, _FIRST), *pixels.shape), np.uint8)
            if pixels.ndim > self._array.ndim - 1:
                self._to_colour()
            if self._count == len(self._array):
                room = self._count + self._count // _GROWTH
                self._array.resize((room, *self._array.shape[1:]), refcheck=False)  # nobody else holds it
        except (MemoryError, ValueError) as error:
            raise DataError(
                f"{self._place}: found more than {figures.count(self._count)} images of {_times(pixels.shape)}, "
                "expected what fits into memory",
                "use smaller images, or fewer",
            ) from error
        self._array[self._count] = pixels[..., None] if pixels.ndim < self._array.ndim - 1 else pixels
        self._count += 1
        self.gray += pixels.ndim == 2

    def taken(self) -> NDArray[np.uint8]:
        """Return the images, uint8 (N, H, W) or (N, H, W, 3), and leave the stack empty."""
        array, self._array = self._array, np.empty(0, np.uint8)
        array.resize((self._count, *array.shape[1:]), refcheck=False)
        return array

    def _to_colour(self) -> None:
        gray = self._array
        self._array = np.empty((*gray.shape, 3), np.uint8)
        self._array[: self._count] = gray[: self._count, ..., None]


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
