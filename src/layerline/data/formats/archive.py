"""Read a zip archive of arrays: all members are checked before any is unpacked, each to at most its declared size."""

from __future__ import annotations

import contextlib
import os
import zipfile
from typing import IO, TYPE_CHECKING, Any, Final

from layerline.data.formats import recognize
from layerline.data.formats.npy import Header, header, values
from layerline.data.formats.recognize import shown, unreadable
from layerline.data.formats.stream import FETCH
from layerline.errors import DataError
from layerline.files import regular
from layerline.files.zip_table import BROKEN, MemberFault, check_members
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_MAX_MEMBERS: Final = 1000
_END: Final = b"PK\x05\x06"
_END_SIZE: Final = 22
_HELPS: Final = {
    "twice": "save it again with numpy.savez",
    "encrypted": "save it without a password",
    "method": "save it with numpy.savez or numpy.savez_compressed",
}
"""What to do about a member, by the kind of its fault."""


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Open an archive; yield it with its arrays by name (without `.npy`). Raises DataError."""
    try:
        file = regular.opened(path)
    except OSError as error:
        raise unreadable(path, error) from error
    with file, _archive(file, path) as archive:
        yield archive, _members(archive, shown(path), os.fstat(file.fileno()).st_size)


def _archive(file: IO[bytes], path: Path) -> zipfile.ZipFile:
    try:
        _check_kind(file, path)
        return zipfile.ZipFile(file)
    except OSError as error:
        raise unreadable(path, error) from error
    except BROKEN as error:
        raise DataError(
            f"{shown(path)}: cannot read the table of contents at the end of this .npz archive", FETCH
        ) from error


def read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: str) -> NDArray[Any]:
    """Return the array in a member. Raises DataError; at most the declared size is unpacked."""
    try:
        with archive.open(info) as file:
            return values(file, info.file_size, place)
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}", FETCH) from error
    except MemoryError as error:
        raise DataError(
            f"{place}: {display.size(info.file_size)} do not fit into memory", "use part of the data"
        ) from error
    except BROKEN as error:
        reason = "does not match its checksum (CRC-32)" if "CRC" in str(error) else "cannot be unpacked"
        raise DataError(f"{place}: the data {reason}", FETCH) from error


def header_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: str) -> Header:
    """Return the header of the array in a member; no values are read. Raises DataError."""
    try:
        with archive.open(info) as file:
            return header(file.read, place)
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}", FETCH) from error
    except BROKEN as error:
        raise DataError(f"{place}: the data cannot be unpacked", FETCH) from error


def _check_kind(file: IO[bytes], path: Path) -> None:
    """Raise DataError if this is not a zip archive, or has too many members, by its first and last bytes."""
    start = file.read(300)
    if not start.startswith(recognize.ZIP):
        what = recognize.kind(start) or start[:4].hex(" ")
        raise DataError(
            f"{shown(path)}:0: found {what}, expected an .npz archive (first bytes 50 4b)", recognize.remedy(what)
        )
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_SIZE))
    end = file.read()
    count = int.from_bytes(end[10:12], "little")
    if end.startswith(_END) and count > _MAX_MEMBERS:
        raise _too_many(shown(path), count)


def _members(archive: zipfile.ZipFile, name: str, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members that are arrays, after checking all members against each other and the file size."""
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise _too_many(name, len(infos))
    infos = sorted(infos, key=lambda info: info.header_offset)
    try:
        check_members(infos, size, lambda info: display.name(info.filename))
    except MemberFault as fault:
        place = f"{name}: {display.name(fault.info.filename)}"
        raise DataError(f"{place}{fault.reason}", _HELPS.get(fault.kind, FETCH)) from None
    return {info.filename.removesuffix(".npy"): info for info in infos if info.filename.endswith(".npy")}


def _too_many(name: str, count: int) -> DataError:
    return DataError(
        f"{name}: found {display.count(count)} or more members, expected at most {display.count(_MAX_MEMBERS)}",
        "put all images into one array, and all labels into another: numpy.savez(file, x=images, y=labels)",
    )
