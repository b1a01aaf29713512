"""Read a zip archive of files: its table of contents is checked before any member is unpacked, nothing is written.

Python's reader decodes names as code page 437 unless they
are marked as UTF-8. Finder does not mark them; Explorer uses the code page of its country, which is 437 or 850, and
both have the letters of Western Europe in the same places. Some programs write `\\` between folders; on Unix it may
also be part of a name, so it counts as a separator if the archive is from DOS, or most of its names have one.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Final, Literal, final

from layerline.data.formats.members import Member, Members
from layerline.data.formats.recognize import shown, unreadable
from layerline.data.formats.stream import FETCH
from layerline.errors import DataError
from layerline.files import regular
from layerline.files.zip_table import BROKEN, MemberFault, check_members, declared_size
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LARGEST_CONTENTS: Final = 2**27
"""Maximum size of the table of contents in bytes: a million files with names of 80 letters."""
_UTF_8: Final = 0x800
_HELPS: Final = {
    "encrypted": "unpack it first",
    "method": "recreate the archive with standard zip compression, or unpack it first",
}
"""What to do about a member, by the kind of its fault."""
_DOS, _UNIX = 0, 3
_ARRAY: Final = ".npy"


@contextlib.contextmanager
def open_zip(path: Path) -> Iterator[Zip]:
    """Open a zip archive. Raises DataError if its table of contents cannot be read, or cannot be true."""
    name = shown(path)
    try:
        file = regular.opened(path)
    except OSError as error:
        raise unreadable(path, error) from error
    with file:
        try:
            _check_contents(file, name)
            archive = zipfile.ZipFile(file)
        except OSError as error:
            raise unreadable(path, error) from error
        except BROKEN as error:
            raise DataError(
                f"{name}: cannot read the table of contents at the end of this zip archive", FETCH
            ) from error
        with archive, ThreadPoolExecutor(1, "unzip") as aside:
            yield Zip(archive, name, os.fstat(file.fileno()).st_size, aside)


@final
class Zip(Members):
    """The files and folders in a zip archive, in the order of their content."""

    def __init__(self, archive: zipfile.ZipFile, name: str, size: int, aside: ThreadPoolExecutor) -> None:
        """Take an open archive of `size` bytes.

        aside: the thread that unpacks: in the caller's, a signal handler may raise what looks like a damaged archive.
        """
        self.name = name
        self._archive = archive
        self._infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        self._recoded = list[str]()
        self._parted = sum("\\" in info.orig_filename for info in self._infos) * 2 > len(self._infos)
        self._names = [self._named(info) for info in self._infos]
        self._size = size
        self._aside = aside
        self._last: zipfile.ZipInfo | None = None

    @property
    def names(self) -> list[str]:
        """Return the names of all members."""
        return self._names

    @property
    def has_arrays(self) -> bool:
        """Return whether it contains NumPy arrays, as an .npz file does."""
        return any(name.endswith(_ARRAY) for name in self._names)

    @property
    def recoded(self) -> tuple[str, ...]:
        """Return the names that are read as code page 437."""
        return tuple(self._recoded)

    def __iter__(self) -> Iterator[Member]:
        """Yield the members in the order of their content, after all of them have been checked. Raises DataError."""
        self._check()
        for info, name in zip(self._infos, self._names, strict=True):
            self._last = info
            yield Member(name.rstrip("/"), info.file_size, _kind(info, name), info.header_offset)

    def read(self, member: Member) -> bytes:
        """Return the content of the last member yielded, at most as many bytes as declared."""
        assert self._last is not None  # noqa: S101 - a member was yielded
        return self._aside.submit(self._content, self._last, self._place(member.name)).result()

    @contextlib.contextmanager
    def again(self) -> Iterator[Members]:
        """Return this archive: it can be read more than once."""
        yield self

    def _named(self, info: zipfile.ZipInfo) -> str:
        """Return the name of a member in Unicode, with `/` between its parts."""
        name = info.filename
        if not info.flag_bits & _UTF_8 and not name.isascii():
            try:
                name = name.encode("cp437").decode("utf-8")
            except UnicodeError:
                self._recoded.append(name)
        return name.replace("\\", "/") if self._parted or info.create_system == _DOS else name

    def _check(self) -> None:
        """Check all members against each other and the file size."""
        names = dict(zip(map(id, self._infos), self._names, strict=True))
        try:
            check_members(self._infos, self._size, lambda info: display.name(names[id(info)], 100), unique=False)
        except MemberFault as fault:
            place = self._place(names[id(fault.info)])
            raise DataError(f"{place}{fault.reason}", _HELPS.get(fault.kind, FETCH)) from None

    def _content(self, info: zipfile.ZipInfo, place: str) -> bytes:
        try:
            with self._archive.open(info) as file:
                content = file.read(info.file_size)
                file.read(1)  # at the end the checksum is verified
        except OSError as error:
            raise DataError(f"{place}: cannot be read: {error.strerror or error}", FETCH) from error
        except BROKEN as error:
            reason = "does not match its checksum (CRC-32)" if "CRC" in str(error) else "cannot be unpacked"
            raise DataError(f"{place}: the data {reason}", FETCH) from error
        if len(content) < info.file_size:
            raise DataError(
                f"{place}: found {display.count(len(content))} bytes, expected {display.count(info.file_size)}", FETCH
            )
        return content

    def _place(self, name: str) -> str:
        return f"{self.name}: {display.name(name, 100)}"


def _kind(info: zipfile.ZipInfo, name: str) -> Literal["file", "folder", "other"]:
    """Return the kind of a member; links and devices are stored with their Unix mode."""
    if name.endswith("/"):
        return "folder"
    mode = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
    return "file" if mode in (0, stat.S_IFREG) else "other"


def _check_contents(file: IO[bytes], name: str) -> None:
    """Raise DataError if the table of contents is larger than that of any image set: it is read as a whole."""
    declared = declared_size(file)
    if declared > _LARGEST_CONTENTS:
        raise DataError(
            f"{name}: found a table of contents of {display.size(declared)}, "
            f"expected at most {display.size(_LARGEST_CONTENTS)}",
            "create an archive that contains only the images",
        )
