"""How much memory a training step takes, by a plain estimate, and how much the machine has."""

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
"""Bytes: a number of a layer's output and its gradient, float32."""
_MOST: Final = 2**62
_GROUPS: Final = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))
_LIMITS: Final = ("memory.max", "memory.limit_in_bytes")
"""In each of these folders: versions 2 and 1 of control groups."""


def training_bytes(nodes: Iterable[Node], batch_size: int) -> int:
    """Return Σ 12 · parameters + batch size · Σ 8 · values of the output: an estimate, in bytes.

    Engines may need less, by keeping what they can recompute, or more, for their own scratch space.
    """
    return sum(PER_PARAMETER * node.parameters + PER_VALUE * batch_size * values(node) for node in nodes)


def values(node: Node) -> int:
    """Return how many numbers the node's output has for one image."""
    size = 1
    for extent in node.shape:
        size *= extent
    return size


def machine_bytes() -> int:
    """Return the memory this process may use, in bytes: the machine's, or the control group's limit if lower."""
    return min([_physical(), *_group_limits()])


def free_bytes() -> int:
    """Return how much more memory this process may take, in bytes, as far as the system says.

    It is the least of what the machine has available, what the control group's limit leaves beside its files in
    memory, and what the limit on the address space leaves.
    """
    found = [_available()]
    for limit, group in zip(_group_limits(), _GROUPS, strict=True):
        found.append(limit - _numbers(group / "memory.stat").get("anon", 0))
    found += _address_space()
    return max(0, min(found))


def _group_limits() -> list[int]:
    """Return the limits of the control group, 2⁶² for one that is not there."""
    limits = []
    for group, name in zip(_GROUPS, _LIMITS, strict=True):
        try:
            text = (group / name).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            text = "max"
        limits.append(int(text) if text.isdecimal() else _MOST)
    return limits


def _available() -> int:
    """Return what the machine can give without swapping, or what it has where the system does not say."""
    kilobytes = _numbers(Path("/proc/meminfo")).get("MemAvailable:")
    return _physical() if kilobytes is None else 1024 * kilobytes


def _address_space() -> list[int]:
    """Return what a limit on this process's addresses leaves; nothing where there is none."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError, ValueError, IndexError):
        return []
    return [] if limit == resource.RLIM_INFINITY else [limit - pages * resource.getpagesize()]


def _numbers(path: Path) -> dict[str, int]:
    """Return the first number of each line of a file by its first word; empty where it cannot be read."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, UnicodeDecodeError):
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}


def _physical() -> int:
    """Return the machine's memory, or 2⁶² where the system does not say."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return _MOST
    return size if size > 0 else _MOST
