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
    limits = [_physical()]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(limit).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text.isdecimal():
            limits.append(int(text))
    return min(limits)


def _physical() -> int:
    """Return the machine's memory, or 2⁶² where the system does not say."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**62
    return size if size > 0 else 2**62
