"""The command `layerline`. Nothing heavy is imported here: each command's module is imported when it is called."""

from __future__ import annotations

from layerline.cli.entry_point import main

__all__ = ["main"]
