"""The cache of features: what frozen layers compute of an image, so that the next run need not compute it again.

An image is known by the SHA-256 of its stored pixels, so other images in the folder, other splits and other names
change nothing. The frozen part is known by `key`: the SHA-256 of its machine code's key (code, machine, layout of the
images), its weights and the scaling. A file is called `<key>-<content>.features`, each half a digest, and is never
changed: MAGIC, the key (32 bytes), the number of images (8 bytes, big-endian), the SHA-256 of the rest (32 bytes), then
the digest of each image (32 bytes), then their features (float32, little-endian). It lies in the folder of decoded
images, and is read whole and verified before anything of it is used: `files.private` has what makes the folder safe. A
file that fails any check, and a folder that cannot be read or written, are ignored: the features are computed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import numpy as np

from layerline.files.private import PrivateFolder, UnsafeError, opened
from layerline.system.workers import spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet

ENDING: Final = ".features"
LIMIT: Final = 500_000_000
"""Bytes of all files together, from which the least recently used ones are removed: 97,000 images of 1,280 features."""
LARGEST: Final = LIMIT // 4
"""Bytes of a file."""
_MAGIC: Final = b"layerline features 1\n"
_LENGTH: Final = 8
_DIGEST: Final = 32
_HEAD: Final = len(_MAGIC) + _DIGEST + _LENGTH + _DIGEST
_FLOAT: Final = np.dtype("<f4")


@final
class FeatureCache:
    """The cached features of one frozen part."""

    def __init__(self, folder: Path, key: bytes, size: int) -> None:
        """Prepare. size: the number of features of an image."""
        self._folder, self._key, self._size = PrivateFolder(folder), key, size

    @staticmethod
    def digests(images: ImageSet, threads: int) -> list[bytes]:
        """Return the digest of each image of a set."""
        stored = images.images.transpose(0, 2, 3, 1) if images.channels_last else images.images
        return spread(lambda image: hashlib.sha256(np.ascontiguousarray(image).data).digest(), list(stored), threads)

    def find(self, digests: list[bytes]) -> dict[int, NDArray[np.float32]]:
        """Return the cached features of images with these digests, by position in `digests`, as far as there are."""
        wanted: dict[bytes, list[int]] = {}
        for place, digest in enumerate(digests):
            wanted.setdefault(digest, []).append(place)
        found: dict[int, NDArray[np.float32]] = {}
        for path in self._files():
            if not wanted:
                break
            known, values = self._read(path)
            for row, digest in enumerate(known):
                for place in wanted.pop(digest, ()):
                    found[place] = values[row]
        return found

    def keep(self, digests: list[bytes], values: NDArray[np.float32]) -> None:
        """Store the features of images, (N, size), all or none."""
        rest = b"".join(digests) + np.ascontiguousarray(values, _FLOAT).tobytes()
        if len(rest) > LARGEST:
            return
        content = hashlib.sha256(rest).digest()
        name = f"{self._key.hex()[:_DIGEST]}-{content.hex()[:_DIGEST]}{ENDING}"
        with contextlib.suppress(OSError):
            part = self._folder.part()
            try:
                part.write(_MAGIC + self._key + len(digests).to_bytes(_LENGTH, "big") + content)
                part.write(rest)
                now = os.fstat(part.file.fileno()).st_mtime_ns
                part.keep(name)
            finally:
                part.drop()
            self._folder.tidy(now)
            self._folder.limit(ENDING, LIMIT, name)

    def _files(self) -> list[Path]:
        """Return the files of this frozen part, the most recently used first."""
        try:
            if not self._folder.check():
                return []
            with os.scandir(self._folder.path) as entries:
                start = self._key.hex()[:_DIGEST] + "-"
                ours = [entry for entry in entries if entry.name.startswith(start) and entry.name.endswith(ENDING)]
                times = [(entry.stat(follow_symlinks=False).st_mtime_ns, entry.path) for entry in ours]
        except OSError:
            return []
        return [Path(path) for _, path in sorted(times, reverse=True)]

    def _read(self, path: Path) -> tuple[list[bytes], NDArray[np.float32]]:
        """Return the digests and features in a file; none of them if it fails any check."""
        try:
            with opened(path) as file:
                content = file.read(_HEAD + LARGEST + 1)
                digests, values = self._verified(content)
                with contextlib.suppress(OSError):
                    os.utime(file.fileno() if os.utime in os.supports_fd else path)
                return digests, values
        except OSError:
            return [], np.empty((0, self._size), np.float32)

    def _verified(self, content: bytes) -> tuple[list[bytes], NDArray[np.float32]]:
        """Return what a file has. Raises UnsafeError if it is not exactly what `keep` writes."""
        head, rest = content[:_HEAD], content[_HEAD:]
        count = len(rest) // (_DIGEST + _FLOAT.itemsize * self._size)
        expected = _MAGIC + self._key + count.to_bytes(_LENGTH, "big") + hashlib.sha256(rest).digest()
        if head != expected or len(rest) != count * (_DIGEST + _FLOAT.itemsize * self._size):
            raise UnsafeError("it is damaged")
        digests = [rest[k : k + _DIGEST] for k in range(0, count * _DIGEST, _DIGEST)]
        values = np.frombuffer(rest, _FLOAT, offset=count * _DIGEST).reshape(count, self._size)
        return digests, values.astype(np.float32, copy=False)
