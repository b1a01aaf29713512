"""The table of contents of a zip archive: its size, and its members checked against each other, before any is read.

https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Final, Literal, final

from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

DENSEST: Final = 1032
"""Maximum compression ratio of deflate."""
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""Exceptions that Python's reader raises for damaged or unusual archives."""
_OTHER_METHODS: Final = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "lzma", 9: "deflate64", 93: "zstd"}
_NAMES: Final = {zipfile.ZIP_STORED: "none", zipfile.ZIP_DEFLATED: "deflate"}
_LOCAL_HEADER: Final = 30
_ENCRYPTED: Final = 0x2041
"""The flags of encryption, of strong encryption, and of masked headers."""
_END: Final = b"PK\x05\x06"
_END_64: Final = b"PK\x06\x06"
_END_SIZE, _LOCATOR_SIZE, _END_64_SIZE = 22, 20, 56
_LONGEST_COMMENT: Final = 2**16

FaultKind = Literal["twice", "overlap", "encrypted", "method", "size"]


@final
class MemberFault(Exception):  # noqa: N818 - a step of refusing an archive, not yet an error of the user's
    """What is wrong with a member."""

    def __init__(self, info: zipfile.ZipInfo, kind: FaultKind, reason: str) -> None:
        """Store the member, the kind of fault, and the rest of the sentence that starts with the member's name."""
        super().__init__(info, kind, reason)
        self.info, self.kind, self.reason = info, kind, reason


def check_members(
    infos: Iterable[zipfile.ZipInfo],
    size: int,
    shown: Callable[[zipfile.ZipInfo], str],
    *,
    methods: Collection[int] = METHODS,
    unique: bool = True,
) -> None:
    """Check all members against each other and the size of the file. Raises MemberFault.

    infos: in the order of their content. shown: the name of a member in messages. unique: whether no name may be used
    twice.
    """
    names: set[str] = set()
    end, before = 0, ""
    for info in infos:
        if unique and info.filename in names:
            raise MemberFault(info, "twice", " appears twice in the archive")
        if info.header_offset < end:
            raise MemberFault(info, "overlap", f" overlaps {before} in the archive")
        names.add(info.filename)
        before = shown(info)
        end = info.header_offset + _LOCAL_HEADER + len(info.orig_filename) + info.compress_size
        _check_member(info, size, end, methods)


def _check_member(info: zipfile.ZipInfo, size: int, end: int, methods: Collection[int]) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise MemberFault(info, "encrypted", ": found an encrypted file, expected one without a password")
    if info.compress_type not in methods:
        method = {**_OTHER_METHODS, **_NAMES}.get(info.compress_type, f"method {info.compress_type}")
        expected = " or ".join(_NAMES[known] for known in methods)
        raise MemberFault(info, "method", f": found {method} compression, expected {expected}")
    densest = 1 if info.compress_type == zipfile.ZIP_STORED else DENSEST
    if end > size or info.file_size > info.compress_size * densest:
        raise MemberFault(
            info,
            "size",
            f": found {display.count(min(info.compress_size, size))} bytes, which cannot contain the declared "
            f"{display.count(info.file_size)} bytes",
        )


def declared_size(file: IO[bytes]) -> int:
    """Return the size of the table of contents in bytes, as the end of the file declares it; 0 if there is none."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _END_SIZE - _LONGEST_COMMENT - _LOCATOR_SIZE - _END_64_SIZE)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_SIZE:
        return 0
    (declared,) = struct.unpack_from("<L", tail, at + 12)
    wide = at - _LOCATOR_SIZE - _END_64_SIZE
    if wide >= 0 and tail.startswith(_END_64, wide):
        (declared,) = struct.unpack_from("<Q", tail, wide + 40)
    return int(declared)
