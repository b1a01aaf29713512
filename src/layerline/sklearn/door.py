"""The door between two packages: what layerline raises, as scikit-learn expects it, in the words of the parameters."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from layerline.errors import DivergedError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLAG: Final = re.compile(r"(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?: (?=[-+]?[.0-9]|none\b|[^ ]+: ))?")
"""A flag, and the blank between it and its value: a number, none, or the word that a colon follows."""
_RENAMED: Final = {"validation": "validation_fraction", "seed": "random_state"}
"""Flags whose parameter has scikit-learn's name."""
_ELSEWHERE: Final = {"leave it out with --classes": "leave it out", "--validation none": "validation_fraction=None"}
"""What is said otherwise here."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise ValueError for a UserError; in it and in a DivergedError, `--batch-size 0` is called `batch_size=0`."""
    try:
        yield
    except UserError as error:
        raise ValueError(_in_parameters(str(error))) from error
    except DivergedError as error:
        advice = None if error.help is None else _in_parameters(error.help)
        raise DivergedError(error.message, advice, error.run) from error


@contextlib.contextmanager
def all_or_nothing(estimator: object) -> Iterator[None]:
    """Put every attribute back where something is raised."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _in_parameters(text: str) -> str:
    for words, here in _ELSEWHERE.items():
        text = text.replace(words, here)
    return _FLAG.sub(_parameter, text)


def _parameter(flag: re.Match[str]) -> str:
    return _RENAMED.get(flag[1], flag[1].replace("-", "_")) + ("=" if flag[0].endswith(" ") else "")
