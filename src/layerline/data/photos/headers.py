"""Image sizes, and whether images are 16-bit gray, read from the file headers before any image is decoded.

The common target size, and how much a crop would remove, depend on all images; and a large JPEG is decoded at reduced
resolution if the target size is known. For a JPEG or PNG the first bytes are enough; a photo takes about 20 µs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.data.photos import image_file, metadata, sizing
from layerline.data.photos.decoding import read
from layerline.data.photos.image_format import PNG, BadImageError

if TYPE_CHECKING:
    from layerline.data.photos.decoding import File
    from layerline.data.photos.sizing import Size, Sizing

_HEAD: Final = 2**16
"""Number of bytes read from the start of a file."""
_FRAMES: Final = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
"""JPEG markers of segments with the image size (ITU-T T.81, table B.1)."""
_PIXELS: Final = b"\xff\xda"
_TURNING: Final = (b"eXIf", b"exif", b"adobe.xmp")
"""Words in a PNG header that may announce an orientation."""
EXAMPLES: Final = 6
"""Number of images shown before and after resizing."""


@dataclass
class Outlines:
    """Sizes and depth collected from the headers of some files."""

    requested: Sizing
    paths: list[str] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    """(H, W) of each."""
    deep: bool = True
    """Whether all images are 16-bit gray."""

    @property
    def enough(self) -> bool:
        """Whether further files cannot change how the pixels are processed."""
        known = self.requested.size is not None and self.requested.fit is not None
        return known and (self.requested.deep is not None or (bool(self.sizes) and not self.deep))

    def add(self, file: File) -> None:
        """Read the header of a file; an unreadable file is skipped, and reported later by the decoder."""
        try:
            size, deep = _outline(file)
        except BadImageError:
            return
        self.paths.append(file.path)
        self.sizes.append(size)
        self.deep &= deep

    def settled(self) -> Sizing:
        """Return the size, fit, color and depth for all images."""
        if self.sizes:
            return sizing.settled(self.requested, Counter(self.sizes), deep=self.deep)
        return replace(
            self.requested, size=self.requested.size or (1, 1), fit=self.requested.how, deep=bool(self.requested.deep)
        )

    def examples(self, target: Size) -> frozenset[str]:
        """Return the paths of some images that a crop to this aspect ratio would cut: most, least, and in between."""
        losses = [(-sizing.cut(size, target), path) for size, path in zip(self.sizes, self.paths, strict=True)]
        changed = [path for loss, path in sorted(losses) if loss < 0]
        some = min(EXAMPLES, len(changed))
        return frozenset(changed[k * (len(changed) - 1) // max(1, some - 1)] for k in range(some))


def _outline(file: File) -> tuple[Size, bool]:
    """Return the size of an image file, and whether it is 16-bit gray. Raises BadImageError."""
    content = file.content
    if isinstance(content, Path):
        try:
            with content.open("rb", buffering=0) as opened:
                head = opened.read(_HEAD)
        except OSError as error:
            raise BadImageError(str(error)) from error
    else:
        head = content[:_HEAD]
    return _of_jpeg(head) or _of_png(head) or image_file.outline(read(file))


def _of_jpeg(head: bytes) -> tuple[Size, bool] | None:
    """Return size and depth from the first bytes of a JPEG; None if it is not one, or its header is longer."""
    if not head.startswith(b"\xff\xd8\xff"):
        return None
    found, end = None, 2
    for marker, start, end in metadata.segments(head):
        if marker in _FRAMES and found is None and end - start >= 9:
            found = (
                int.from_bytes(head[start + 5 : start + 7], "big"),
                int.from_bytes(head[start + 7 : start + 9], "big"),
            )
    if found is None or head[end : end + 2] != _PIXELS or not all(found):
        return None
    turned = (metadata.of_jpeg(head).turn or 1) >= image_file.SIDEWAYS
    return (found[::-1] if turned else found), False


def _of_png(head: bytes) -> tuple[Size, bool] | None:
    """Return size and depth from the first bytes of a PNG; None if it is not one, or may have an orientation."""
    if not head.startswith(PNG) or head[12:16] != b"IHDR" or len(head) < 26:
        return None
    before = head[: head.find(b"IDAT")]
    if any(word in before for word in _TURNING):
        return None
    size = int.from_bytes(head[20:24], "big"), int.from_bytes(head[16:20], "big")
    return (size, (head[24], head[25]) == (16, 0)) if all(size) else None
