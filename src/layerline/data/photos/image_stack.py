"""Images of one size, collected in an array that grows in place, or in a file if they are to be cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from layerline.data.photos.cache import Cache
    from layerline.files.private import Unfinished

    Pixels = NDArray[Any]

_FIRST: Final = 256
"""Initial capacity in images."""
_GROWTH: Final = 8
"""The array grows by an eighth each time: at most that much of its memory is unused."""
MAX_IN_MEMORY: Final = 2**26
"""Bytes from which images are written to a file, if there is a cache: fewer are decoded again within seconds."""


class ImageStack:
    """A sequence of images, uint8 or uint16 (H, W) or (H, W, 3); gray until the first color image is added."""

    def __init__(self, place: str, expected: int = 0, cache: Cache | None = None) -> None:
        """Start empty, with capacity for the expected number of images, if it is known.

        cache: where images are written as they are added, if there are many.
        """
        self.gray = 0
        """Number of gray images."""
        self.failed = ""
        """Why the cache cannot be written, if that failed."""
        self._place = place
        self._expected = expected
        self._cache = cache
        self._start()

    def _start(self) -> None:
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._type: np.dtype[Any] = np.dtype(np.uint8)
        self._array: Pixels = np.empty(0, self._type)
        self._part: Unfinished | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return self._count

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (H, W) or (H, W, 3) of an image; () if there is none yet."""
        return self._shape

    @property
    def type(self) -> np.dtype[Any]:
        """Return the data type of the images."""
        return self._type

    @property
    def in_file(self) -> bool:
        """Whether the images are in a file."""
        return self._part is not None

    def add(self, pixels: Pixels) -> None:
        """Append an image; its height, width and type must be those of the first."""
        self.gray += pixels.ndim == 2
        self._put(pixels)

    def change(self, to: Callable[[Pixels], Pixels], order: Iterable[int] | None = None) -> None:
        """Replace every image by the result of `to`, and optionally reorder them."""
        count, array, part = self._count, self._array, self._part
        stored = self._in_file
        self._start()
        try:
            for k in range(count) if order is None else order:
                self._put(to(array[k] if part is None else stored(part, k)))
        finally:
            if part is not None:
                part.drop()

    def taken(self) -> Pixels | Unfinished:
        """Return the images, (N, H, W) or (N, H, W, 3), or the file that contains them; the stack becomes empty."""
        count, shape, array, part = self._count, self._shape, self._array, self._part
        self._start()
        if part is not None:
            return part
        array.resize((count, *shape), refcheck=False)
        return array

    def drop(self) -> None:
        """Discard all images."""
        part = self._part
        self._start()
        if part is not None:
            part.drop()

    def _put(self, pixels: Pixels) -> None:
        if not self._count:
            self._shape, self._type = pixels.shape, pixels.dtype
        if pixels.ndim > len(self._shape):
            self.change(lambda gray: np.repeat(gray[..., None], 3, axis=2))
        if pixels.ndim < len(self._shape):
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        if self._part is None and self._cache is not None and not self.failed:
            self._to_file()
        if self._part is None:
            self._into_memory(pixels)
        else:
            self._into_file(pixels)
        self._count += 1

    def _into_memory(self, pixels: Pixels) -> None:
        try:
            if not self._count:
                self._array = np.empty((max(self._expected, _FIRST), *pixels.shape), self._type)
            if self._count == len(self._array):
                capacity = self._count + self._count // _GROWTH
                self._array.resize((capacity, *self._array.shape[1:]), refcheck=False)  # nobody else holds it
        except (MemoryError, ValueError) as error:
            raise DataError(
                f"{self._place}: more than {display.count(self._count)} images ({_times(pixels.shape)}) "
                "do not fit into memory",
                "use smaller or fewer images",
            ) from error
        self._array[self._count] = pixels

    def _to_file(self) -> None:
        """Move the images from memory to a file, if they are large enough."""
        if self._cache is None or self._count * self._bytes < MAX_IN_MEMORY:
            return
        try:
            self._part = self._cache.part()
            self._part.write(self._array[: self._count].reshape(-1).view(np.uint8).data)
        except OSError as error:
            self._give_up(error, keep=self._array)
        else:
            self._array = np.empty(0, self._type)

    def _into_file(self, pixels: Pixels) -> None:
        assert self._part is not None  # noqa: S101 - the caller has looked
        try:
            self._part.write(np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data)
        except OSError as error:
            whole = np.empty((max(self._expected, self._count + _FIRST), *self._shape), self._type)
            for k in range(self._count):
                whole[k] = self._in_file(self._part, k)
            self._give_up(error, keep=whole)
            self._into_memory(pixels)

    @property
    def _bytes(self) -> int:
        """Return the size of an image in bytes."""
        return int(np.prod(self._shape)) * self._type.itemsize

    @property
    def _in_file(self) -> Callable[[Unfinished, int], Pixels]:
        """Return a function that reads an image of this shape and type from a file, by its index."""
        size, kind, shape = self._bytes, self._type, self._shape
        return lambda part, k: np.frombuffer(part.read(k * size, size), kind).reshape(shape)

    def _give_up(self, error: OSError, keep: Pixels) -> None:
        """Continue in memory: the disk is full, or the folder is gone."""
        self.failed = error.strerror or str(error)
        if self._part is not None:
            self._part.drop()
        self._part, self._array = None, keep


def reorder(array: Pixels, order: list[int]) -> None:
    """Reorder an array in place so that image k is the former image order[k], using memory for one more image."""
    done = [False] * len(order)
    for start in range(len(order)):
        if done[start] or order[start] == start:
            continue
        first, k = array[start].copy(), start
        while not done[order[k]] and order[k] != start:
            done[k] = True
            array[k] = array[order[k]]
            k = order[k]
        done[k] = True
        array[k] = first


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
