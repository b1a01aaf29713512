"""What the files of a run may hold, as far as the report reads it: files are copied, cut short and edited by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline import figures
from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT, NUMBER, WHOLE, COUNT = "text", "a number", "a whole number", "a whole number from 1"
_LARGEST: Final = 2**53

_FITS: Final[dict[str, Callable[[Any], bool]]] = {
    TEXT: lambda value: type(value) is str,
    NUMBER: lambda value: type(value) is float or (type(value) is int and abs(value) <= _LARGEST),
    WHOLE: lambda value: type(value) is int and 0 <= value <= _LARGEST,
    COUNT: lambda value: type(value) is int and 1 <= value <= _LARGEST,
}
_ANY: Final = "*"
"""Stands for every key that is not named."""
_FIGURES: Final = {"accuracy": NUMBER, "macro_f1": NUMBER, "class": TEXT}

EXPERIMENT: Final = {
    "data": {},
    "train": {"batch_size": COUNT},
    "about": {
        "network": {"name": TEXT},
        "data": {
            "name": TEXT,
            "fingerprint": TEXT,
            "classes": [TEXT],
            "image": [COUNT],
            "images": {_ANY: WHOLE},
            "counts": {_ANY: [WHOLE]},
            "notes": [TEXT],
            "findings": [TEXT],
        },
        "versions": {_ANY: TEXT},
        "engine": {},
        "assumed": {_ANY: TEXT},
    },
}
ENDING: Final = {"ended": TEXT, "epochs": WHOLE, "steps": WHOLE}
RESULT: Final = {
    "test_loss": NUMBER,
    "test_accuracy": NUMBER,
    "test_macro_f1": NUMBER,
    "classes": [TEXT],
    "confusion": [[WHOLE]],
    "intervals": {_ANY: [NUMBER]},
    "baselines": {_ANY: _FIGURES},
    "remarks": [TEXT],
}


def check(path: Path, value: Any, form: Any, help: str, at: str = "") -> None:  # noqa: A002 - as in UserError
    """Raise UserError where a part of `value` is not of its form; None fits anywhere, and keys not named hold anything.

    form: the name of a kind, a list of one form, or a table of forms by key.
    """
    if value is None:
        return
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise _not(path, at, "a table", help)
        for key, part in value.items():
            inner = form.get(key, form.get(_ANY))
            if inner is not None:
                check(path, part, inner, help, f"{at}.{key}" if at else key)
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise _not(path, at, "a list", help)
        plain = _FITS.get(form[0]) if isinstance(form[0], str) else None
        if plain is None or not all(map(plain, value)):
            for k, part in enumerate(value):
                check(path, part, form[0], help, f"{at}[{k}]")
    elif not _FITS[form](value):
        raise _not(path, at, form, help)


def _not(path: Path, at: str, kind: str, help: str) -> UserError:  # noqa: A002 - as in UserError
    place = f"{figures.name(at)} must be {kind}" if at else f"must hold {kind}"
    return UserError(f"{path}: {place}", help)
