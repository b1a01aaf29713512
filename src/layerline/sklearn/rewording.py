"""The door between two packages: what layerline raises, as scikit-learn expects it, in the words of the parameters."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar, final
from weakref import WeakKeyDictionary

from layerline.errors import DivergedError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Parameters = ParamSpec("Parameters")
T = TypeVar("T")

_FLAG: Final = re.compile(r"(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?: (?=[-+]?[.0-9]|none\b|[^ ]+: ))?")
"""A flag, and the blank between it and its value: a number, none, or the word that a colon follows."""
_RENAMED: Final = {"validation": "validation_fraction", "seed": "random_state"}
"""Flags whose parameter has scikit-learn's name."""
_ELSEWHERE: Final = {"exclude it with --classes": "exclude it", "--validation none": "validation_fraction=None"}
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
        estimator.__dict__ = before  # at one stroke, whatever comes next
        raise


def in_turn(fit: Callable[Parameters, T]) -> Callable[Parameters, T]:
    """Return a method that fits: calls in several threads wait for each other, one inside another is refused.

    Raises RuntimeError where a signal handler, or a callback, fits an estimator while it is being fitted.
    """

    @functools.wraps(fit)
    def waiting(*arguments: Parameters.args, **named: Parameters.kwargs) -> T:
        estimator = arguments[0]
        with _guard:
            turn = _turns.setdefault(estimator, _Turn())
        with turn.lock:
            if turn.taken:
                raise RuntimeError(f"{type(estimator).__name__} is being fitted by this thread: let that end first")
            try:
                turn.taken = True
                return fit(*arguments, **named)
            finally:
                turn.taken = False

    return waiting


@final
class _Turn:
    """Whose turn it is with an estimator."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.taken = False


_guard = threading.RLock()
_turns: WeakKeyDictionary[object, _Turn] = WeakKeyDictionary()


def _forget() -> None:
    """Let a child be at none of the turns of its parent's other threads, which it does not have."""
    global _guard, _turns
    _guard, _turns = threading.RLock(), WeakKeyDictionary()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _in_parameters(text: str) -> str:
    for words, here in _ELSEWHERE.items():
        text = text.replace(words, here)
    return _FLAG.sub(_parameter, text)


def _parameter(flag: re.Match[str]) -> str:
    return _RENAMED.get(flag[1], flag[1].replace("-", "_")) + ("=" if flag[0].endswith(" ") else "")
