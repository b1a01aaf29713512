"""Find cached decoded images by the content of their files.

Reading 20,000 files just to find them unchanged takes seconds. So the digest of each file is stored with its size,
times and location on disk; a file for which none of these has changed is not read again. A file modified within two
seconds of the check is read again: a later change might leave its time the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from layerline.data.photos import image_file, image_format
from layerline.data.photos.decoding import digest, read
from layerline.data.photos.image_format import BadImageError
from layerline.files import regular
from layerline.system.cores import cores
from layerline.system.workers import spread

if TYPE_CHECKING:
    from layerline.data.photos.cache import Cache, CacheEntry
    from layerline.data.photos.decoding import File
    from layerline.files.private import Unfinished

_FORMAT: Final = 3
"""Version of the metadata format; `image_file.VERSION` is that of the pixels."""
_FRESH: Final = 2 * 10**9
"""Nanoseconds: the coarsest time resolution of a file system (FAT)."""


def stamp(found: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file does: size, modification time, change time, inode, device."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


@final
class CachedImages:
    """Finds and stores the decoded images of some files in the cache."""

    def __init__(self, cache: Cache, key: list[Any], files: list[File], *, archive: bool = False) -> None:
        """Compute the quick digest. key: the options that determine the pixels.

        archive: whether there is one file, which contains all images.
        """
        from layerline import __version__ as ours

        cache.begin()  # before any file is read: one that is modified from now on counts as fresh
        self.cache = cache
        self._files = files
        names = [(file.path, file.stamp[0] if file.stamp else 0) for file in files]
        versions = [_FORMAT, image_file.VERSION, ours, image_format.installed()]
        self._quick = hashlib.sha256(json.dumps([*versions, key, names]).encode()).hexdigest()[:16]
        self._archive = archive

    def find(self) -> CacheEntry | None:
        """Return the cached images of these files, None if they are not cached."""
        return self.cache.find(self._quick, self._content)

    def keep(self, part: Unfinished, metadata: dict[str, Any], digests: list[bytes]) -> CacheEntry:
        """Store decoded images in the cache. digests: of the image files, in order. Raises OSError."""
        if self._archive:
            digests = [_digest_of_archive(self._files[0])]
        content = _joined(digests)
        entry = self.cache.keep(part, metadata, self._quick, content)
        self._note(content, digests)
        return entry

    def _content(self, known: list[str]) -> str:
        """Return the digest of the files, reading only those that may have changed since their digest was stored."""
        noted = dict[tuple[int, ...], str]()
        for content in known:
            entries = self.cache.noted(self._quick, content)
            if isinstance(entries, list) and len(entries) == len(self._files):
                noted.update({tuple(entry[0]): entry[1] for entry in entries if entry})
        digests = [bytes.fromhex(noted.get(file.stamp, "")) for file in self._files]
        changed = [k for k, found in enumerate(digests) if not found]
        one = _digest_of_archive if self._archive else _digest
        for k, found in zip(changed, spread(one, [self._files[k] for k in changed], cores()), strict=True):
            digests[k] = found
        content = _joined(digests)
        if changed and content in known:
            self._note(content, digests)
        return content

    def _note(self, content: str, digests: list[bytes]) -> None:
        entries = [
            [file.stamp, found.hex()] if max(file.stamp[1:3]) < self.cache.now - _FRESH else None
            for file, found in zip(self._files, digests, strict=True)
        ]
        self.cache.note(self._quick, content, entries)


def _digest(file: File) -> bytes:
    try:
        return digest(read(file))
    except BadImageError:
        return digest(b"")


def _digest_of_archive(file: File) -> bytes:
    """Return the digest of an archive. Raises OSError if the archive changed since `CachedImages` was created."""
    with regular.opened(Path(str(file.content))) as opened:
        found = hashlib.file_digest(opened, "sha256").digest()[:16]
        if stamp(os.fstat(opened.fileno())) != file.stamp:
            raise OSError("the archive changed while it was read")
    return found


def _joined(digests: list[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()[:32]
