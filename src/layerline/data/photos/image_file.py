"""Decode one image file: uint8 (H, W) if it is gray, else (H, W, 3); uint16 if 16-bit gray is kept.

The format is recognized by the first bytes, before any decoder sees them. How pixels are converted:

    1- or 8-bit gray                gray
    16-bit gray                     16-bit gray, or the upper 8 bits, as requested
    8- or 16-bit RGB or palette     RGB; of 16 bits the upper 8
    CMYK, YCCK, YCbCr               RGB by Pillow's formula, without color profiles
    with transparency               composited over white, then as above; a transparent color is compared by the upper
                                    8 bits of each channel in 16-bit RGB, by all 16 in gray
    white stored as 0 (TIFF)        inverted, so that black is 0

Netpbm files whose largest value is not 255 or 65,535 are scaled to that first; AVIF and HEIC of more than 8 bits are
read as 8.

An EXIF orientation is applied. Of an animation or a multi-page file, only the first image is used. Resizing (see
`sizing`) comes after all of this. A JPEG at least three times as large as needed is decoded at a half, a quarter or an
eighth of its size, without the highest frequencies (draft mode). If that size is not an integer, the last row and
column are only partly covered by the picture, and are weighted accordingly when it is resized.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.photos import image_format, metadata
from layerline.data.photos.image_format import BadImageError
from layerline.data.photos.sizing import AS_IT_IS, Box, Sizing, drafted, fitted
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from PIL.Image import Image

VERSION: Final = 3
"""Version of the decoding: increased whenever the same file decodes to different pixels, so that images cached by an
earlier version are not used."""
LARGEST_FILE: Final = 2**28
"""Maximum size of an image file in bytes."""
MAX_PIXELS: Final = 80_000_000
"""240 MB as RGB. Pillow's own limit, which a program can change, is not used."""

_ORIENTATION: Final = 0x0112
_TILE: Final = (0x0142, 0x0143)
"""TIFF tags: width and height of its tiles."""
_WIDTH, _HEIGHT, _BITS, _PACKED, _SAMPLES, _PLANES = 0x0100, 0x0101, 0x0102, 0x0103, 0x0115, 0x011C
"""TIFF tags: columns, rows, bits per sample, compression, samples per pixel, planar configuration."""
_SIZES: Final = (0x0117, 0x0145)
"""TIFF tags: bytes of each strip or tile."""
_UNPACKED: Final = 1
_APART: Final = 2
SIDEWAYS: Final = 5
"""The first of the orientations that turn rows into columns."""
_FROM_RIGHT: Final = {2, 3, 7, 8}
"""Orientations in which the last stored column becomes the first column or row."""
_FROM_BELOW: Final = {3, 4, 6, 7}
"""Orientations in which the last stored row becomes the first row or column."""
_TO_GRAY: Final = {"1", "LA", "La"}
_TO_RGB: Final = {"P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
_ALPHA: Final = {"LA", "La", "PA", "RGBA", "RGBa"}
_SIXTEEN: Final = {"I;16", "I;16L", "I;16B", "I;16N"}
_WHITE: Final = 255
_BAND: Final = 1 << 20
"""Number of pixels converted at once."""
_DEEP_WHITE: Final = 65535


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image."""

    size: tuple[int, int]
    """(H, W) of the file, after the orientation is applied."""
    pixels: NDArray[Any]
    """uint8 or uint16 (H, W) or (H, W, 3), resized if requested."""
    several: bool
    """Whether the file has more frames or pages, which are ignored."""
    halved: bool
    """Whether the file has 16 bits per channel, of which only the upper 8 are used."""


def decode(content: bytes, sizing: Sizing = AS_IT_IS) -> Picture:
    """Decode the bytes of an image file to the requested size and colors. Raises BadImageError."""
    kind = image_format.kind(content)
    if kind == "PNG":
        _check_png(content)
    _check_size(metadata.declared_size(content, kind))
    try:
        extra = metadata.extract(content, kind)
        image = _opened(extra.content, kind)
        _check_size(image.size)
        _check_tiles(image)
        _check_rows(image)
        several = extra.several or bool(getattr(image, "is_animated", False))
        wide = _is_deep(image, kind) or _has_wide_colors(image, content, kind)
        clear = image.info.get("transparency")
        if wide and isinstance(clear, tuple):  # a color of 16 bits, while Pillow gives the upper 8 of each pixel
            image.info["transparency"] = tuple(value >> 8 for value in clear)
        turned, size, box = _upright(image, extra.turn, sizing)
        if kind == "PPM" and turned.mode == "I":
            turned = turned.convert("I;16")
        plain = _plain(turned, extra.white, sizing)
        del image, turned  # up to a quarter of a gigabyte each
        pixels = _array(plain if sizing.size is None else fitted(plain, sizing.size, sizing.how, box), sizing)
    except BadImageError:
        raise
    except struct.error as error:
        raise BadImageError("a damaged image") from error
    except Exception as error:  # whatever a decoder raises, the file is at fault
        raise BadImageError(_reason(error)) from error
    return Picture(size, pixels, several, wide and pixels.dtype == np.uint8)


def decode_pillow(image: Image, sizing: Sizing) -> Picture:
    """Convert a Pillow image in memory the way its file would be decoded. Raises BadImageError."""
    try:
        turned, size, box = _upright(image, None, sizing)
        plain = _plain(turned, None, sizing)
        pixels = _array(plain if sizing.size is None else fitted(plain, sizing.size, sizing.how, box), sizing)
    except BadImageError:
        raise
    except Exception as error:  # whatever Pillow raises, the image is at fault
        raise BadImageError(_reason(error)) from error
    return Picture(size, pixels, several=False, halved=image.mode in _SIXTEEN and pixels.dtype == np.uint8)


def outline(content: bytes) -> tuple[tuple[int, int], bool]:
    """Return the size (H, W) of an image, and whether it is 16-bit gray, from its header.

    Raises BadImageError if the file cannot be opened; even if it can, its pixels may be damaged.
    """
    kind = image_format.kind(content)
    _check_size(metadata.declared_size(content, kind))
    try:
        extra = metadata.extract(content, kind)
        image = _opened(extra.content, kind)
        turn = extra.turn or (1 if kind == "TIFF" else _orientation(image))  # Pillow's size of a TIFF is upright
    except BadImageError:
        raise
    except Exception as error:  # whatever a decoder raises, the file is at fault
        raise BadImageError(_reason(error)) from error
    size = (image.width, image.height) if turn >= SIDEWAYS else (image.height, image.width)
    return size, _is_deep(image, kind)


def _check_size(size: tuple[int, int] | None) -> None:
    """Reject an image of more pixels than allowed. size: (W, H), None if it is not known yet."""
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise BadImageError(f"{size[0]}×{size[1]} pixels, expected at most {display.count(MAX_PIXELS)}")


def _check_png(content: bytes) -> None:
    """Verify the checksum of every chunk of a PNG file up to IEND: its decoder verifies only some."""
    for name, at, end in metadata.chunks(content):
        (stored,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(memoryview(content)[at + 4 : end - 4]) != stored:
            raise BadImageError(f"a PNG chunk with a wrong checksum at byte {at}")
        if name == b"IEND":
            return
    raise BadImageError("a truncated PNG image")


def _check_tiles(image: Image) -> None:
    """Reject a TIFF with tiles larger than the largest image: Pillow would warn, and allocate memory for them."""
    tags = getattr(image, "tag_v2", {})
    w, h = (tags.get(tag, 0) for tag in _TILE)
    if w * h > MAX_PIXELS:
        raise BadImageError(f"tiles of {w}×{h} pixels, expected at most {display.count(MAX_PIXELS)}")


def _check_rows(image: Image) -> None:
    """Reject an uncompressed TIFF with fewer rows than its header declares: Pillow would pad it with black."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PACKED, _UNPACKED) != _UNPACKED or not tags:
        return
    w, h = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
    samples, bits = tags.get(_SAMPLES, 1), max(tags.get(_BITS, (1,)))
    planes = samples if tags.get(_PLANES) == _APART else 1
    boxes = [tile[1] for tile in getattr(image, "tile", ())]
    covered = sum((min(w, right) - left) * (min(h, bottom) - top) for left, top, right, bottom in boxes)
    sizes = next((tags[tag] for tag in _SIZES if tag in tags), ())
    row = planes * -(-w * (samples // planes) * bits // 8)
    held = sum(sizes) // row if all(sizes) and sizes else h
    if covered < w * h * planes or held < h:
        rows = min(held, covered // (w * planes))
        raise BadImageError(f"{display.count(rows)} rows of pixels, expected the {display.count(h)} of its header")


def _is_deep(image: Image, kind: str) -> bool:
    """Return whether an image is 16-bit gray, which Pillow reads as 32-bit integers from a PGM."""
    return image.mode in _SIXTEEN or (kind == "PPM" and image.mode == "I")


def _has_wide_colors(image: Image, content: bytes, kind: str) -> bool:
    """Return whether a color image has 16 bits per channel, of which Pillow returns only the upper 8."""
    if kind == "PNG":
        return content[24] == 16
    if kind == "PPM":
        tiles: Any = getattr(image, "tile", None)
        return image.mode == "RGB" and isinstance(tiles[0].args, tuple) and int(tiles[0].args[1]) > _WHITE
    return kind == "TIFF" and 16 in getattr(image, "tag_v2", {}).get(_BITS, ())


def _opened(content: bytes, kind: str) -> Image:
    """Open an image with the decoder for its format; `Image.open` would warn about sizes that are checked here."""
    try:
        image: Image = image_format.decoder(kind)(io.BytesIO(content))
    except (SyntaxError, IndexError, TypeError) as error:
        raise BadImageError("a damaged image") from error
    return image


@functools.cache
def _pillow() -> Any:
    """Return Pillow's module Image."""
    from PIL import Image

    return Image


def _orientation(image: Image) -> int:
    """Return the orientation of a decoded image other than a JPEG, 1 to 8; 1 if there is none, or it cannot be read."""
    info = image.info
    try:
        turn: Any = getattr(image, "tag_v2", {}).get(_ORIENTATION)
        if turn in range(1, 9):
            return int(turn)
        exif = info.get("exif") or bytes.fromhex("".join(info.get("Raw profile type exif", "").split("\n")[3:]))
    except Exception:  # a broken EXIF block does not make the pixels wrong
        return 1
    xmp = info.get("XML:com.adobe.xmp", "").encode() or info.get("xmp", b"")
    return metadata.orientation(exif, xmp)


def _upright(image: Image, turn: int | None, sizing: Sizing) -> tuple[Image, tuple[int, int], Box | None]:
    """Return the decoded image upright, the upright size of the whole file, and the box of the picture in the image.

    turn: the orientation of a JPEG; None if it is known only from the decoded image.
    """
    if turn is None:
        image.load()
        turned = _turned(image, _orientation(image))
        return turned, (turned.height, turned.width), None
    sideways = turn >= SIDEWAYS
    size = (image.width, image.height) if sideways else (image.height, image.width)
    drawn = None
    if sizing.size is not None:
        H, W = drafted(size, sizing.size, sizing.how)
        drawn = image.draft(None, (H, W) if sideways else (W, H))
    image.load()
    box = None if drawn is None else _box(image, drawn[1][2:], turn)
    return _turned(image, turn), size, box


def _box(image: Image, drawn: tuple[float, float], turn: int) -> Box:
    """Return where the picture, `drawn` (width, height) from the upper left, lies after an orientation is applied."""
    right, bottom = image.width - drawn[0], image.height - drawn[1]
    left, top = (right if turn in _FROM_RIGHT else 0.0), (bottom if turn in _FROM_BELOW else 0.0)
    w, h = drawn
    return (top, left, top + h, left + w) if turn >= SIDEWAYS else (left, top, left + w, top + h)


def _turned(image: Image, turn: int) -> Image:
    """Apply an EXIF orientation (Exif 2.32, tag 0112: the position of the first stored row and column)."""
    if turn == 1:
        return image
    ways = (
        "FLIP_LEFT_RIGHT",
        "ROTATE_180",
        "FLIP_TOP_BOTTOM",
        "TRANSPOSE",
        "ROTATE_270",
        "TRANSVERSE",
        "ROTATE_90",
    )
    turned: Image = image.transpose(_pillow().Transpose[ways[turn - 2]])
    return turned


def _plain(image: Image, white: int | None, sizing: Sizing) -> Image:
    """Return the image in mode L or RGB, or in mode F if 16-bit gray is kept: float32 holds all values exactly.

    white: for 16-bit gray that is stored as white minus its value.
    """
    mode, gray = image.mode, sizing.gray
    if mode in _SIXTEEN:
        wide = _wide(image, white)
        if sizing.deep:
            exact: Image = _pillow().fromarray(wide.astype(np.float32))
            return exact
        image = _pillow().fromarray((wide >> 8).astype(np.uint8))
        mode = "L"
    if mode not in {"L", "RGB", *_TO_GRAY, *_TO_RGB}:
        raise BadImageError(f"pixels of mode {mode}, expected 8- or 16-bit gray or RGB")
    target = "L" if mode == "L" or mode in _TO_GRAY else "RGB"
    if mode in _ALPHA or "transparency" in image.info:
        image = _over_white(image, target)
    elif mode != target:
        image = image.convert(target)
    if gray is None or target == ("L" if gray else "RGB"):
        return image
    return image.convert("L" if gray else "RGB")


def _wide(image: Image, white: int | None) -> NDArray[np.uint16]:
    """Return 16-bit gray with black as 0, composited over white, uint16 (H, W)."""
    wide: NDArray[np.uint16] = np.asarray(image).astype(np.uint16)
    if white is not None:
        wide = np.subtract(white, np.minimum(wide, white), dtype=np.uint16)
    clear = image.info.get("transparency")
    if clear is not None:
        wide[wide == clear] = _DEEP_WHITE
    return wide


def _array(image: Image, sizing: Sizing) -> NDArray[Any]:
    """Return uint8 (H, W) or (H, W, 3); uint16 if 16-bit gray is kept, or an 8-bit image is among 16-bit ones."""
    if image.mode == "F":
        wide = np.rint(np.asarray(image)).clip(0, _DEEP_WHITE).astype(np.uint16)
        return np.repeat(wide[..., None], 3, axis=2) if sizing.gray is False else wide
    narrow = _bytes(image)
    if not sizing.deep or sizing.largest is None:
        return narrow
    among_wide: NDArray[np.uint16] = np.rint(narrow * (sizing.largest / _WHITE)).astype(np.uint16)
    return among_wide


def _bytes(image: Image) -> NDArray[np.uint8]:
    shape = (image.height, image.width) if image.mode == "L" else (image.height, image.width, 3)
    pixels = np.empty(shape, np.uint8)
    for top, some in _bands(image):
        pixels[top : top + some.height] = np.frombuffer(some.tobytes(), np.uint8).reshape(some.height, *shape[1:])
    return pixels


def _over_white(image: Image, target: str) -> Image:
    paper: Image = _pillow().new(target, image.size, _WHITE if target == "L" else (_WHITE,) * 3)
    for top, some in _bands(image):
        clear = some.convert("RGBA")
        paper.paste(clear.convert(target), (0, top), mask=clear.getchannel("A"))
    return paper


def _bands(image: Image) -> Iterator[tuple[int, Image]]:
    """Yield bands of whole rows, each with its first row: Pillow copies everything that it converts."""
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _reason(error: Exception) -> str:
    """Return the reason for a decoding error: our wording for common cases, else Pillow's."""
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or "not processed" in text or isinstance(error, EOFError):
        return "a truncated image"
    if text.startswith("Decompressed data too large"):
        return "a PNG image with text or a color profile that is too large when unpacked"
    if not text or text == "could not create decoder object":
        return "a damaged image"
    return f"an image that cannot be decoded ({display.name(text, 60)})"
