"""Download one file from one URL: counted, timed and hashed as it arrives, and stored only if it is the right one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, final

from layerline.data.formats import recognize
from layerline.data.formats.stream import counted
from layerline.errors import DataError
from layerline.files.user_folder import shown
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import requests

    from layerline.data.fetching.catalog import Archive

_PIECE: Final = 2**9
"""Bytes per read, so that a slow mirror is noticed soon. This costs 13 ms per MB (EPYC, 2026-11)."""
_START: Final = 300
"""Number of bytes for recognizing a file of another type."""


@dataclass(frozen=True)
class Timeouts:
    """Time limits for a mirror, in seconds, after which the next one is tried."""

    connect: float = 10.0
    silent: float = 30.0
    """Limit without receiving a byte."""
    slow: float = 60.0
    """Limit for an average rate below `slowest`, in bytes/s."""
    slowest: float = 2000.0


class RefusedError(Exception):
    """Why a URL did not provide the file."""


def download(archive: Archive, url: str, path: Path, got: Callable[[int], None], timeouts: Timeouts) -> None:
    """Download a URL to a temporary file, verify it, and rename it to `path`.

    got: called with the number of bytes received so far. Raises RefusedError, or DataError if the file cannot be
    written; in both cases the temporary file is removed.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            incoming = _Incoming(archive, file, got, timeouts)
            _receive(url, incoming, timeouts)
            incoming.check()
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{shown(path)}: cannot be written: {error.strerror or error}",
            f"free {display.size(archive.size)}, or choose another folder with --data-dir DIR",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@final
class _Incoming:
    """A file-like object for pooch's downloader that counts and hashes what it writes."""

    def __init__(self, archive: Archive, file: IO[bytes], got: Callable[[int], None], timeouts: Timeouts) -> None:
        self.count = 0
        self.start = b""
        self.digest = hashlib.sha256()
        self._archive, self._file, self._got, self._timeouts = archive, file, got, timeouts
        self._since = time.monotonic()

    def write(self, piece: bytes) -> None:
        """Write a piece. Raises RefusedError as soon as this cannot be the right file."""
        if len(self.start) < _START:
            self.start += piece[: _START - len(self.start)]
        self.count += len(piece)
        if self.count > self._archive.size:
            raise RefusedError(f"sent more than the expected {self.expected}{self.instead()}")
        seconds = time.monotonic() - self._since
        if seconds > self._timeouts.slow and self.count < seconds * self._timeouts.slowest:
            raise RefusedError(f"was too slow: {counted(self.count)} in {display.seconds(seconds)}")
        self.digest.update(piece)
        self._file.write(piece)
        self._got(self.count)

    @property
    def expected(self) -> str:
        """Return the expected size as displayed in messages."""
        return counted(self._archive.size)

    def flush(self) -> None:
        """Do nothing: pooch would flush after every piece."""

    def instead(self) -> str:
        """Return the file's type if it is clearly another one: `: this is an HTML page`."""
        what = recognize.kind(self.start)
        return f": this is {what}" if what and not self.start.startswith(recognize.GZIP) else ""

    def check(self) -> None:
        """Raise RefusedError unless the complete file is the published one."""
        if self.count != self._archive.size:
            raise RefusedError(f"sent {counted(self.count)}, expected {self.expected}{self.instead()}")
        found = self.digest.hexdigest()
        if found != self._archive.sha256:
            raise RefusedError(f"sent a file with SHA-256 {found}, expected {self._archive.sha256}{self.instead()}")


def _receive(url: str, incoming: _Incoming, timeouts: Timeouts) -> None:
    """Download a URL into `incoming` with pooch. Raises RefusedError if anything goes wrong."""
    import requests
    from pooch import HTTPDownloader

    downloader = HTTPDownloader(
        chunk_size=_PIECE,
        timeout=(timeouts.connect, timeouts.silent),
        headers={"Accept-Encoding": "identity"},  # a server that unpacks a .gz would send another file
    )
    try:
        downloader(url, incoming, None)
    except requests.exceptions.HTTPError as error:
        raise RefusedError(f"returned {_status(error.response)}") from error
    except requests.exceptions.ConnectTimeout as error:
        raise RefusedError(f"did not answer within {display.seconds(timeouts.connect)}") from error
    except requests.exceptions.RequestException as error:
        if "timed out" in str(error).lower():
            raise RefusedError(
                f"sent nothing for {display.seconds(timeouts.silent)}, after {counted(incoming.count)}"
            ) from error
        if incoming.count:
            raise RefusedError(
                f"lost the connection after {counted(incoming.count)}, expected {incoming.expected}"
            ) from error
        raise RefusedError("could not be reached") from error
    except ValueError as error:  # such as a length that is not a number
        raise RefusedError("sent an unreadable header") from error


def _status(response: requests.Response | None) -> str:
    """Return the status of a response: `404 Not Found`."""
    return "with an error" if response is None else f"{response.status_code} {display.name(response.reason or '')}"
