"""The conditions of a measurement: machine, versions, and other load on the machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def conditions() -> dict[str, Any]:
    """Return the machine and versions."""
    from layerline.compiler.machine import host
    from layerline.system.cores import cores

    machine = host()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": machine.cpu,
        "cores": cores(),
        "lanes": machine.lanes,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("layerline", "llvmlite", "numpy")},
        "load_before": os.getloadavg()[0],
    }


def steal() -> float:
    """Return the steal time of this machine's cores since boot in seconds (Linux), else 0."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    return int(stat.read_text().split("\n", 1)[0].split()[8]) / os.sysconf("SC_CLK_TCK")


def file_system() -> str:
    """Return the file system type of the temporary folder (TMPDIR)."""
    found = subprocess.run(["df", "--output=fstype", tempfile.gettempdir()], capture_output=True, text=True, check=True)
    return found.stdout.split()[-1]


def spread(values: list[float]) -> dict[str, float]:
    """Return minimum, median and maximum."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def write(name: str, result: dict[str, Any]) -> None:
    """Write a result to the results folder, and print its path."""
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**conditions(), **result}, indent=2) + "\n")
    print(f"written: {path.relative_to(RESULTS.parent.parent)}")
