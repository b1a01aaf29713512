"""One file from one address: counted, timed and hashed as it comes, and in its place only if it is the right one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, final

from layerline.data.fetching.catalog import shown
from layerline.data.formats import recognize
from layerline.data.formats.stream import counted
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import requests

    from layerline.data.fetching.catalog import Archive

_PIECE: Final = 2**9
"""Bytes asked for at once: so often a mirror that trickles is looked at. It costs 13 ms a MB (EPYC, 2026-11)."""
_START: Final = 300
"""Bytes by which a file is known that is something else."""


@dataclass(frozen=True)
class Timeouts:
    """How long a mirror may take, in seconds, before the next one is tried."""

    connect: float = 10.0
    silent: float = 30.0
    """Without a byte."""
    slow: float = 60.0
    """With fewer bytes a second, on average from the start, than `slowest`."""
    slowest: float = 2000.0


class RefusedError(Exception):
    """Why an address did not give the file."""


def download(archive: Archive, url: str, path: Path, got: Callable[[int], None], timeouts: Timeouts) -> None:
    """Write what an address gives under a name of its own, check it, and give it its place.

    got: called with the bytes that have come so far. Raises RefusedError, and DataError where the file cannot be
    written; either way nothing is left behind.
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
            f"make room for {display.size(archive.size)}, or name another folder with --data-dir DIR",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@final
class _Incoming:
    """The file that is being written: what pooch's downloader takes for one, counted and hashed as it comes."""

    def __init__(self, archive: Archive, file: IO[bytes], got: Callable[[int], None], timeouts: Timeouts) -> None:
        self.count = 0
        self.start = b""
        self.digest = hashlib.sha256()
        self._archive, self._file, self._got, self._timeouts = archive, file, got, timeouts
        self._since = time.monotonic()

    def write(self, piece: bytes) -> None:
        """Take what came. Raises RefusedError as soon as it cannot be the file."""
        if len(self.start) < _START:
            self.start += piece[: _START - len(self.start)]
        self.count += len(piece)
        if self.count > self._archive.size:
            raise RefusedError(f"sends more than the {self.expected} of the file{self.instead()}")
        seconds = time.monotonic() - self._since
        if seconds > self._timeouts.slow and self.count < seconds * self._timeouts.slowest:
            raise RefusedError(f"is too slow: {counted(self.count)} in {display.seconds(seconds)}")
        self.digest.update(piece)
        self._file.write(piece)
        self._got(self.count)

    @property
    def expected(self) -> str:
        """Return how long the file is, as messages print it."""
        return counted(self._archive.size)

    def flush(self) -> None:
        """Do nothing: pooch would flush after every piece."""

    def instead(self) -> str:
        """Return what the file is, where it is plainly something else: `: this is an HTML page`."""
        what = recognize.kind(self.start)
        return f": this is {what}" if what and not self.start.startswith(recognize.GZIP) else ""

    def check(self) -> None:
        """Raise RefusedError where the whole file is not the published one."""
        if self.count != self._archive.size:
            raise RefusedError(f"sends {counted(self.count)}, expected {self.expected}{self.instead()}")
        found = self.digest.hexdigest()
        if found != self._archive.sha256:
            raise RefusedError(
                f"sends a file with the SHA-256 {found}, expected {self._archive.sha256}{self.instead()}"
            )


def _receive(url: str, incoming: _Incoming, timeouts: Timeouts) -> None:
    """Let pooch fetch an address into `incoming`. Raises RefusedError for whatever goes wrong on the way."""
    import requests
    from pooch import HTTPDownloader

    downloader = HTTPDownloader(
        chunk_size=_PIECE,
        timeout=(timeouts.connect, timeouts.silent),
        headers={"Accept-Encoding": "identity"},  # a server that unpacks a .gz on the way sends another file
    )
    try:
        downloader(url, incoming, None)
    except requests.exceptions.HTTPError as error:
        raise RefusedError(f"answers {_status(error.response)}") from error
    except requests.exceptions.ConnectTimeout as error:
        raise RefusedError(f"does not answer within {display.seconds(timeouts.connect)}") from error
    except requests.exceptions.RequestException as error:
        if "timed out" in str(error).lower():
            raise RefusedError(
                f"sends nothing for {display.seconds(timeouts.silent)}, after {counted(incoming.count)}"
            ) from error
        if incoming.count:
            raise RefusedError(f"breaks off after {counted(incoming.count)}, expected {incoming.expected}") from error
        raise RefusedError("cannot be reached") from error
    except ValueError as error:  # such as a length that is no number
        raise RefusedError("sends a header that cannot be read") from error


def _status(response: requests.Response | None) -> str:
    """Return what a server says: `404 Not Found`."""
    return "with an error" if response is None else f"{response.status_code} {display.name(response.reason or '')}"
