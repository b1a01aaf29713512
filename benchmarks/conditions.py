"""The conditions of a measurement: machine, versions, and other load on the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from layerline.engines.bench import spread
from layerline.system.steal import steal

__all__ = ["RESULTS", "conditions", "file_system", "spread", "steal", "write"]

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


def file_system() -> str:
    """Return the file system type of the temporary folder (TMPDIR)."""
    found = subprocess.run(["df", "--output=fstype", tempfile.gettempdir()], capture_output=True, text=True, check=True)
    return found.stdout.split()[-1]


def write(name: str, result: dict[str, Any]) -> None:
    """Write a result to the results folder, and print its path."""
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**conditions(), **result}, indent=2) + "\n")
    print(f"written: {path.relative_to(RESULTS.parent.parent)}")
