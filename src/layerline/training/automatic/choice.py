"""A value that was chosen automatically, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A value of the recipe with a short reason, for the screen, experiment.toml and the report."""

    value: Any
    reason: str
