"""The current user's folders for Layerline: data, and caches; and paths in messages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable


def user_folder(folder: Callable[..., str]) -> Path | None:
    """Return this user's folder for Layerline, from platformdirs; None if this user has no home folder.

    folder: its function, which raises or returns a relative path if HOME is not set and the user is unknown.
    """
    try:
        found = Path(folder("layerline", appauthor=False))
    except RuntimeError:
        return None
    return found if found.is_absolute() else None


def shown(path: Path) -> str:
    """Return a path as displayed in messages, with `~` for the user's home folder."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    inside = home.is_absolute() and home != Path(home.anchor) and path.is_relative_to(home)
    return display.name(str(Path("~") / path.relative_to(home) if inside else path), 200)
