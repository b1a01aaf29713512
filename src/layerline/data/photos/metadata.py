"""Metadata of image files: read here, and removed if Pillow would warn about it.

Pillow reads all metadata and warns about oddities. Under `python -W error`, a warning would turn a good image into a
bad one, and warning filters, which could prevent that, are global to the process and may be changed by other threads.
So Pillow never sees what it would warn about; no pixel depends on it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_ORIENTATION: Final = 0x0112
_IMAGES: Final = 0xB001
"""Number of images in a multi-picture file (CIPA DC-007, 5.2.3.2)."""
_BITS, _COLORS, _SAMPLES, _LARGEST = 0x0102, 0x0106, 0x0115, 0x0119
"""TIFF tags: bits per sample, whether 0 is white, samples per pixel, the largest sample value."""
_PURPOSE, _INNER, _DNG = 0x00FE, 0x014A, 0xC612
"""TIFF tags: what the first image is for, where the directories inside it are, the version of DNG."""
_REDUCED: Final = 1
"""The purpose of an image that is a smaller copy of another in the file."""
_POINTERS: Final = {0x8769, 0x8825, 0xA005}
"""TIFF tags that point to directories of camera settings."""
_UNKNOWN: Final = 0xFFFF
"""A type that TIFF does not define: such an entry is ignored."""
_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""TIFF type → size in bytes."""
_TEXTS: Final = {1, 2, 7}
"""Types whose values form one string."""
_WHOLE: Final = {1: "B", 3: "H", 4: "L"}
_EXIF: Final = b"Exif\0\0"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_MULTI: Final = b"MPF\0"
_TURNED: Final = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


@dataclass(frozen=True, eq=False)
class Metadata:
    """Metadata of an image file that is not left to Pillow."""

    content: bytes
    """The file without anything that Pillow would warn about."""
    turn: int | None = None
    """EXIF orientation of a JPEG, 1 to 8; 1 if there is none, or it cannot be read."""
    several: bool = False
    """Whether a JPEG is followed by more images."""
    white: int | None = None
    """The value of white, for 16-bit gray in a TIFF that stores white minus each value."""


def extract(content: bytes, kind: str) -> Metadata:
    """Return the metadata of an image file, a PNG with complete chunks. Raises struct.error if a TIFF is truncated."""
    if kind == "JPEG":
        return of_jpeg(content)
    if kind == "TIFF":
        plain = bytearray(without_odd_tags(content))
        white = _with_black_at_zero(plain)
        return Metadata(bytes(plain), white=white)
    return Metadata(without_odd_animation(content) if kind == "PNG" else content)


def of_jpeg(content: bytes) -> Metadata:
    """Return the metadata of a JPEG; a gain map does not count as a further image."""
    exif, xmp, multi, gain = b"", b"", b"", False
    pieces, begin = [], 0
    for marker, start, end in segments(content):
        if marker not in (0xE1, 0xE2):
            continue
        payload = content[start + 4 : end]
        gain |= b' hdrgm:Version="' in payload
        if payload.startswith(_XMP):
            xmp = payload[len(_XMP) :]
        elif payload.startswith((_EXIF, _MULTI)):
            if payload.startswith(_MULTI):
                multi = payload[len(_MULTI) :]
            else:
                exif += payload[len(_EXIF) :]
            pieces.append(content[begin:start])
            begin = end
    plain = b"".join((*pieces, content[begin:])) if pieces else content
    several = (_value(multi, _IMAGES) or 0) > 1 and not gain
    return Metadata(plain, orientation(exif, xmp), several)


def is_raw(content: bytes) -> bool:
    """Return whether a TIFF is the raw file of a camera: a DNG, or one whose first image is only a thumbnail."""
    try:
        tags = {tag for _, tag, _, _ in _Directory(content).entries()}
    except struct.error:  # it is truncated
        return False
    return _DNG in tags or (_INNER in tags and _value(content, _PURPOSE) == _REDUCED)


def declared_size(content: bytes, kind: str) -> tuple[int, int] | None:
    """Return (W, H) of a GIF or WebP by its header: Pillow would warn about large ones, by a limit of its own."""
    try:
        if kind == "GIF":
            return _of_gif(content)
        return _of_webp(content) if kind == "WEBP" else None
    except (struct.error, IndexError):  # it ends within its header, which the decoder reports
        return None


def _of_gif(content: bytes) -> tuple[int, int]:
    """Return the size of the screen, enlarged to the first image (GIF89a, 18, 20 and 23 to 26)."""
    w, h, flags = struct.unpack_from("<HHB", content, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)
    while content[at : at + 1] == b"!":
        at += 2
        while content[at]:
            at += 1 + content[at]
        at += 1
    if content[at : at + 1] == b",":
        x, y, width, height = struct.unpack_from("<HHHH", content, at + 1)
        w, h = max(w, x + width), max(h, y + height)
    return w, h


def _of_webp(content: bytes) -> tuple[int, int] | None:
    """Return the size of the canvas or of the only image (RFC 9649, 2.5 to 2.7)."""
    chunk = content[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<L", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    w, h = struct.unpack_from("<HH", content, 26)
    return w & 0x3FFF, h & 0x3FFF


def segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment before the pixels: its marker, start and end (ITU-T T.81, B.1.1.4)."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xDA:
            return
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker <= 1 or 0xD0 <= marker <= 0xD9:  # nothing follows these
            at += 2
        else:
            end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            if end > len(content):
                return
            yield marker, at, end
            at = end


def orientation(exif: bytes, xmp: bytes) -> int:
    """Return the orientation, 1 to 8, from a block of EXIF, else of XMP; 1 if neither has one."""
    turn = _value(exif.removeprefix(_EXIF), _ORIENTATION)
    if turn is None:
        found = _TURNED.search(xmp)
        turn = int(found[1]) if found else 1
    return turn if turn in range(1, 9) else 1


def _value(block: bytes, wanted: int) -> int | None:
    """Return the integer stored under a tag in the first directory of a TIFF structure, or None."""
    try:
        directory = _Directory(block)
        for at, tag, kind, count in directory.entries():
            if tag == wanted and kind in _WHOLE and count:
                return int(struct.unpack_from(directory.order + _WHOLE[kind], block, at)[0])
    except struct.error:  # it ends too early
        return None
    return None


class _Directory:
    """The first directory of a TIFF structure (TIFF 6.0, section 2; BigTIFF). Raises struct.error if truncated."""

    def __init__(self, block: bytes | bytearray) -> None:
        self.order = ">" if block[:2] == b"MM" else "<"
        big = struct.unpack_from(self.order + "H", block, 2)[0] == 43
        self.form, self.inline = ("HHQ", 8) if big else ("HHL", 4)
        self.whole, self._counts, at = ("Q", "Q", 8) if big else ("L", "H", 4)
        (self.start,) = struct.unpack_from(self.order + self.whole, block, at)
        (self.count,) = struct.unpack_from(self.order + self._counts, block, self.start)
        self.first = self.start + struct.calcsize("<" + self._counts)
        self.step = struct.calcsize("<" + self.form) + self.inline
        self._block = block

    def set_count(self, block: bytearray, count: int) -> None:
        """Write the number of entries."""
        struct.pack_into(self.order + self._counts, block, self.start, count)

    def entries(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield the position of each entry's value or offset, its tag, type and number of values."""
        for k in range(self.count):
            at = self.first + k * self.step
            tag, kind, count = struct.unpack_from(self.order + self.form, self._block, at)
            yield at + self.step - self.inline, tag, kind, count


def without_odd_tags(content: bytes) -> bytes:
    """Return a TIFF file without the entries of its first directory that Pillow would skip with a warning.

    These point outside the file, have more bytes than the file, or point to camera settings. If a single-valued tag has
    several values, the first is used. A truncated directory ends with its last complete entry.
    Raises struct.error if there is no directory.
    """
    from PIL import TiffTags

    plain = bytearray(content)
    directory = _Directory(plain)
    whole = min(directory.count, (len(content) - directory.first) // directory.step)
    cut = directory.first + directory.count * directory.step + directory.inline > len(content)
    if cut:
        directory.set_count(plain, whole)
        directory.count = whole
        plain += bytes(directory.inline)
    sizes = 0
    for at, tag, kind, count in directory.entries():
        unit = _BYTES.get(kind, 0)
        size, end = unit * count, 0
        if size > directory.inline:
            (offset,) = struct.unpack_from(directory.order + directory.whole, plain, at)
            sizes, end = sizes + size, offset + size
        head = at - struct.calcsize("<" + directory.form)
        if tag in _POINTERS or end > len(content) or sizes > len(content):
            sizes -= size if end else 0
            struct.pack_into(directory.order + "H", plain, head + 2, _UNKNOWN)
        elif count > 1 and unit and kind not in _TEXTS and TiffTags.lookup(tag).length == 1:
            struct.pack_into(directory.order + directory.form, plain, head, tag, kind, 1)
            if end and unit <= directory.inline:
                plain[at : at + unit] = plain[end - size : end - size + unit]
    return bytes(plain)


def _with_black_at_zero(plain: bytearray) -> int | None:
    """Mark 16-bit gray of a TIFF as black at 0; return the value of white if it was stored with white at 0, else None.

    Pillow does not read white at 0, or does not invert it. White is the largest value, from its tag or else from the
    number of bits.
    """
    directory = _Directory(plain)
    found = {tag: (at, kind, count) for at, tag, kind, count in directory.entries() if kind in _WHOLE}

    def value_of(tag: int, otherwise: int) -> int:
        at, kind, count = found.get(tag, (0, 0, 0))
        return int(struct.unpack_from(directory.order + _WHOLE[kind], plain, at)[0]) if count == 1 else otherwise

    if value_of(_COLORS, 1) != 0 or value_of(_BITS, 1) != 16 or value_of(_SAMPLES, 1) != 1:
        return None
    at, kind, _ = found[_COLORS]
    struct.pack_into(directory.order + _WHOLE[kind], plain, at, 1)
    return value_of(_LARGEST, 65535)


def without_odd_animation(content: bytes) -> bytes:
    """Return a PNG file with complete chunks, without invalid animation chunks (acTL).

    Invalid is a number of frames of zero or above 2³¹, or a second such chunk; then all of them are removed.
    """
    found = [(at, end) for name, at, end in chunks(content) if name == b"acTL"]
    numbers = [int.from_bytes(content[at + 8 : at + 12], "big") for at, end in found if end - at >= 20]
    if len(numbers) < len(found) or (len(found) < 2 and all(0 < number <= 2**31 for number in numbers)):
        return content
    pieces, begin = [], 0
    for at, end in found:
        pieces.append(content[begin:at])
        begin = end
    return b"".join((*pieces, content[begin:]))


def chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, start and end of each complete chunk of a PNG file."""
    at = 8
    while at + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if end > len(content):
            return
        yield name, at, end
        at = end
