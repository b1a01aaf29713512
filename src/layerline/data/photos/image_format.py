"""The formats of image files: recognized by their first bytes, before any decoder sees them.

Pillow decodes PNG, JPEG, GIF, BMP, TIFF and the Netpbm formats (PBM, PGM, PPM), and WebP and AVIF if it was built with
them. HEIC needs the package pillow-heif. Raw files of cameras are never decoded: a TIFF decoder finds only their
thumbnails.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
from typing import Any, Final

from layerline.data.formats import recognize
from layerline.data.photos import metadata

FORMATS: Final = "PNG, JPEG, WebP, GIF, AVIF, BMP, TIFF or PPM"
SUFFIXES: Final = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".avif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".hif"),
)
"""How names of image files end, in lower case."""
RAW_SUFFIXES: Final = (
    *(".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".dng", ".raf", ".orf", ".rw2", ".rwl", ".pef"),
    *(".srw", ".x3f", ".3fr", ".iiq", ".kdc", ".dcr", ".erf", ".mef", ".mos", ".mrw"),
)
"""How names of cameras' raw files end, in lower case."""
EXPECTED: Final = (*SUFFIXES, *RAW_SUFFIXES)
"""How files end that are meant as images, whether they can be read or not."""
START: Final = 300
"""Number of bytes that recognize a format."""

PNG: Final = b"\x89PNG\r\n\x1a\n"
_SIGNATURES: Final = (
    (PNG, "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_NETPBM: Final = re.compile(rb"P[1-6]\s+(?:#|[0-9]+\s+(?:#|[0-9]))")
"""The magic number, then a comment, or width and height (https://netpbm.sourceforge.net/doc/ppm.html)."""
_AVIF: Final = {b"avif", b"avis"}
_HEIC: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_RAW: Final = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_CR2: Final = slice(8, 10)
_OTHERS: Final = (
    (b"%!PS", "a PostScript file"),
    (b"RIFF", "a sound or video file"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"8BPS", "a Photoshop file"),
    (b"v/1\x01", "an OpenEXR image"),
)

RAW: Final = "a RAW camera file"
INSTALL: Final = {
    "a HEIC image, which needs pillow-heif": "pip install 'layerline[heic]'",
    "an AVIF image, which this build of Pillow cannot read": "pip install --force-reinstall --only-binary :all: pillow",
    "a WebP image, which this build of Pillow cannot read": "pip install --force-reinstall --only-binary :all: pillow",
}
"""Why a file cannot be used, for formats whose decoder is not installed → the command that installs it."""
_LACKING: Final = dict(zip(("HEIC", "AVIF", "WEBP"), INSTALL, strict=True))
_PLUGINS: Final = {
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "PPM": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIC": ("pillow_heif.as_plugin", "HeifImageFile"),
}
_OPTIONAL: Final = {"WEBP": "webp", "AVIF": "avif"}
"""Formats that Pillow may be built without → its name of the feature."""


class BadImageError(Exception):
    """Why an image file cannot be used, worded to follow `found`."""


def kind(content: bytes) -> str:
    """Return the format of a file, by its content. Raises BadImageError for one that is not supported."""
    start = content[:START]
    found = _kind(start)
    if found == "RAW" or (found == "TIFF" and (start[_CR2] == b"CR" or metadata.is_raw(content))):
        raise BadImageError(f"{RAW}, expected {FORMATS}")
    if found is None:
        what = _other(start)
        raise BadImageError(f"{what or 'unrecognized data'}, expected {FORMATS}")
    return found


def is_image(start: bytes) -> bool:
    """Return whether a file that starts with these bytes is an image, of a supported format or a raw one."""
    return _kind(start) is not None


def check_named(name: str, content: bytes) -> None:
    """Raise BadImageError for a TIFF whose name is that of a raw file: its first image is only a thumbnail."""
    if name.lower().endswith(RAW_SUFFIXES) and _kind(content[:START]) == "TIFF":
        raise BadImageError(f"{RAW}, expected {FORMATS}")


@functools.cache
def decoder(kind: str) -> Any:
    """Return Pillow's decoder for a format. Raises BadImageError if it is not installed."""
    module, name = _PLUGINS[kind]
    feature = _OPTIONAL.get(kind)
    if feature is not None:
        from PIL import features

        if not features.check(feature):
            raise BadImageError(_LACKING[kind])
    if kind == "HEIC" and importlib.util.find_spec("pillow_heif") is None:
        raise BadImageError(_LACKING[kind])
    return getattr(importlib.import_module(module), name)


def installed() -> list[str]:
    """Return what decides which files can be decoded, and to which pixels: versions, and what Pillow was built with."""
    from PIL import __version__ as pillow
    from PIL import features

    try:
        heif = importlib.metadata.version("pillow-heif")
    except importlib.metadata.PackageNotFoundError:
        heif = ""
    return [pillow, heif, *(feature for feature in _OPTIONAL.values() if features.check(feature))]


def _kind(start: bytes) -> str | None:
    """Return the format of a file by its first bytes: RAW for cameras' raw files that are recognized there."""
    for signature, name in _SIGNATURES:
        if start.startswith(signature):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        return _of_brands(start)
    if start.startswith(_RAW):
        return "RAW"
    return "PPM" if _NETPBM.match(start) else None


def _of_brands(start: bytes) -> str | None:
    """Return the format of a file of ISO's container (ISO/IEC 14496-12, 4.3), by its brands."""
    end = min(int.from_bytes(start[:4], "big"), len(start))
    brands = {start[8:12], *(start[at : at + 4] for at in range(16, end - 3, 4))}
    if brands & _AVIF:
        return "AVIF"
    if brands & _HEIC:
        return "HEIC"
    return "RAW" if b"crx " in brands else None


def _other(start: bytes) -> str | None:
    """Return what a file is that is not in a supported format, None if that is unknown."""
    if start[4:8] == b"ftyp":
        return "an unusual HEIF image" if start[8:12] in (b"mif1", b"msf1") else "a video"
    return next((what for magic, what in _OTHERS if start.startswith(magic)), None) or recognize.kind(start)
