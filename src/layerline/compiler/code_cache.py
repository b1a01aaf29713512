"""The cache folder of machine code, so that the next process need not compile the same network again.

Whoever can write to such a file can run code as the current user, so everything is verified before it is used. The
folder and its files must be the current user's alone (`files.private`). A file is called `<key>.code`: MAGIC, the key
(32 bytes), the length of the object (8 bytes, big-endian) and its SHA-256 (32 bytes), then the object, in the format of
the platform's linker. It is read once; only the bytes that were verified are linked. A file or folder that fails any
check is never used: the network is compiled again, and the first such case of a process is reported in a warning. A
folder that cannot be read or written is not an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.errors import CodeCacheWarning
from layerline.errors.at_caller import warn
from layerline.files.private import PrivateFolder, UnsafeError, opened
from layerline.files.user_folder import user_folder
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

VARIABLE: Final = "LAYERLINE_CODE_CACHE"
"""The environment variable with the cache folder, or `no`; by default it is in the user's cache folder."""
NONE: Final = frozenset({"no", "none", "off", "false", "0"})
"""Words for `no`; a folder of such a name is written `./off`."""
ENDING: Final = ".code"
LIMIT: Final = 100_000_000
"""Bytes of all files together, from which the least recently used ones are removed: about 1,000 networks."""
_MAGIC: Final = b"layerline machine code 1\n"
_LENGTH: Final = 8
_DIGEST: Final = 32
_HEAD: Final = len(_MAGIC) + _DIGEST + _LENGTH + _DIGEST

_untrusted: Final[list[str]] = []
"""The first file or folder that could not be trusted, with the reason."""
_reported: Final = threading.Event()


def cached(key: bytes | None, compiled: Callable[[], bytes]) -> bytes:
    """Return the object stored under a key, or else compile and store it; without a key, nothing is looked for or
    stored."""
    folder = None if key is None else _folder()
    if key is None or folder is None:
        return compiled()
    code = _find(folder, key)
    if code is None:
        code = compiled()
        _keep(folder, key, code)
    return code


def report() -> None:
    """Warn of a file or folder that could not be trusted, once per process."""
    if _untrusted and not _reported.is_set():
        _reported.set()
        warn(_untrusted[0], CodeCacheWarning)


def _find(folder: PrivateFolder, key: bytes) -> bytes | None:
    """Return the object stored under a key; None if there is none that can be trusted."""
    path = folder.path / f"{key.hex()}{ENDING}"
    try:
        if not folder.check():
            return None
    except OSError as error:
        _distrust(folder.path, error)
        return None
    try:
        with opened(path) as file:
            found = _verified(file, key)
            with contextlib.suppress(OSError):
                os.utime(file.fileno() if os.utime in os.supports_fd else path)
            return found
    except OSError as error:
        _distrust(path, error)
        return None


def _keep(folder: PrivateFolder, key: bytes, code: bytes) -> None:
    """Store an object under its key; without a folder that can be written to, nothing is stored."""
    try:
        part = folder.part()
    except OSError as error:
        _distrust(folder.path, error)
        return
    name = f"{key.hex()}{ENDING}"
    with contextlib.suppress(OSError):
        try:
            part.write(_MAGIC + key + len(code).to_bytes(_LENGTH, "big") + hashlib.sha256(code).digest())
            part.write(code)
            now = os.fstat(part.file.fileno()).st_mtime_ns
            part.keep(name)
        finally:
            part.drop()
        folder.tidy(now)
        folder.limit(ENDING, LIMIT, name)


def _folder() -> PrivateFolder | None:
    """Return the cache folder; None if there is none, or it is turned off."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted.lower() in NONE:
        return None
    if wanted:
        return PrivateFolder(Path(wanted).absolute())
    import platformdirs

    own = user_folder(platformdirs.user_cache_dir)
    return None if own is None else PrivateFolder(own / "code")


def _verified(file: BufferedReader, key: bytes) -> bytes:
    """Return the object in a file. Raises UnsafeError if the file is not exactly what `_keep` writes."""
    content = file.read(LIMIT + 1)
    head, code = content[:_HEAD], content[_HEAD:]
    if head[: len(_MAGIC) + _DIGEST] != _MAGIC + key:
        raise UnsafeError("it is not the machine code that its name promises")
    if head[len(_MAGIC) + _DIGEST :] != len(code).to_bytes(_LENGTH, "big") + hashlib.sha256(code).digest():
        raise UnsafeError("it is damaged")
    return code


def _distrust(path: Path, error: OSError) -> None:
    """Remember what to report if others may have written to a path; that it is missing or inaccessible is no fault."""
    if isinstance(error, UnsafeError) and not _untrusted:
        place = display.name(str(path), 200)
        advice = f"set {VARIABLE} to a folder that only you can write to, or to no"
        if path.suffix == ENDING:
            advice = "nothing needs to be done: the new code replaces it"
        _untrusted.append(
            f"{place}: cached machine code is not used: {error.strerror}; the network was compiled again\n"
            f"  help: {advice}"
        )
