"""Which versions made a file: Layerline's, Python's, and those of the packages that compute the numbers."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Final

from layerline import __version__

PACKAGES: Final = ("numpy", "llvmlite")


def versions() -> dict[str, str]:
    """Return name → version, `layerline` and `python` first; a package that is not installed is left out."""
    found = {"layerline": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
