"""One image file becomes pixels: uint8 (H, W) where it is gray, or (H, W, 3).

Which formats are read is decided by the first bytes, before any decoder sees them. What becomes of a pixel:

    gray of 1, 8, 16 bits           gray; of 16 bits the upper 8
    RGB, palette, of 8 or 16 bits   RGB; of 16 bits the upper 8
    CMYK, YCCK, YCbCr               RGB by Pillow's formula, without colour profiles
    with transparency               laid over white, then as above

An EXIF orientation is applied. Of an animation or a file of several pages, the first is taken. What is to be resized
(see `sizing`) is so after all of this. Of a JPEG at least three times as large as needed, the decoder leaves out the
highest frequencies and gives a half, a quarter or an eighth of the size (its draft mode).
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import figures
from layerline.data import metadata, recognise
from layerline.data.sizing import AS_IT_IS, Sizing, drafted, fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

FORMATS: Final = "PNG, JPEG, BMP or TIFF"
LARGEST_FILE: Final = 2**28
"""Bytes of an image file."""
MOST_PIXELS: Final = 80_000_000
"""240 MB as RGB. Pillow's own limit, which a program may set otherwise, is not asked."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_SIGNATURES: Final = (
    (_PNG, "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_OTHERS: Final = ((b"RIFF", "a WebP image"), (b"%!PS", "a PostScript file"), (b"\0\0\0", "a video or HEIF image"))
_ORIENTATION: Final = 0x0112
_TILE: Final = (0x0142, 0x0143)
"""Tags of TIFF: the width and the height of its tiles."""
_TO_GRAY: Final = {"1", "LA", "La"}
_TO_RGB: Final = {"P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
_ALPHA: Final = {"LA", "La", "PA", "RGBA", "RGBa"}
_SIXTEEN: Final = {"I;16", "I;16L", "I;16B", "I;16N"}
_WHITE: Final = 255


class BadImageError(Exception):
    """Why an image file cannot be used, as part of a sentence: `found …`."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image."""

    size: tuple[int, int]
    """(H, W) of the file, after the orientation is applied."""
    pixels: NDArray[np.uint8]
    """uint8 (H, W) or (H, W, 3), resized where that was asked for."""
    several: bool
    """Whether the file has more frames or pages, which are left out."""


def decode(content: bytes, sizing: Sizing = AS_IT_IS) -> Picture:
    """Return the image in the bytes of a file, in the size and colours asked for. Raises BadImageError."""
    kind = _kind(content)
    if kind == "PNG":
        _check_png(content)
    try:
        beside = metadata.beside(content, kind)
        image = _opened(beside.content, kind)
        H, W = image.height, image.width
        if W * H > MOST_PIXELS:
            raise BadImageError(f"{W}×{H} pixels, expected at most {figures.count(MOST_PIXELS)}")
        _check_tiles(image)
        several = beside.several or bool(getattr(image, "is_animated", False))
        turned, size = _upright(image, beside.turn, sizing)
        plain = _plain(turned, gray=sizing.gray)
        target = sizing.target(size)
        pixels = _array(plain if target is None else fitted(plain, target, sizing.fit))
    except BadImageError:
        raise
    except struct.error as error:
        raise BadImageError("an image that is damaged") from error
    except Exception as error:  # whatever a decoder raises, the file is at fault
        raise BadImageError(_reason(error)) from error
    return Picture(size, pixels, several)


def decode_pillow(image: Image, sizing: Sizing) -> Picture:
    """Return a Pillow image whose pixels are in memory, as its file would be decoded. Raises BadImageError."""
    try:
        turned, size = _upright(image, None, sizing)
        plain = _plain(turned, gray=sizing.gray)
        target = sizing.target(size)
        pixels = _array(plain if target is None else fitted(plain, target, sizing.fit))
    except BadImageError:
        raise
    except Exception as error:  # whatever Pillow raises, the image is at fault
        raise BadImageError(_reason(error)) from error
    return Picture(size, pixels, several=False)


def is_image(start: bytes) -> bool:
    """Return whether a file that begins so is in one of the formats that are read."""
    return any(start.startswith(signature) for signature, _ in _SIGNATURES)


def _kind(content: bytes) -> str:
    """Return the format by the first bytes. Raises BadImageError for what is not read."""
    for signature, name in _SIGNATURES:
        if content.startswith(signature):
            return name
    start = content[:300]
    what = next((what for magic, what in _OTHERS if start.startswith(magic)), None) or recognise.kind(start)
    raise BadImageError(f"{what or 'bytes that are no image'}, expected {FORMATS}")


def _check_png(content: bytes) -> None:
    """Compare the checksum of every chunk of a PNG file up to IEND: its decoder compares only some."""
    for name, at, end in metadata.chunks(content):
        (told,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(memoryview(content)[at + 4 : end - 4]) != told:
            raise BadImageError(f"a PNG chunk at byte {at} whose checksum is wrong")
        if name == b"IEND":
            return
    raise BadImageError("a PNG image that is cut off")


def _check_tiles(image: Image) -> None:
    """Refuse a TIFF whose single tiles are larger than an image may be: Pillow would warn, and reserve their memory."""
    tags = getattr(image, "tag_v2", {})
    w, h = (tags.get(tag, 0) for tag in _TILE)
    if w * h > MOST_PIXELS:
        raise BadImageError(f"tiles of {w}×{h} pixels, expected at most {figures.count(MOST_PIXELS)}")


def _opened(content: bytes, kind: str) -> Image:
    """Open it with the decoder of its format; `Image.open` would warn of sizes that are refused or allowed here."""
    try:
        image: Image = _decoders()[kind](io.BytesIO(content))
    except (SyntaxError, IndexError, TypeError) as error:
        raise BadImageError("an image that is damaged") from error
    return image


@functools.cache
def _decoders() -> dict[str, Any]:
    """Return Pillow's decoders of the formats that are read."""
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile

    return {"PNG": PngImageFile, "JPEG": JpegImageFile, "BMP": BmpImageFile, "TIFF": TiffImageFile}


@functools.cache
def _pillow() -> Any:
    """Return Pillow's module Image."""
    from PIL import Image

    return Image


def _orientation(image: Image) -> int:
    """Return the orientation of a decoded PNG, BMP or TIFF, 1 to 8; 1 where there is none, or it cannot be read."""
    said = image.info
    try:
        turn: Any = getattr(image, "tag_v2", {}).get(_ORIENTATION)
        if turn in range(1, 9):
            return int(turn)
        exif = said.get("exif") or bytes.fromhex("".join(said.get("Raw profile type exif", "").split("\n")[3:]))
    except Exception:  # a broken EXIF block does not make the pixels wrong
        return 1
    xmp = said.get("XML:com.adobe.xmp", "").encode() or said.get("xmp", b"")
    return metadata.orientation(exif, xmp)


def _upright(image: Image, turn: int | None, sizing: Sizing) -> tuple[Image, tuple[int, int]]:
    """Return the decoded image as it is to be looked at, and the size that all of the file has so.

    turn: the orientation of a JPEG; None where it is known only of the decoded image.
    """
    if turn is None:
        image.load()
        turned = _turned(image, _orientation(image))
        return turned, (turned.height, turned.width)
    sideways = turn >= 5
    size = (image.width, image.height) if sideways else (image.height, image.width)
    target = sizing.target(size)
    if target is not None:
        H, W = drafted(size, target, sizing.fit)
        image.draft(None, (H, W) if sideways else (W, H))
    image.load()
    return _turned(image, turn), size


def _turned(image: Image, turn: int) -> Image:
    """Undo an EXIF orientation (Exif 2.32, tag 0112: where the stored first row and column belong)."""
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


def _plain(image: Image, *, gray: bool | None) -> Image:
    """Return the image in the mode L or RGB."""
    mode = image.mode
    if mode in _SIXTEEN:
        image = _pillow().fromarray((np.asarray(image) >> 8).astype(np.uint8))
        mode = "L"
    if mode not in {"L", "RGB", *_TO_GRAY, *_TO_RGB}:
        raise BadImageError(f"pixels of the kind {mode}, expected gray or RGB of 8 or 16 bits")
    target = "L" if mode == "L" or mode in _TO_GRAY else "RGB"
    if mode in _ALPHA or "transparency" in image.info:
        image = _over_white(image, target)
    elif mode != target:
        image = image.convert(target)
    if gray is None or target == ("L" if gray else "RGB"):
        return image
    return image.convert("L" if gray else "RGB")


def _array(image: Image) -> NDArray[np.uint8]:
    """Return uint8 (H, W) or (H, W, 3)."""
    shape = (image.height, image.width) if image.mode == "L" else (image.height, image.width, 3)
    return np.frombuffer(image.tobytes(), np.uint8).reshape(shape)


def _over_white(image: Image, target: str) -> Image:
    clear = image.convert("RGBA")
    paper: Image = _pillow().new(target, image.size, _WHITE if target == "L" else (_WHITE,) * 3)
    paper.paste(clear.convert(target), mask=clear.getchannel("A"))
    return paper


def _reason(error: Exception) -> str:
    """Return what Pillow says, in our words where the case is a usual one."""
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or "not processed" in text or isinstance(error, EOFError):
        return "an image that is cut off"
    if text.startswith("Decompressed data too large"):
        return "a PNG image with text or a colour profile that unpacks to too much"
    if not text:
        return "an image that is damaged"
    return f"an image that cannot be decoded ({figures.name(text, 60)})"
