"""The command `layerline`. Nothing heavy is imported here: a command's module is imported when the command runs."""

from __future__ import annotations

from layerline.cli.entry_point import main

__all__ = ["main"]
