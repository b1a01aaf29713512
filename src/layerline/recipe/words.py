"""Values of a recipe written as text: parsed here, wherever they come from, and formatted here for files and screens.

A recipe itself stores the parsed values: None for none, seconds for 5m, an Augmentation for flip,shift=4.
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
    """A field of a frozen dataclass that accepts text and stores the parsed value; the default is None.

    It is a descriptor: `dataclasses` reads its default and assigns the argument to it. So the type that a recipe
    accepts may differ from the type that it stores.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        """Take the parser. It returns what it does not know unchanged, for the check of the range."""
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        """Store the name of the field."""
        self._name = name

    @overload
    def __get__(self, holder: None, owner: type) -> None: ...
    @overload
    def __get__(self, holder: object, owner: type) -> T | None: ...
    def __get__(self, holder: object | None, owner: type) -> T | None:
        """Return the value, or the default if accessed on the class."""
        if holder is None:
            return None
        value: T | None = holder.__dict__[self._name]
        return value

    def __set__(self, holder: object, given: T | str | None) -> None:
        """Parse and store the value, when the dataclass is created. Raises RecipeError."""
        holder.__dict__[self._name] = self._read(plain(given))


def or_none(given: Any) -> Any:
    """Return None for the word `none`."""
    return None if isinstance(given, str) and given == NONE else given


def seconds(option: str, given: object) -> float | None:
    """Return the seconds of a time such as 90s, 5m or 1.5h, or a number itself; None for `none`. Raises RecipeError."""
    if given is None or or_none(given) is None:
        return None
    found = _TIME.fullmatch(given.strip().lower()) if isinstance(given, str) else None
    time = float(found[1]) * _SECONDS[found[2]] if found else float(given) if is_number(given) else 0.0
    if not 0 < time <= LONGEST:
        raise RecipeError(f"--{option} {display.name(str(given))}: must be a time such as 90s, 5m or 1.5h, or none")
    return time


def within(given: object) -> float | None:
    """Return the value of --within in seconds. Raises RecipeError."""
    return seconds("within", given)


def augmentation(given: object) -> Augmentation | None:
    """Return the augmentation of --augment; None if there is none. Raises RecipeError."""
    if given is None or or_none(given) is None:
        return None  # without NumPy, which an augmentation needs
    from layerline.data.augment.augmentation import Augmentation

    if isinstance(given, Augmentation):
        return None if given == Augmentation() else given
    if not isinstance(given, str):
        raise RecipeError(f"--augment {given}: must be text, such as flip,shift=4")
    return Augmentation.parse(given)


def class_weights(given: Any) -> str | tuple[float, ...] | None:
    """Return how to weight classes, or one number per class; None if all are equal. Raises RecipeError."""
    original = given
    if isinstance(given, dict):  # as Keras has them: the weight of each class by its number
        if set(given) != set(range(len(given))):
            known = ", ".join(map(repr, list(given)[:4]))
            raise RecipeError(
                f"--class-weights: found a dictionary of {known}; expected the numbers of all classes from 0",
                "pass one number per class, in the order of the classes: [1, 2.5, 1]",
            )
        given = [given[k] for k in range(len(given))]
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
            f"--class-weights {original}: unknown", f"one of: {known}, or one number per class: 1,2.5,1"
        ) from None
    for value in numbers:
        checks.number("class-weights", value, low=0.0, high=1e6, open_low=True)
    return numbers


def written(name: str, value: Any) -> Any:
    """Return a value of the recipe as text, or as a plain value; parsing it returns the same value."""
    if value is None:
        return NONE
    if name == "within":
        return time(value)
    if name == "augment":
        return value.text
    return list(value) if isinstance(value, tuple) else value


def time(seconds: float) -> str:
    """Return a time in the largest unit that divides it: 5m for 300."""
    unit = next((unit for unit, size in _SECONDS.items() if seconds % size == 0), "s")
    return f"{Decimal(str(seconds / _SECONDS[unit])).normalize():f}{unit}"
