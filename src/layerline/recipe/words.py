"""The words for values of a recipe: read here, wherever they come from, and written here for files and screens.

A recipe itself holds what they mean: None for none, seconds for 5m, an Augmentation for flip,shift=4.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final, overload

from layerline.errors import RecipeError
from layerline.numbers import display
from layerline.numbers.scalars import is_number, plain
from layerline.recipe import checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.data.augment.augmentation import Augmentation

NONE: Final = "none"
CLASS_WEIGHTS: Final = (NONE, "balanced", "sqrt")
LONGEST: Final = 1e7
"""Seconds."""
_TIME: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)\s*(s|m|h)")
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}

T = TypeVar("T")


@final
class Worded(Generic[T]):
    """A field of a frozen dataclass that may be given in words, and holds what they mean; by default None.

    It is a descriptor, of which `dataclasses` asks the default and to which it gives what was given: so one type stands
    for what a recipe takes, and another for what it has.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        """Keep what reads the words. It leaves what it does not know as it is, for the check of the range."""
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name of the field."""
        self._name = name

    @overload
    def __get__(self, holder: None, owner: type) -> None: ...
    @overload
    def __get__(self, holder: object, owner: type) -> T | None: ...
    def __get__(self, holder: object | None, owner: type) -> T | None:
        """Return the value, and of the class itself the default."""
        if holder is None:
            return None
        value: T | None = holder.__dict__[self._name]
        return value

    def __set__(self, holder: object, given: T | str | None) -> None:
        """Read it: once, when the dataclass is made. Raises RecipeError."""
        holder.__dict__[self._name] = self._read(plain(given))


def or_none(given: Any) -> Any:
    """Return None for the word `none`."""
    return None if isinstance(given, str) and given == NONE else given


def seconds(option: str, given: object) -> float | None:
    """Return the seconds of a time such as 90s, 5m or 1.5h, or of a number; None for `none`. Raises RecipeError."""
    if given is None or or_none(given) is None:
        return None
    found = _TIME.fullmatch(given.strip().lower()) if isinstance(given, str) else None
    time = float(found[1]) * _SECONDS[found[2]] if found else float(given) if is_number(given) else 0.0
    if not 0 < time <= LONGEST:
        raise RecipeError(f"--{option} {display.name(str(given))}: must be a time such as 90s, 5m or 1.5h, or none")
    return time


def within(given: object) -> float | None:
    """Return the seconds of --within. Raises RecipeError."""
    return seconds("within", given)


def augmentation(given: object) -> Augmentation | None:
    """Return what --augment does to images; None where that is nothing. Raises RecipeError."""
    if given is None or or_none(given) is None:
        return None  # without NumPy, which an augmentation needs
    from layerline.data.augment.augmentation import Augmentation

    if isinstance(given, Augmentation):
        return None if given == Augmentation() else given
    if not isinstance(given, str):
        raise RecipeError(f"--augment {given}: must be text, such as flip,shift=4")
    return Augmentation.parse(given)


def class_weights(given: Any) -> str | tuple[float, ...] | None:
    """Return the way of weighing classes, or a number a class; None where all count the same. Raises RecipeError."""
    asked = given
    if isinstance(given, list | tuple) and len(given) == 1 and isinstance(given[0], str) and "," not in given[0]:
        given = given[0]
    if isinstance(given, str) and "," in given:
        given = given.split(",")
    if given is None:
        return None
    if isinstance(given, str):
        checks.one_of("class-weights", given, CLASS_WEIGHTS)
        return None if given == NONE else given
    try:
        numbers = tuple(value if isinstance(value, bool) else float(value) for value in plain(list(given)))
    except (TypeError, ValueError):
        known = ", ".join(CLASS_WEIGHTS)
        raise RecipeError(
            f"--class-weights {asked}: not known", f"one of: {known}, or a number a class: 1,2.5,1"
        ) from None
    for value in numbers:
        checks.number("class-weights", value, low=0.0, high=1e6, open_low=True)
    return numbers


def written(name: str, value: Any) -> Any:
    """Return a value of the recipe in words, or as the plain value that it is: what reads it gives the same again."""
    if value is None:
        return NONE
    if name == "within":
        return time(value)
    if name == "augment":
        return value.text
    return list(value) if isinstance(value, tuple) else value


def time(seconds: float) -> str:
    """Return a time in its largest whole unit: 5m for 300."""
    unit = next((unit for unit, size in _SECONDS.items() if seconds % size == 0), "s")
    return f"{Decimal(str(seconds / _SECONDS[unit])).normalize():f}{unit}"
