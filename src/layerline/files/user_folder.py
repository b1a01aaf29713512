"""The current user's folders for Layerline: data, and caches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
