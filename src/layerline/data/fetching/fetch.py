"""Fetch a named data set: each file from the first mirror that has it, verified before it is stored."""

from __future__ import annotations

import contextlib
import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

from layerline.data.fetching import catalog
from layerline.data.fetching.catalog import KNOWN
from layerline.data.fetching.download import RefusedError, Timeouts, download
from layerline.data.formats import recognize
from layerline.data.formats.stream import counted, open_stream
from layerline.errors import DataError, spelling
from layerline.files import regular
from layerline.files.user_folder import shown
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerline.data.fetching.catalog import Archive, Published

_CHUNK: Final = 2**20


class FetchWatcher:
    """Receives progress events; this base class does nothing. Not final: the screen is a subclass."""

    def began(self, archive: Archive, mirror: str) -> None:
        """Handle the start of a download from a mirror."""

    def got(self, archive: Archive, count: int) -> None:
        """Handle progress: `count` bytes of a file have been received."""

    def kept(self, archive: Archive, path: Path, *, fetched: bool) -> None:
        """Handle a file that is in place, newly fetched or already there."""

    def failed(self, archive: Archive, mirror: str, reason: str) -> None:
        """Handle a mirror that did not provide the file."""


def fetch(
    name: str,
    data_dir: Path | None = None,
    *,
    watcher: FetchWatcher | None = None,
    force: bool = False,
    timeouts: Timeouts | None = None,
) -> Path:
    """Fetch a named data set into its folder in `data_dir` (by default the user's); return it. Raises DataError.

    An existing file is kept if it is the published one; another file is replaced only with `force`.
    A file is stored only after its size and SHA-256 match the catalog; nothing is unpacked.
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
                folder.rmdir()  # if it is empty
            raise _failed(known, missing[k:], folder, reasons)
        watcher.kept(archive, folder / archive.name, fetched=True)
    return folder


def _known(name: str) -> Published:
    known = KNOWN.get(name)
    if known is not None and known.archives:
        return known
    if known is not None:
        raise DataError(f"{name}: included in the package, nothing to fetch", f"train on it: --data {name}")
    names = [known.name for known in KNOWN.values() if known.archives]
    raise DataError(f"{display.name(name)}: unknown data set", spelling.hint(name, names))


def _folder(known: Published, data_dir: Path | None) -> Path:
    """Return the folder of the data set, creating it if needed."""
    outer = data_dir if data_dir is not None else catalog.folder_of(known.name, None)
    folder = outer / known.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{shown(folder)}: cannot be created: {error.strerror or error}",
            "choose another folder with --data-dir DIR",
        ) from error
    return folder


def _is_there(archive: Archive, path: Path, *, force: bool) -> bool:
    """Return whether the published file exists. Raises DataError if another one does and `force` is not set."""
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
        f"{shown(path)}: found a file of {counted(path.stat().st_size)} with SHA-256 {found}, "
        f"expected {counted(archive.size)} with {archive.sha256}",
        "replace it with --force, or move it away",
    )


def _content(path: Path) -> str | None:
    """Return the SHA-256 of the content of a compressed file; None if it is damaged."""
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
    """Download a file from the first mirror that provides it; if none does, return the reason for each."""
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
    """Return the error if no mirror provided a file: the reason for each, and where the missing files belong."""
    tried = "\n    ".join(f"{mirror}{missing[0].name} {reason}" for mirror, reason in reasons)
    wanted = "\n    ".join(f"{archive.name}: {counted(archive.size)}, SHA-256 {archive.sha256}" for archive in missing)
    return DataError(
        f"{known.name}: no mirror provides {missing[0].name}\n    {tried}",
        f"try again later, or download the missing files yourself and put them into {shown(folder)}:\n    {wanted}",
    )
