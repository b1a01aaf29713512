"""What can be wrong with a zip of images: the cases of data_mistakes_layouts.py go on."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from data_files import zip_of_files
from data_mistakes import Loaded, case
from data_mistakes_layouts import CASES as CASES
from image_files import picture, png

FILES = {f"photos/{name}/{k}.png": png(picture(k)) for name in ("cat", "dog") for k in range(2)}
FLAGS, METHOD, SIZE, OFFSET = 8, 10, 24, 42
"""Where an entry of the table of contents has these."""


def archive(content: bytes) -> Loaded:
    Path("set.zip").write_bytes(content)
    return "set.zip", {}


def entry(content: bytes, number: int = 0) -> int:
    """Return where the entry of a member is in the table of contents."""
    at = -1
    for _ in range(number + 1):
        at = content.index(b"PK\x01\x02", at + 1)
    return at


def changed(field: int, value: bytes, number: int = 0) -> bytes:
    """Return the archive of FILES with another value in an entry of its table of contents."""
    content = bytearray(zip_of_files(FILES))
    at = entry(content, number) + field
    content[at : at + len(value)] = value
    return bytes(content)


@case
def zip_cut() -> Loaded:
    return archive(zip_of_files(FILES)[:-30])


@case
def zip_without_images() -> Loaded:
    return archive(zip_of_files({"a/readme.txt": b"text", "b/": b""}))


@case
def zip_of_nothing() -> Loaded:
    return archive(zip_of_files({}))


@case
def zip_encrypted() -> Loaded:
    return archive(changed(FLAGS, b"\1"))


@case
def zip_deflate64() -> Loaded:
    return archive(changed(METHOD, b"\x09\0"))


@case
def zip_bzip2() -> Loaded:
    return archive(zip_of_files(FILES, zipfile.ZIP_BZIP2))


@case
def zip_bomb() -> Loaded:
    return archive(changed(SIZE, struct.pack("<L", 2**30)))


@case
def zip_overlapping() -> Loaded:
    return archive(changed(OFFSET, bytes(4), 1))


@case
def zip_wrong_checksum() -> Loaded:
    content = bytearray(zip_of_files(FILES, zipfile.ZIP_STORED))
    content[content.index(b"IDAT") + 6] ^= 1
    return archive(bytes(content))


@case
def zip_shorter_than_declared() -> Loaded:
    return archive(changed(SIZE, struct.pack("<L", len(FILES["photos/cat/0.png"]) + 5)))


@case
def zip_huge_contents() -> Loaded:
    content = bytearray(zip_of_files(FILES))
    at = content.index(b"PK\5\6")
    content[at + 12 : at + 16] = struct.pack("<L", 2**31)
    return archive(bytes(content))


@case
def zip_twice() -> Loaded:
    return archive(zip_of_files({**FILES, "photos/./cat/0.png": png(picture(5))}))


@case
def zip_folder_within() -> Loaded:
    return archive(zip_of_files({f"{name}/{k}/1.png": png(picture(k)) for name in "ab" for k in range(2)}))
