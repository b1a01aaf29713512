"""Recognize a file's type by its first bytes, for messages about unexpected files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

GZIP: Final = b"\x1f\x8b"
XZ: Final = b"\xfd7zXZ\x00"
ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")

_HTML: Final = "an HTML page"
_SIGNATURES: Final = (
    (GZIP, "a gzip file"),
    (ZIP[0], "a zip archive"),
    (ZIP[1], "an empty zip archive"),
    (b"\x93NUMPY", "a single NumPy array (.npy)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"MATLAB", "a MATLAB file"),
    (b"%PDF", "a PDF document"),
    (b"BZh", "a bzip2 file"),
    (XZ, "an xz file"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"version https://git-lfs", "a Git LFS pointer instead of the file"),
)


def kind(start: bytes) -> str | None:
    """Return the type of a file that starts with `start` (up to 300 bytes), or None if it is unknown."""
    if not start:
        return "an empty file"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        return _HTML
    if text.startswith(b"<"):
        return "an XML or HTML page"
    for signature, what in _SIGNATURES:
        if start.startswith(signature):
            return what
    if start[257:262] == b"ustar":
        return "a tar archive"
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle (never loaded)"
    if len(start) >= 4 and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return "plain text"
    return None


def remedy(what: str | None) -> str:
    """Return the help line for a file of an unexpected type."""
    if what and "HTML" in what:
        return "a web page was downloaded instead of the data: download the file again"
    if what == "an empty file":
        return "download the file again"
    if what and "Git LFS" in what:
        return "run `git lfs pull` in its repository"
    if what and "(.npy)" in what:
        return "save images and labels together: numpy.savez(file, x=images, y=labels)"
    if what and any(word in what for word in ("bzip2", "7z", "RAR", "Zstandard")):
        return "repack it as .zip or .tar.gz"
    if what and "archive" in what:
        return "unpack it first"
    return "check that this is the right file"


def shown(path: Path) -> str:
    """Return a path as displayed in messages."""
    return display.name(str(path), 200)


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error to raise if the system cannot read `path`."""
    return DataError(f"{shown(path)}: cannot be read: {error.strerror or error}", "check the path and its permissions")
