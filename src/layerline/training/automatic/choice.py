"""A value that was chosen, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A value of the recipe, and the reason in a few words, for the screen, experiment.toml and the report."""

    value: Any
    reason: str
