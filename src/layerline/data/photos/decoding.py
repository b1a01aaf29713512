"""Image files become pixels on several cores, in the order in which they come.

Also where one core is enough, it is never the caller's thread that decodes: what a signal's handler raises there, such
as a TimeoutError, would be taken for what Pillow raises of a damaged image.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.data.photos.image_file import LARGEST_FILE, BadImageError, Picture, decode, decode_pillow
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
"""Called with how many images are done, and how many there are, where that is known."""

_BATCH_OF_SMALL: Final = 128
_BATCH: Final = 8
"""Images that are decoded together: few, for those that wait to be stored take memory."""
_WINDOW: Final = 8
"""Batches for each core that are decoded side by side, before the next are read."""
_BATCH_BYTES: Final = 2**20
"""A batch has no more of these, packed as they are."""
_SMALL: Final = 64 * 64
"""Pixels from which on threads pay: of an image of 32×32, Pillow's Python part takes half of the time, and two threads
that hand the lock to each other took 1.4 times as long as none; from 64×64 on they were faster (two AMD Zen 4 cores,
Pillow 13.0.0, 2026-11-23)."""


@dataclass(frozen=True, eq=False)
class File:
    """An image file that is to be decoded: its folders and name, and its bytes or where they are."""

    folders: Folders
    name: str
    content: bytes | Path
    stamp: tuple[int, ...] = ()
    """Size, times, and place on the disk: what changes when the file does. Empty in an archive."""

    @property
    def path(self) -> str:
        """Return its path below what was named as the data."""
        return "/".join((*self.folders, self.name))


@dataclass(frozen=True, eq=False)
class Decoded:
    """What became of a file: an image, or the reason why not."""

    file: File
    picture: Picture | None
    reason: str
    digest: bytes
    """Of the file's bytes: what is the same file twice."""


class Decoder:
    """Decodes files in batches, into what is asked of their size and colors."""

    def __init__(self, sizing: Sizing) -> None:
        """Keep what is asked for."""
        self._sizing = sizing
        self._most = _BATCH

    def __call__(self, files: Iterable[File]) -> Iterator[Decoded]:
        """Yield what becomes of each file, in order."""
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
    """Return what becomes of a Pillow image whose pixels are in memory."""
    file = File((), "a Pillow image", b"")
    try:
        return Decoded(file, decode_pillow(image, sizing), "", b"")
    except BadImageError as error:
        return Decoded(file, None, str(error), b"")


def digest(content: bytes) -> bytes:
    """Return what is the same for the same bytes: the first half of their SHA-256."""
    return hashlib.sha256(content).digest()[:16]


def read(file: File) -> bytes:
    """Return the bytes of a file. Raises BadImageError."""
    if isinstance(file.content, bytes):
        return file.content
    path = file.content
    try:
        content = regular.content(path, LARGEST_FILE)
    except OSError as error:
        raise BadImageError(f"a file that cannot be read ({error.strerror or error})") from error
    if content is None:
        raise BadImageError(f"a file of more than {display.size(LARGEST_FILE)}")
    return content


def _are_small(started: list[Decoded]) -> bool:
    sizes = [item.picture.size for item in started if item.picture is not None]
    return bool(sizes) and max(H * W for H, W in sizes) < _SMALL
