"""A rough estimate of the memory of a training step, and the memory of the machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerline.network.graph import Node

PER_PARAMETER: Final = 12
"""Bytes: weight, gradient and momentum, float32."""
PER_VALUE: Final = 8
"""Bytes: a value of a layer's output and its gradient, float32."""
PER_FROZEN: Final = 4
"""Bytes: a parameter of a frozen layer, or a value of its output for one image: it is not stored for the batch."""
_MOST: Final = 2**62
_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")
_LIMITS: Final = ("memory.max", "memory.limit_in_bytes")
_USED: Final = ("anon", "total_rss")
"""Files and keys of memory.stat in versions 2 and 1 of control groups."""


def training_bytes(nodes: Iterable[Node], batch_size: int) -> int:
    """Return Σ 12 · parameters + batch size · Σ 8 · values of the output: an estimate, in bytes.

    Of frozen layers it is Σ 4 · (parameters + values). Engines may need less, by recomputing what they would otherwise
    store, or more, for their own scratch space.
    """
    return sum(
        PER_FROZEN * (node.frozen_parameters + values(node))
        if node.frozen
        else PER_PARAMETER * node.parameters + PER_VALUE * batch_size * values(node)
        for node in nodes
    )


def values(node: Node) -> int:
    """Return the number of values in the node's output for one image."""
    size = 1
    for extent in node.shape:
        size *= extent
    return size


def machine_bytes() -> int:
    """Return the memory this process may use, in bytes: the machine's, or a control group's limit if lower."""
    return min([_physical(), *(limit for limit, _ in _groups())])


def free_bytes() -> int:
    """Return how much more memory this process may use, in bytes, as far as the system reports it.

    This is the smallest of the machine's available memory and of what each control group's limit leaves free, not
    counting cached files.
    """
    return max(0, min([_available(), *(limit - used for limit, used in _groups())]))


def free_addresses() -> int | None:
    """Return how many more bytes of address space this process may use (`ulimit -v`), None if unlimited."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError, ValueError, IndexError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(0, limit - pages * resource.getpagesize())


def _groups() -> list[tuple[int, int]]:
    """Return limit and usage, in bytes, of each control group with a limit that this process is in.

    The groups are nested; inside a container the outer ones are not visible.
    """
    found = []
    for folder in _group_folders():
        try:
            limit = next((folder / name).read_text(encoding="ascii") for name in _LIMITS if (folder / name).exists())
        except (OSError, UnicodeDecodeError, StopIteration):
            continue
        if limit.strip().isdecimal():
            numbers = _numbers(folder / "memory.stat")
            found.append((int(limit), next((numbers[key] for key in _USED if key in numbers), 0)))
    return found


def _group_folders() -> list[Path]:
    """Return the folders of the memory control groups that this process may be in, the innermost first."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _GROUPS / "memory" if controllers else _GROUPS
        inner = root / path.lstrip("/")
        found += [inner, *(folder for folder in inner.parents if folder.is_relative_to(root))]
    return found


def _available() -> int:
    """Return the memory that is available without swapping, or the machine's memory if that is unknown."""
    kilobytes = _numbers(Path("/proc/meminfo")).get("MemAvailable:")
    return _physical() if kilobytes is None else 1024 * kilobytes


def _numbers(path: Path) -> dict[str, int]:
    """Return the first number of each line of a file by its first word; empty if it cannot be read."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, UnicodeDecodeError):
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}


def _physical() -> int:
    """Return the machine's memory, or 2⁶² if the system does not report it."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return _MOST
    return size if size > 0 else _MOST
