"""Read a tar archive once from start to end, without writing anything to disk.

POSIX.1-2008, pax, "ustar Interchange Format": blocks of 512 bytes; a header block, then the file, padded to whole
blocks; two blocks of zeros at the end. Long names are in pax extended headers, or in GNU members of type `L`.
Python's own reader took 25 µs per member, this one 8 (60,000 members of 1 kB, AMD Zen 4, 2026-11-23).
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, final

from layerline.data.formats.members import Member, Members
from layerline.data.formats.stream import FETCH, open_stream
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

    from layerline.data.formats.stream import Stream

BLOCK: Final = 512
_READ: Final = 2**20
_ZEROS: Final = bytes(BLOCK)
_NAME, _SIZE, _SUM, _PREFIX = slice(0, 100), slice(124, 136), slice(148, 156), slice(345, 500)
_MAGIC, _KIND = slice(257, 263), slice(156, 157)
_POSIX: Final = b"ustar\0"
_PLAIN_SUM: Final = b" " * 8
"""Placeholder for the checksum while it is computed."""
_FILES: Final = (b"0", b"\0", b"7")
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_LONGEST_NAMES: Final = 2**16
"""Maximum size of a member that contains names."""
_LARGEST_OTHER: Final = 2**30
"""Maximum size of a member that is skipped."""
_MAX_OTHERS: Final = 100_000
"""Maximum number of members that are not files."""


def begins(start: bytes) -> bool:
    """Return whether the first 512 bytes are the header of a member."""
    return len(start) >= BLOCK and start[:BLOCK] != _ZEROS and _checksum(start[:BLOCK])


@final
class Tar(Members):
    """The members of an open tar archive, in order.

    Use it in a `with`: a thread reads ahead, and must have finished before the stream is closed.
    """

    def __init__(self, stream: Stream) -> None:
        """Start at the beginning of an unread stream."""
        self.name = stream.name
        self._stream = stream
        self._blocks = _ahead(stream)
        self._buffer = memoryview(b"")
        self._passed = 0
        self._left = 0

    def __enter__(self) -> Tar:
        """Return the archive."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until the thread that reads ahead has finished."""
        self._blocks.close()

    def __iter__(self) -> Iterator[Member]:
        """Yield the members up to the end of the archive, then check what follows. Raises DataError."""
        names: dict[str, str] = {}
        others = 0
        while True:
            self._skip()
            offset = self._at
            header = self._take(BLOCK)
            if header == _ZEROS:
                break
            size = self._header(header, offset)
            kind = header[_KIND]
            if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
                names |= self._names(kind, size, offset)
                continue
            member = self._member(header, size, names, offset)
            names = {}
            others += member.kind != "file"
            if others > _MAX_OTHERS:
                raise DataError(
                    f"{self.name}:{offset}: found more than {display.count(_MAX_OTHERS)} folders and links, "
                    "expected images",
                    "create an archive that contains only the images",
                )
            yield member
        self._close_end()

    def read(self, member: Member) -> bytes:
        """Return the content of the last member yielded."""
        content = self._take(member.size)
        self._left -= member.size
        return content

    @contextlib.contextmanager
    def again(self) -> Iterator[Members]:
        """Open the archive again."""
        with open_stream(self._stream.path) as stream, Tar(stream) as tar:
            yield tar

    @property
    def _at(self) -> int:
        return self._passed - len(self._buffer)

    def _take(self, count: int) -> bytes:
        """Return the next `count` bytes. Raises DataError if the archive ends first."""
        if len(self._buffer) >= count:
            taken = bytes(self._buffer[:count])
            self._buffer = self._buffer[count:]
            return taken
        pieces, found = [self._buffer], len(self._buffer)
        while found < count:
            block = next(self._blocks, b"")
            if not block:
                raise DataError(
                    f"{self.name}:{self._passed}: the archive ends after {display.count(self._passed)} bytes, "
                    "without the two final blocks of zeros",
                    FETCH,
                )
            self._passed += len(block)
            found += len(block)
            pieces.append(memoryview(block))
        keep = found - count
        last = pieces.pop()
        self._buffer = last[len(last) - keep :]
        return b"".join([*pieces, last[: len(last) - keep]])

    def _skip(self) -> None:
        """Skip the rest of a member."""
        while self._left:
            self._left -= len(self._take(min(self._left, _READ)))

    def _header(self, header: bytes, offset: int) -> int:
        """Check a header; return the size of its content."""
        if not _checksum(header):
            raise DataError(f"{self.name}:{offset}: the tar header is missing or damaged", FETCH)
        size = _number(header[_SIZE])
        if size is None:
            raise DataError(f"{self.name}:{offset}: the size in the tar header is not a number", FETCH)
        if header[_KIND] not in (*_FILES, b"S", _LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            size = 0  # links, folders and devices have no content, whatever the header says
        self._left = -(-size // BLOCK) * BLOCK
        return size

    def _names(self, kind: bytes, size: int, offset: int) -> dict[str, str]:
        """Return the name and size of the next member from an extended header."""
        if size > _LONGEST_NAMES:
            raise DataError(
                f"{self.name}:{offset}: found a name of {display.count(size)} bytes, "
                f"expected at most {display.count(_LONGEST_NAMES)}",
                "shorten the names in the archive",
            )
        content = self._take(size)
        self._left -= size
        if kind == _LONG_NAME:
            return {"path": _text(content)}
        if kind != _PAX:
            return {}
        found = _pax(content)
        if found is None:
            raise DataError(f"{self.name}:{offset}: found a damaged pax header, expected `length key=value`", FETCH)
        return found

    def _member(self, header: bytes, size: int, names: dict[str, str], offset: int) -> Member:
        name = names.get("path")
        if name is None:
            prefix = _text(header[_PREFIX]) if header[_MAGIC] == _POSIX else ""
            name = f"{prefix}/{_text(header[_NAME])}" if prefix else _text(header[_NAME])
        kind = header[_KIND]
        if "size" in names and kind in _FILES:
            size = int(names["size"]) if names["size"].isascii() and names["size"].isdigit() else -1
            self._left = -(-size // BLOCK) * BLOCK
        if not 0 <= size <= _LARGEST_OTHER:
            raise DataError(
                f"{self.name}:{offset}: found {display.name(name, 100)} with {display.size(size)}; "
                f"files may have at most {display.size(_LARGEST_OTHER)}",
                "create an archive that contains only the images",
            )
        sparse = any(key.startswith("GNU.sparse") for key in names)
        if name.endswith("/") or kind == b"5":
            return Member(name.rstrip("/"), 0, "folder", offset)
        return Member(name, size, "file" if kind in _FILES and not sparse else "other", offset)

    def _close_end(self) -> None:
        """Read the padding after the end, so that the checksums of gzip and xz are verified."""
        rest = len(self._buffer) + len(next(self._blocks, b""))
        if next(self._blocks, b""):
            raise DataError(f"{self.name}:{self._passed}: found more than 1 MB after the end of the archive", FETCH)
        if rest < BLOCK:
            raise DataError(f"{self.name}:{self._passed}: found one block of zeros, expected two at the end", FETCH)
        self._stream.close_end()


def _ahead(stream: Stream) -> Generator[bytes, None, None]:
    """Yield the content of a stream in pieces; a thread unpacks the next piece while one is used."""
    with ThreadPoolExecutor(1, "unpack") as pool:
        waiting = pool.submit(stream.take, _READ)
        while block := waiting.result():
            waiting = pool.submit(stream.take, _READ)
            yield block


def _checksum(header: bytes) -> bool:
    """Return whether the sum of the header's bytes matches the stored checksum."""
    stored = _number(header[_SUM])
    return stored == sum(header[: _SUM.start] + _PLAIN_SUM + header[_SUM.stop :])


def _number(field: bytes) -> int | None:
    """Parse an octal number, or GNU's binary format for large sizes; None if it is neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip(b" ")
    try:
        return int(digits, 8) if digits.isdigit() else None if digits else 0
    except ValueError:
        return None


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _pax(content: bytes) -> dict[str, str] | None:
    """Return the records of an extended header, `length key=value\\n` each; None if they are damaged."""
    found: dict[str, str] = {}
    while content:
        digits, _, rest = content.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 9 else 0
        record = rest[: max(0, length - len(digits) - 1)]
        key, equals, value = record.partition(b"=")
        if length > len(content) or not equals or not value.endswith(b"\n"):
            return None
        found[_text(key)] = _text(value[:-1])
        content = content[length:]
    return found
