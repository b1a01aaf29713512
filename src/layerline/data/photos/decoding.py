"""Decode image files on several cores, keeping their order.

Decoding never runs in the caller's thread, even if one core is enough: an exception from a signal handler, such as
TimeoutError, would be mistaken for an error that Pillow raises for a damaged image.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.data.photos import image_format
from layerline.data.photos.image_file import LARGEST_FILE, Picture, decode, decode_pillow
from layerline.data.photos.image_format import BadImageError
from layerline.files import regular
from layerline.numbers import display
from layerline.system.cores import cores
from layerline.system.workers import aside, spread

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

    from layerline.data.photos.layout_refusal import Folders
    from layerline.data.photos.sizing import Sizing

Progress = Callable[[int, int | None], None]
"""Called with the number of images done, and the total if it is known, else None."""

_BATCH_OF_SMALL: Final = 128
_BATCH: Final = 8
"""Images per batch: few, because decoded images that wait to be stored take memory."""
_WINDOW: Final = 8
"""Batches per core that are decoded in parallel before more are read."""
_BATCH_BYTES: Final = 2**20
"""Maximum size of a batch in encoded bytes."""
_SMALL: Final = 64 * 64
"""Number of pixels from which threads are faster. For 32×32 images, Pillow's Python code takes half of the time, and
two threads that contend for the lock took 1.4 times as long as no threads; from 64×64 on they were faster (two AMD
Zen 4 cores, Pillow 13.0.0, 2026-11-23)."""


@dataclass(frozen=True, eq=False)
class File:
    """An image file to decode: its folders and name, and its bytes or path."""

    folders: Folders
    name: str
    content: bytes | Path
    stamp: tuple[int, ...] = ()
    """Size, times, and location on disk, which change when the file does. Empty in an archive."""

    @property
    def path(self) -> str:
        """Return the path relative to the data folder or archive."""
        return "/".join((*self.folders, self.name))


@dataclass(frozen=True, eq=False)
class Decoded:
    """The result for one file: an image, or the reason why it cannot be decoded."""

    file: File
    picture: Picture | None
    reason: str
    digest: bytes
    """Digest of the file's bytes; equal for identical files."""


class Decoder:
    """Decodes files in batches, to the requested size and colors."""

    def __init__(self, sizing: Sizing) -> None:
        """Store the requested size and colors."""
        self._sizing = sizing
        self._most = _BATCH

    def __call__(self, files: Iterable[File]) -> Iterator[Decoded]:
        """Yield the result for each file, in order."""
        batches = self._batches(files)
        first = next(batches, None)
        if first is None:
            return
        started = aside(lambda: self._batch(first))
        small = _are_small(started)
        self._most = _BATCH_OF_SMALL if small else _BATCH
        yield from started
        for batch in batches if small else ():
            decoded = aside(lambda batch=batch: self._batch(batch))  # type: ignore[misc]  # a default, to bind it now
            yield from decoded
            if not _are_small(decoded):
                break
        while window := list(itertools.islice(batches, _WINDOW * cores())):
            for decoded in spread(self._batch, window, cores()):
                yield from decoded

    def _batches(self, files: Iterable[File]) -> Iterator[list[File]]:
        batch: list[File] = []
        size = 0
        for file in files:
            batch.append(file)
            size += len(file.content) if isinstance(file.content, bytes) else 0
            if len(batch) >= self._most or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _batch(self, files: list[File]) -> list[Decoded]:
        return [self._one(file) for file in files]

    def _one(self, file: File) -> Decoded:
        content = b""
        try:
            content = read(file)
            picture = decode(content, self._sizing)
        except BadImageError as error:
            return Decoded(file, None, str(error), digest(content))
        return Decoded(file, picture, "", digest(content))


def of_pillow(image: Image, sizing: Sizing) -> Decoded:
    """Return the result for a Pillow image that is already in memory."""
    file = File((), "a Pillow image", b"")
    try:
        return Decoded(file, decode_pillow(image, sizing), "", b"")
    except BadImageError as error:
        return Decoded(file, None, str(error), b"")


def digest(content: bytes) -> bytes:
    """Return the first 16 bytes of the SHA-256 of `content`."""
    return hashlib.sha256(content).digest()[:16]


def read(file: File) -> bytes:
    """Return the bytes of an image file. Raises BadImageError, also if its name is that of a raw file."""
    content: bytes | None
    if isinstance(file.content, bytes):
        content = file.content
    else:
        try:
            content = regular.content(file.content, LARGEST_FILE)
        except OSError as error:
            raise BadImageError(f"an unreadable file ({error.strerror or error})") from error
    if content is None:
        raise BadImageError(f"a file of more than {display.size(LARGEST_FILE)}")
    image_format.check_named(file.name, content)
    return content


def _are_small(started: list[Decoded]) -> bool:
    sizes = [item.picture.size for item in started if item.picture is not None]
    return bool(sizes) and max(H * W for H, W in sizes) < _SMALL
