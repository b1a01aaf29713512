"""The texts in a run's folder: regular files of a bounded size, as TOML or JSON; a stranger's folder is no safer than a
stranger's model.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from layerline import figures
from layerline.errors import UserError
from layerline.files import regular, toml

if TYPE_CHECKING:
    from pathlib import Path

AGAIN: Final = "copy the folder again from where it was made, or train once more"
LARGEST: Final = 2**24
"""Bytes of a JSON file. Python's objects take up to 25 times as much."""
LARGEST_HISTORY: Final = 2**26
"""Bytes: 200,000 epochs."""


def content(path: Path, most: int = LARGEST) -> bytes:
    """Return the bytes of a file. Raises UserError."""
    try:
        found = regular.content(path, most)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}", AGAIN) from error
    if found is None:
        raise UserError(f"{path}: has more than {figures.size(most)}, which no such file of a run has", AGAIN)
    return found


def of_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says. Raises UserError."""
    try:
        return toml.parse(content(path, toml.LARGEST).decode("utf-8-sig"))
    except (UnicodeDecodeError, toml.TomlError) as error:
        raise UserError(f"{path}: is not TOML: {error}", AGAIN) from None


def of_json(path: Path) -> Any:
    """Return what a JSON file says. Raises UserError."""
    try:
        return parsed(content(path))
    except ValueError as error:
        raise UserError(f"{path}: is not JSON: {error}", AGAIN) from None


def parsed(text: bytes) -> Any:
    """Return what a JSON text says, which has neither NaN nor Infinity. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")
