"""The door between two packages: layerline's mistakes of the user become the ValueError that scikit-learn expects."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLAG: Final = re.compile(r"(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?: (?=[-+]?[.0-9]|none\b|[^ ]+: ))?")
"""A flag, and the blank between it and its value: a number, none, or the word that a colon follows."""
_RENAMED: Final = {"validation": "validation_fraction", "seed": "random_state"}
"""Flags whose parameter has scikit-learn's name."""
_ELSEWHERE: Final = {"leave it out with --classes": "leave it out", "--validation none": "validation_fraction=None"}
"""What is said otherwise here."""


@contextlib.contextmanager
def value_errors() -> Iterator[None]:
    """Raise ValueError for a UserError, in the same words, but that `--batch-size 0` is called `batch_size=0`."""
    try:
        yield
    except UserError as error:
        text = str(error)
        for words, here in _ELSEWHERE.items():
            text = text.replace(words, here)
        raise ValueError(_FLAG.sub(_parameter, text)) from error


def _parameter(flag: re.Match[str]) -> str:
    return _RENAMED.get(flag[1], flag[1].replace("-", "_")) + ("=" if flag[0].endswith(" ") else "")
