"""Type checks of the values in a run's files: files get copied, truncated and edited by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline.errors import UserError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT, NUMBER, WHOLE, COUNT = "text", "a number", "a non-negative integer", "a positive integer"
SEED: Final = "a seed"
SWITCH: Final = "true or false"
_LARGEST: Final = 2**53
_LARGEST_SEED: Final = 2**64 - 1
_LARGEST_NUMBER: Final = 1e300
"""Numbers up to this can be summed many times without overflowing float64."""

_FITS: Final[dict[str, Callable[[Any], bool]]] = {
    TEXT: lambda value: type(value) is str,
    NUMBER: lambda value: type(value) in (float, int) and abs(value) <= _LARGEST_NUMBER,
    WHOLE: lambda value: type(value) is int and 0 <= value <= _LARGEST,
    SEED: lambda value: type(value) is int and 0 <= value <= _LARGEST_SEED,
    COUNT: lambda value: type(value) is int and 1 <= value <= _LARGEST,
    SWITCH: lambda value: type(value) is bool,
}
ANY: Final = "*"
"""Stands for every key that is not listed."""


def check(path: Path, value: Any, schema: Any, help: str, at: str = "") -> None:  # noqa: A002 - as in UserError
    """Raise UserError if a part of `value` does not match its schema; keys that are not listed may have any value.

    None (JSON's null) is allowed anywhere except in a list.

    schema: the name of a type, a list of one schema, or a dict of schemas by key.
    """
    if value is None:
        return
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            raise _not(path, at, "a table", help)
        for key, part in value.items():
            inner = schema.get(key, schema.get(ANY))
            if inner is not None:
                check(path, part, inner, help, f"{at}.{key}" if at else key)
    elif isinstance(schema, list):
        if not isinstance(value, list):
            raise _not(path, at, "a list", help)
        plain = _FITS.get(schema[0]) if isinstance(schema[0], str) else None
        if plain is None or not all(map(plain, value)):
            for k, part in enumerate(value):
                if part is None:
                    raise _not(path, f"{at}[{k}]", schema[0] if isinstance(schema[0], str) else "a list", help)
                check(path, part, schema[0], help, f"{at}[{k}]")
    elif not _FITS[schema](value):
        raise _not(path, at, schema, help)


def _not(path: Path, at: str, kind: str, help: str) -> UserError:  # noqa: A002 - as in UserError
    place = f"{display.name(at)} must be {kind}" if at else f"must contain {kind}"
    return UserError(f"{path}: {place}", help)
