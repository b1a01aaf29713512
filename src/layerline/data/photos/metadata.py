"""What an image file says beside its pixels: read here, and taken out where Pillow would stumble over it.

Pillow reads all of it, and warns where it is odd. Under `python -W error` a warning would make a good image a bad one,
and the filters that could prevent that belong to the whole process, whose other threads may be changing them.
So what Pillow would warn of does not reach it; no pixel depends on that.
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
"""How many images a multi-picture file has (CIPA DC-007, 5.2.3.2)."""
_BITS, _COLORS, _SAMPLES, _LARGEST = 0x0102, 0x0106, 0x0115, 0x0119
"""Tags of TIFF: bits of a value, whether 0 is white, values of a pixel, the largest of them."""
_POINTERS: Final = {0x8769, 0x8825, 0xA005}
"""Tags of TIFF that lead to directories of a camera's settings."""
_UNKNOWN: Final = 0xFFFF
"""A type that TIFF does not have: such an entry is passed over."""
_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""Type of a TIFF value → its bytes."""
_TEXTS: Final = {1, 2, 7}
"""Types of which many are one value."""
_WHOLE: Final = {1: "B", 3: "H", 4: "L"}
_EXIF: Final = b"Exif\0\0"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_MULTI: Final = b"MPF\0"
_TURNED: Final = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


@dataclass(frozen=True, eq=False)
class Metadata:
    """What was found beside the pixels of a file, as far as it is not left to Pillow."""

    content: bytes
    """The file without what Pillow would warn of."""
    turn: int | None = None
    """Of a JPEG EXIF's orientation, 1 to 8; 1 where there is none, or it cannot be read."""
    several: bool = False
    """Whether a JPEG is followed by more images."""
    white: int | None = None
    """Of gray of 16 bits in a TIFF that stores white minus each value: white."""


def extract(content: bytes, kind: str) -> Metadata:
    """Return it for a PNG whose chunks are whole, a JPEG, a TIFF or a BMP. Raises struct.error where one is cut off."""
    if kind == "JPEG":
        return of_jpeg(content)
    if kind == "TIFF":
        plain = bytearray(without_odd_tags(content))
        white = _with_black_at_zero(plain)
        return Metadata(bytes(plain), white=white)
    return Metadata(without_odd_animation(content) if kind == "PNG" else content)


def of_jpeg(content: bytes) -> Metadata:
    """Return what is said beside the pixels; a gain map is no further image."""
    exif, xmp, multi, gain = b"", b"", b"", False
    kept, begin = [], 0
    for marker, start, end in segments(content):
        if marker not in (0xE1, 0xE2):
            continue
        said = content[start + 4 : end]
        gain |= b' hdrgm:Version="' in said
        if said.startswith(_XMP):
            xmp = said[len(_XMP) :]
        elif said.startswith((_EXIF, _MULTI)):
            if said.startswith(_MULTI):
                multi = said[len(_MULTI) :]
            else:
                exif += said[len(_EXIF) :]
            kept.append(content[begin:start])
            begin = end
    plain = b"".join((*kept, content[begin:])) if kept else content
    several = (_value(multi, _IMAGES) or 0) > 1 and not gain
    return Metadata(plain, orientation(exif, xmp), several)


def segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment before the pixels: its marker, and where it begins and ends (ITU-T T.81, B.1.1.4)."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xDA:
            return
        if marker == 0xFF:  # a byte that fills
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
    """Return the orientation, 1 to 8, from a block of EXIF, else from one of XMP; 1 where neither says it."""
    turn = _value(exif.removeprefix(_EXIF), _ORIENTATION)
    if turn is None:
        found = _TURNED.search(xmp)
        turn = int(found[1]) if found else 1
    return turn if turn in range(1, 9) else 1


def _value(block: bytes, wanted: int) -> int | None:
    """Return the whole number that the first directory of a TIFF structure has under a tag, or None."""
    try:
        directory = _Directory(block)
        for at, tag, kind, count in directory.entries():
            if tag == wanted and kind in _WHOLE and count:
                return int(struct.unpack_from(directory.order + _WHOLE[kind], block, at)[0])
    except struct.error:  # it ends too early
        return None
    return None


class _Directory:
    """The first directory of a TIFF structure (TIFF 6.0, section 2; BigTIFF). Raises struct.error where it is cut."""

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
        """Write how many entries there are."""
        struct.pack_into(self.order + self._counts, block, self.start, count)

    def entries(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield where each entry's value or its offset is, its tag, its type and how many values it has."""
        for k in range(self.count):
            at = self.first + k * self.step
            tag, kind, count = struct.unpack_from(self.order + self.form, self._block, at)
            yield at + self.step - self.inline, tag, kind, count


def without_odd_tags(content: bytes) -> bytes:
    """Return a TIFF file without the entries of its first directory that Pillow passes over with a warning.

    These lie outside the file, are more than the file has bytes, or lead to a camera's settings. Of a tag that has one
    value, the first is taken. A directory that the file's end cuts off ends with its last whole entry.
    Raises struct.error where there is no directory.
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
    """Change what a TIFF says of gray of 16 bits, from white at 0 to black at 0; return white where it was at 0.

    Pillow reads the one and not the other, or without turning it round. White is the largest value by the tag for it,
    else by the number of bits.
    """
    directory = _Directory(plain)
    found = {tag: (at, kind, count) for at, tag, kind, count in directory.entries() if kind in _WHOLE}

    def said(tag: int, otherwise: int) -> int:
        at, kind, count = found.get(tag, (0, 0, 0))
        return int(struct.unpack_from(directory.order + _WHOLE[kind], plain, at)[0]) if count == 1 else otherwise

    if said(_COLORS, 1) != 0 or said(_BITS, 1) != 16 or said(_SAMPLES, 1) != 1:
        return None
    at, kind, _ = found[_COLORS]
    struct.pack_into(directory.order + _WHOLE[kind], plain, at, 1)
    return said(_LARGEST, 65535)


def without_odd_animation(content: bytes) -> bytes:
    """Return a PNG file, whose chunks are whole, without chunks that say of how many frames it is in no valid way.

    That is a number that is zero or above 2³¹, or a second one; all of them go then.
    """
    found = [(at, end) for name, at, end in chunks(content) if name == b"acTL"]
    numbers = [int.from_bytes(content[at + 8 : at + 12], "big") for at, end in found if end - at >= 20]
    if len(numbers) < len(found) or (len(found) < 2 and all(0 < number <= 2**31 for number in numbers)):
        return content
    kept, begin = [], 0
    for at, end in found:
        kept.append(content[begin:at])
        begin = end
    return b"".join((*kept, content[begin:]))


def chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk of a PNG file that is whole, and where it begins and ends."""
    at = 8
    while at + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if end > len(content):
            return
        yield name, at, end
        at = end
