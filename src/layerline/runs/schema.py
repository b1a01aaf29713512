"""Of which kinds the values in a file of a run are: files are copied, cut short and edited by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline.errors import UserError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT, NUMBER, WHOLE, COUNT = "text", "a number", "a whole number", "a whole number from 1"
SEED: Final = "a seed"
SWITCH: Final = "true or false"
_LARGEST: Final = 2**53
_LARGEST_SEED: Final = 2**64 - 1
_LARGEST_NUMBER: Final = 1e300
"""What can be added up many times without leaving float64."""

_FITS: Final[dict[str, Callable[[Any], bool]]] = {
    TEXT: lambda value: type(value) is str,
    NUMBER: lambda value: type(value) in (float, int) and abs(value) <= _LARGEST_NUMBER,
    WHOLE: lambda value: type(value) is int and 0 <= value <= _LARGEST,
    SEED: lambda value: type(value) is int and 0 <= value <= _LARGEST_SEED,
    COUNT: lambda value: type(value) is int and 1 <= value <= _LARGEST,
    SWITCH: lambda value: type(value) is bool,
}
ANY: Final = "*"
"""Stands for every key that is not named."""


def check(path: Path, value: Any, form: Any, help: str, at: str = "") -> None:  # noqa: A002 - as in UserError
    """Raise UserError where a part of `value` is not of its form; keys that are not named hold anything.

    None fits anywhere but in a list, as JSON's null.

    form: the name of a kind, a list of one form, or a table of forms by key.
    """
    if value is None:
        return
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise _not(path, at, "a table", help)
        for key, part in value.items():
            inner = form.get(key, form.get(ANY))
            if inner is not None:
                check(path, part, inner, help, f"{at}.{key}" if at else key)
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise _not(path, at, "a list", help)
        plain = _FITS.get(form[0]) if isinstance(form[0], str) else None
        if plain is None or not all(map(plain, value)):
            for k, part in enumerate(value):
                if part is None:
                    raise _not(path, f"{at}[{k}]", form[0] if isinstance(form[0], str) else "a list", help)
                check(path, part, form[0], help, f"{at}[{k}]")
    elif not _FITS[form](value):
        raise _not(path, at, form, help)


def _not(path: Path, at: str, kind: str, help: str) -> UserError:  # noqa: A002 - as in UserError
    place = f"{display.name(at)} must be {kind}" if at else f"must hold {kind}"
    return UserError(f"{path}: {place}", help)
