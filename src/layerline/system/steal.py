"""CPU time that a virtual machine's host has given to others."""

from __future__ import annotations

import os
from pathlib import Path


def steal() -> float:
    """Return the steal time of this machine's cores since boot in seconds (Linux), else 0."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    return int(stat.read_text(encoding="ascii").split("\n", 1)[0].split()[8]) / os.sysconf("SC_CLK_TCK")
