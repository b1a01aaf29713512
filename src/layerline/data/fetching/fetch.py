"""Fetching a known data set: each file from the first mirror that has it, checked before it takes its name."""

from __future__ import annotations

import contextlib
import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

from layerline.data.fetching import catalog
from layerline.data.fetching.catalog import KNOWN, shown
from layerline.data.fetching.download import RefusedError, Timeouts, download
from layerline.data.formats import recognize
from layerline.data.formats.stream import counted, open_stream
from layerline.errors import DataError, spelling
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerline.data.fetching.catalog import Archive, Published

_CHUNK: Final = 2**20


class FetchWatcher:
    """Who is told; does nothing by itself. Not final: the screen is one."""

    def began(self, archive: Archive, mirror: str) -> None:
        """Take note that a mirror is asked for a file."""

    def got(self, archive: Archive, count: int) -> None:
        """Take note of how many bytes of a file have come."""

    def kept(self, archive: Archive, path: Path, *, fetched: bool) -> None:
        """Take note that a file is in its place: fetched, or found there."""

    def failed(self, archive: Archive, mirror: str, reason: str) -> None:
        """Take note that a mirror did not give the file."""


def fetch(
    name: str,
    data_dir: Path | None = None,
    *,
    watcher: FetchWatcher | None = None,
    force: bool = False,
    timeouts: Timeouts | None = None,
) -> Path:
    """Fetch a known set into its folder in `data_dir`, else in the user's, and return that folder. Raises DataError.

    A file that is there and is the published one stays; where another is there, it is replaced with `force` alone.
    No file is in its place before its size and its SHA-256 are those of the catalog; nothing is unpacked.
    """
    known = _known(name)
    folder = _folder(known, data_dir)
    watcher = watcher or FetchWatcher()
    missing = []
    for archive in known.archives:
        path = folder / archive.name
        if not _is_there(archive, path, force=force):
            missing.append(archive)
        else:
            watcher.kept(archive, path, fetched=False)
    for k, archive in enumerate(missing):
        reasons = _from_mirrors(known, archive, folder / archive.name, watcher, timeouts or Timeouts())
        if reasons:
            with contextlib.suppress(OSError):
                folder.rmdir()  # where it is empty
            raise _failed(known, missing[k:], folder, reasons)
        watcher.kept(archive, folder / archive.name, fetched=True)
    return folder


def _known(name: str) -> Published:
    known = KNOWN.get(name)
    if known is not None and known.archives:
        return known
    if known is not None:
        raise DataError(f"{name}: is in the package, there is nothing to fetch", f"train on it: --data {name}")
    names = [known.name for known in KNOWN.values() if known.archives]
    raise DataError(f"{display.name(name)}: no data set of this name is known", spelling.hint(name, names))


def _folder(known: Published, data_dir: Path | None) -> Path:
    """Return the folder of the set, made where it is not there."""
    outer = data_dir if data_dir is not None else catalog.folder_of(known.name, None)
    folder = outer / known.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{shown(folder)}: cannot be made: {error.strerror or error}", "name another folder with --data-dir DIR"
        ) from error
    return folder


def _is_there(archive: Archive, path: Path, *, force: bool) -> bool:
    """Return whether the published file is there. Raises DataError where another is, and it is not to be replaced."""
    if not path.exists() and not path.is_symlink():
        return False
    if path.is_dir():
        raise DataError(f"{shown(path)}: found a folder, expected a file", "move it away")
    try:
        with regular.opened(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise recognize.unreadable(path, error) from error
    if found == archive.sha256 or (archive.content is not None and _content(path) == archive.content):
        return True
    if force:
        return False
    raise DataError(
        f"{shown(path)}: found a file of {counted(path.stat().st_size)} with the SHA-256 {found}, "
        f"expected {counted(archive.size)} with {archive.sha256}",
        "replace it with --force, or move it away",
    )


def _content(path: Path) -> str | None:
    """Return SHA-256 of what is in a packed file; None where it is damaged."""
    digest = hashlib.sha256()
    with contextlib.suppress(DataError), open_stream(path) as stream:
        while piece := stream.take(_CHUNK):
            digest.update(piece)
        stream.close_end()
        return digest.hexdigest()
    return None


def _from_mirrors(
    known: Published, archive: Archive, path: Path, watcher: FetchWatcher, timeouts: Timeouts
) -> tuple[tuple[str, str], ...]:
    """Put a file in its place from the first mirror that gives it; else return what each of them did."""
    reasons: list[tuple[str, str]] = []
    for mirror in known.mirrors:
        watcher.began(archive, mirror)
        try:
            download(archive, mirror + archive.name, path, partial(watcher.got, archive), timeouts)
        except RefusedError as refused:
            reasons.append((mirror, str(refused)))
            watcher.failed(archive, mirror, str(refused))
        else:
            return ()
    return tuple(reasons)


def _failed(
    known: Published, missing: Sequence[Archive], folder: Path, reasons: Sequence[tuple[str, str]]
) -> DataError:
    """Return the error to raise where no mirror gave a file: what each of them did, and which file goes where."""
    tried = "\n    ".join(f"{mirror}{missing[0].name} {reason}" for mirror, reason in reasons)
    wanted = "\n    ".join(f"{archive.name}: {counted(archive.size)}, SHA-256 {archive.sha256}" for archive in missing)
    return DataError(
        f"{known.name}: found no mirror that gives {missing[0].name}, expected one of these\n    {tried}",
        f"try again later, or put what is missing into {shown(folder)} by other means:\n    {wanted}",
    )
