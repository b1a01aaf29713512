"""Layerline's exceptions, converted to those of scikit-learn, with options named as the estimator's parameters."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar, final
from weakref import WeakKeyDictionary

from layerline.errors import DivergedError, UserError
from layerline.errors.python_terms import in_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Parameters = ParamSpec("Parameters")
T = TypeVar("T")

_RENAMED: Final = {"validation": "validation_fraction", "seed": "random_state"}
"""Options whose parameter has scikit-learn's name."""
_ELSEWHERE: Final = {"exclude it with --classes": "exclude it", "--validation none": "validation_fraction=None"}
"""Phrases that need other words here."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise ValueError for a UserError; in its text and that of a DivergedError, `--batch-size 0` is `batch_size=0`."""
    try:
        yield
    except UserError as error:
        raise ValueError(_in_parameters(error.with_flags)) from error
    except DivergedError as error:
        advice = None if error.help is None else _in_parameters(error.help)
        raise DivergedError(error.message, advice, error.run) from error


@contextlib.contextmanager
def all_or_nothing(estimator: object) -> Iterator[None]:
    """Restore all attributes if an exception is raised."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before  # in one step, whatever comes next
        raise


def in_turn(fit: Callable[Parameters, T]) -> Callable[Parameters, T]:
    """Return the method made exclusive: calls in several threads wait for each other, a nested call is refused.

    Raises RuntimeError if a signal handler or a callback fits an estimator that is being fitted.
    """

    @functools.wraps(fit)
    def waiting(*arguments: Parameters.args, **named: Parameters.kwargs) -> T:
        estimator = arguments[0]
        with _guard:
            turn = _turns.setdefault(estimator, _Turn())
        with turn.lock:
            if turn.taken:
                raise RuntimeError(
                    f"{type(estimator).__name__} is being fitted by this thread: wait until that has finished"
                )
            try:
                turn.taken = True
                return fit(*arguments, **named)
            finally:
                turn.taken = False

    return waiting


@final
class _Turn:
    """The lock of an estimator, and whether it is being fitted."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.taken = False


_guard = threading.RLock()
_turns: WeakKeyDictionary[object, _Turn] = WeakKeyDictionary()


def _forget() -> None:
    """Reset the locks in a forked child, which does not have the other threads of its parent."""
    global _guard, _turns
    _guard, _turns = threading.RLock(), WeakKeyDictionary()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _in_parameters(text: str) -> str:
    return in_python(text, _RENAMED, _ELSEWHERE)
