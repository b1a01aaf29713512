"""The key under which machine code is cached: SHA-256 of everything that the code depends on.

Writing a network's LLVM IR takes up to 0.3 s, so the key is not that of the IR, but of what it is written from: the
Schedule, the machine, the sources of this package, and the versions of Python, llvmlite and LLVM.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import layerline
from layerline.compiler import jit

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule

SOURCES: Final = ("compiler", "data/augment", "layers", "numbers")
"""The folders of the package that determine the code of a Schedule."""
_PACKAGE: Final = Path(layerline.__file__).parent


def key_of(planned: Schedule, machine: Machine) -> bytes | None:
    """Return the key of a Schedule's machine code; None if the sources of this program are not, or no longer, there."""
    sources = _digest_of_sources()
    if not sources or not _IMPORTED or _state_of_sources() != _IMPORTED:
        return None
    versions = (layerline.__version__, sys.version, *jit.versions())
    return hashlib.sha256(described((versions, sources.hex(), machine, planned), {}).encode()).digest()


def described(value: Any, known: dict[int, str]) -> str:
    """Return a text that is equal for equal values only. Raises TypeError for a type of which that is not certain.

    known: the texts of dataclasses, by their id: most of them occur in a Schedule many times.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return repr(value)
    if isinstance(value, Enum):
        return f"{kind.__module__}.{kind.__qualname__}.{value.name}"
    if kind is tuple:
        return f"({','.join([described(one, known) for one in value])})"
    if kind is dict:
        return f"{{{','.join([f'{described(a, known)}:{described(b, known)}' for a, b in value.items()])}}}"
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"a {kind.__qualname__} in a Schedule, which code_key.described does not know")
    found = known.get(id(value))
    if found is None:
        parts = [described(getattr(value, field.name), known) for field in dataclasses.fields(value)]
        found = known[id(value)] = f"{kind.__module__}.{kind.__qualname__}({','.join(parts)})"
    return found


def _files() -> list[Path]:
    return sorted(path for folder in SOURCES for path in (_PACKAGE / folder).rglob("*.py"))


def _state_of_sources() -> tuple[tuple[str, int, int, int], ...]:
    """Return what changes when a source file does, of each; empty if there are none, as in a zip."""
    try:
        states = [(path, path.stat()) for path in _files()]
    except OSError:
        return ()
    return tuple((str(path), found.st_mtime_ns, found.st_size, found.st_ino) for path, found in states)


_IMPORTED: Final = _state_of_sources()
"""The state of the sources when they were imported. If they are edited later, this process still runs the old ones."""


@functools.cache
def _digest_of_sources() -> bytes:
    """Return the SHA-256 of all names and contents of the sources; empty if one cannot be read."""
    digest = hashlib.sha256()
    try:
        for path in _files():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\n{len(content)}\n".encode() + content)
    except OSError:
        return b""
    return digest.digest()
