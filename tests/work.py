"""How much a call does, in calls of functions: the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType


class Work:
    """Counts the functions, Python's and C's, that this thread calls while it is entered."""

    def __init__(self) -> None:
        """Begin with none."""
        self.calls = 0

    def __enter__(self) -> Work:
        """Count from here."""
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        """Count no longer."""
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        del frame, argument
        self.calls += event in ("call", "c_call")
