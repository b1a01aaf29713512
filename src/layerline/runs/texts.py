"""The JSON and TOML files of a run folder: written, and read as regular files of a bounded size.

A run folder from an unknown source is no safer than a model from an unknown source.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import UserError
from layerline.files import regular, toml
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AGAIN: Final = "copy the folder again from its original location, or train again"
LARGEST: Final = 2**24
"""Maximum bytes of a JSON file. As Python objects it takes up to 25 times as much."""
LARGEST_HISTORY: Final = 2**26
"""Maximum bytes of history.jsonl: 200,000 epochs."""


def content(path: Path, most: int = LARGEST) -> bytes:
    """Return the bytes of a file. Raises UserError."""
    try:
        found = regular.content(path, most)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}", AGAIN) from error
    if found is None:
        raise UserError(f"{path} is larger than {display.size(most)}, the limit for this file of a run", AGAIN)
    return found


def of_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file. Raises UserError."""
    try:
        return toml.parse(content(path, toml.LARGEST).decode("utf-8-sig"))
    except (UnicodeDecodeError, toml.TomlError) as error:
        raise UserError(f"{path}: not valid TOML: {error}", AGAIN) from None


def of_json(path: Path) -> Any:
    """Return the contents of a JSON file. Raises UserError."""
    try:
        return parsed(content(path))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}", AGAIN) from None


def parsed(text: bytes) -> Any:
    """Return the value of a JSON text, in which NaN and Infinity are not allowed. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def as_text(values: Mapping[str, Any]) -> str:
    """Return a result as JSON, one line per key, class and row of the matrix."""
    lines = [f"  {json_line(key)}: {_spread(value)}" for key, value in values.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def json_line(value: Any) -> str:
    """Return `value` as JSON on one line; numbers keep all their digits, non-finite ones become null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    match value:
        case np.generic():
            return _finite(value.item())
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(part) for key, part in value.items()}
        case list() | tuple():
            return [_finite(part) for part in value]
    return value


def _spread(value: Any) -> str:
    """Return JSON with each item of a list of lists or objects on a separate line."""
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        return "[\n" + ",\n".join(f"    {json_line(part)}" for part in value) + "\n  ]"
    return json_line(value)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not a JSON number")
