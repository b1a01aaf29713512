"""Read a file as a stream of bytes, decompressing gzip and xz: recognized by content, never by name."""

from __future__ import annotations

import abc
import lzma
import zlib
from typing import IO, TYPE_CHECKING, Any, Final, final

from layerline.data.formats.recognize import GZIP, XZ, shown, unreadable
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_CHUNK: Final = 2**18
_DENSEST: Final = 1032
"""Maximum compression ratio of deflate: 258 bytes from two bits, by zlib's technical notes."""
_GZIP_WINDOW: Final = 31
"""Makes zlib read the gzip header, and check the CRC and length after the data."""
_XZ_DENSEST: Final = 2**13
"""Maximum compression ratio of xz: long runs of one value reached 6,900."""
_XZ_MEMORY: Final = 2**28
"""Memory limit for unpacking xz; `xz -9` needs 65 MB."""

FETCH: Final = "the file is damaged: download it again"


def open_stream(path: Path) -> Stream:
    """Open `path` for use in a `with` statement. Raises DataError if it is not a file or cannot be read."""
    try:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "a pipe or another special file" if path.exists() else "nothing"
            raise DataError(f"{shown(path)}: found {what}, expected a file", "check the path")
        size = path.stat().st_size
        file = regular.opened(path)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        start = file.read(len(XZ))
        file.seek(0)
    except OSError as error:
        file.close()
        raise unreadable(path, error) from error
    if start.startswith(GZIP):
        return _Gzip(path, file, size)
    return _Xz(path, file, size) if start == XZ else _Plain(path, file, size)


class Stream(abc.ABC):
    """The content of an open file, read once from start to end."""

    packed: str | None
    """Compression of the file: `gzip`, `xz`, or None."""

    def __init__(self, path: Path, file: IO[bytes], size: int) -> None:
        """Take over an open file of `size` bytes."""
        self.path = path
        self.name = shown(path)
        self.at = 0
        """Number of content bytes read so far."""
        self._file = file
        self._size = size

    def __enter__(self) -> Stream:
        """Return the stream."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

    def fill(self, buffer: memoryview) -> int:
        """Read into `buffer` until it is full or the content ends; return the number of bytes read."""
        filled = 0
        try:
            while filled < len(buffer):
                count = self._some(buffer[filled:])
                if not count:
                    break
                filled += count
        except OSError as error:
            raise unreadable(self.path, error) from error
        self.at += filled
        return filled

    def take(self, count: int) -> bytes:
        """Read up to `count` bytes."""
        buffer = bytearray(count)
        return bytes(buffer[: self.fill(memoryview(buffer))])

    @property
    @abc.abstractmethod
    def most(self) -> int:
        """Return the maximum size of the content in bytes, based on the file size."""

    @property
    def content(self) -> str:
        """Return the size of the file as displayed in messages."""
        return f"{display.count(self._size)} bytes"

    @abc.abstractmethod
    def _some(self, buffer: memoryview) -> int:
        """Read at least one byte into `buffer`, or return 0 at the end."""

    @abc.abstractmethod
    def close_end(self) -> None:
        """Check that the file ends at the current position. Raises DataError."""


@final
class _Plain(Stream):
    packed = None

    @property
    def most(self) -> int:
        return self._size

    def _some(self, buffer: memoryview) -> int:
        return self._file.readinto(buffer[: 2**30])  # type: ignore[attr-defined, no-any-return]  # IO[bytes] lacks it

    def close_end(self) -> None:
        if self.take(1):
            raise DataError(
                f"{self.name}:{self.at - 1}: found according to its header the data ends here, but "
                f"{counted(self._size - self.at + 1)} more found",
                FETCH,
            )


class _Packed(Stream):
    """A file that is decompressed as it is read."""

    word: str
    """The word for compressed bytes in messages."""
    densest: int
    """Maximum compression ratio."""
    errors: tuple[type[Exception], ...]
    """Exceptions that the decompressor raises for damaged data."""

    def __init__(self, path: Path, file: IO[bytes], size: int, unpack: Any) -> None:
        super().__init__(path, file, size)
        self._unpack, self._read = unpack, 0

    @property
    def most(self) -> int:
        return self._size * self.densest

    @property
    def content(self) -> str:
        return f"{display.count(self._size)} {self.word} bytes, which unpack to at most {display.count(self.most)}"

    @abc.abstractmethod
    def _input(self) -> bytes:
        """Return the next input for the decompressor."""

    @abc.abstractmethod
    def _damaged(self, reason: str) -> DataError:
        """Return the error for damaged data, given the decompressor's reason."""

    def _some(self, buffer: memoryview) -> int:
        while not self._unpack.eof:
            packed = self._input()
            try:
                piece = self._unpack.decompress(packed, min(len(buffer), _CHUNK))
            except self.errors as error:
                raise self._damaged(str(error)) from None
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
        return 0

    def _next(self) -> bytes:
        packed = self._file.read(_CHUNK)
        if not packed:
            raise DataError(f"{self.name}:{self._size}: the file ends in the middle of its {self.word} data", FETCH)
        self._read += len(packed)
        return packed

    def close_end(self) -> None:
        if self.take(1):
            raise DataError(
                f"{self.name}: the data is longer than the {display.count(self.at - 1)} bytes that its header declares",
                FETCH,
            )
        try:
            rest = self._unpack.unused_data or self._file.read(len(XZ))
        except OSError as error:
            raise unreadable(self.path, error) from error
        if rest:
            at = self._read - len(self._unpack.unused_data)
            second = {GZIP: "a second gzip member", XZ: "a second xz stream"}
            found = (what for magic, what in second.items() if rest.startswith(magic))
            what = next(found, f"extra bytes after the {self.word} data")
            raise DataError(f"{self.name}:{at}: found {what}, expected the end of the file", FETCH)


@final
class _Gzip(_Packed):
    packed = "gzip"
    word = "gzipped"
    densest = _DENSEST
    errors = (zlib.error,)

    def __init__(self, path: Path, file: IO[bytes], size: int) -> None:
        super().__init__(path, file, size, zlib.decompressobj(_GZIP_WINDOW))

    def _input(self) -> bytes:
        return self._unpack.unconsumed_tail or self._next()

    def _damaged(self, reason: str) -> DataError:
        if "incorrect data check" in reason:
            found = "the data does not match its checksum (CRC-32)"
        elif "incorrect length check" in reason:
            found = "the data does not match its stored length"
        else:
            found = "found bytes that are not valid gzip data"
        return DataError(f"{self.name}:{self._read - len(self._unpack.unconsumed_tail)}: {found}", FETCH)


@final
class _Xz(_Packed):
    packed = "xz"
    word = "xz"
    densest = _XZ_DENSEST
    errors = (lzma.LZMAError, MemoryError)

    def __init__(self, path: Path, file: IO[bytes], size: int) -> None:
        super().__init__(path, file, size, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY))

    def _input(self) -> bytes:
        return self._next() if self._unpack.needs_input else b""

    def _damaged(self, reason: str) -> DataError:
        if "limit" in reason.lower():
            return DataError(
                f"{self.name}: unpacking this xz data needs more than {display.size(_XZ_MEMORY)} of memory",
                "compress it again: xz -6",
            )
        return DataError(f"{self.name}: the xz data is damaged", FETCH)


def counted(count: int) -> str:
    """Return a number of bytes as displayed in messages."""
    return display.counted(count, "byte")
