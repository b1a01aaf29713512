"""Calls that do not match a function's parameters are answered with what to write instead."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from layerline.errors import CallError, other_words, spelling
from layerline.errors.python_terms import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Function = TypeVar("Function", bound="Callable[..., Any]")


def answered(
    usage: str, elsewhere: str = "", others: Mapping[str, str] | None = None
) -> Callable[[Function], Function]:
    """Return a decorator: a call that does not match the function's parameters raises CallError.

    usage: an example of a right call. elsewhere: the function that takes the other options of a training run. others:
    arguments of other libraries' functions, with what to write instead.
    """

    def decorator(function: Function) -> Function:
        @functools.wraps(function)
        def called(*arguments: Any, **options: Any) -> Any:
            try:
                return function(*arguments, **options)
            except TypeError as error:
                inside = error.__traceback__ and error.__traceback__.tb_next
                if inside is not None or isinstance(error, CallError):
                    raise
                raise _mismatch(function, usage, elsewhere, others or {}, arguments, options) from None

        return cast("Function", called)

    return decorator


def unknown(function: str, name: str, known: Iterable[str], elsewhere: str = "") -> tuple[str, str]:
    """Return message and help for an unknown keyword argument; see `answered`."""
    words = list(known)
    meant = (other_words.ours(name) or name).replace("-", "_")
    if meant in words:
        advice = f"did you mean {meant}=?"
    elif elsewhere and meant.replace("_", "-") in OPTIONS:
        advice = f"it is an option of {elsewhere}: {meant}="
    else:
        near = spelling.nearest(name, words)
        advice = f"one of: {', '.join(words)}" if near is None else f"did you mean {near}=?"
    return f"{function}() has no option {name}", advice


def _mismatch(
    function: Callable[..., Any],
    usage: str,
    elsewhere: str,
    others: Mapping[str, str],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> CallError:
    """Return the error for a call that Python refused before the function was entered."""
    import inspect

    parameters = inspect.signature(function).parameters.values()
    named = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    short = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    name = f"{short}()"
    extra = next((option for option in options if option not in named), None)
    if extra is not None and extra in others:
        return CallError(f"{name} has no option {extra}", others[extra])
    if extra is not None and not any(one.kind is one.VAR_KEYWORD for one in parameters):
        return CallError(*unknown(short, extra, [one for one in named if one != "self"], elsewhere))
    places = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(arguments) > len(places):
        most = len(places) - (places[0].name == "self" if places else 0)
        found = len(arguments) - len(places) + most
        arguments_text = "1 argument" if most == 1 else f"{most} arguments"
        return CallError(f"{name} takes at most {arguments_text} without a name, not {found}", f"for example {usage}")
    missing = [one.name for one in places[len(arguments) :] if one.default is one.empty and one.name not in options]
    if missing:
        return CallError(f"{name} needs {' and '.join(missing)}", f"for example {usage}")
    twice = next(one.name for one in places[: len(arguments)] if one.name in options)
    return CallError(f"{name}: {twice} is passed twice", "pass it once")
