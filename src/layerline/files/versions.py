"""The versions recorded in a file: Layerline's, Python's, and those of the packages that compute the results."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Final

from layerline import __version__

PACKAGES: Final = ("numpy", "llvmlite")


def versions() -> dict[str, str]:
    """Return name → version, `layerline` and `python` first; packages that are not installed are omitted."""
    found = {"layerline": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
