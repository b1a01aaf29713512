"""Range checks for the values of a recipe; each message names the option."""

from __future__ import annotations

from layerline.errors import RecipeError, other_words
from layerline.numbers import display, scalars


def whole(option: str, value: object, low: int, high: int) -> None:
    """Raise RecipeError unless a value is a whole number in the range."""
    if not scalars.is_whole(value) or not low <= value <= high:
        written, advice = display.number_as_passed(option, value)
        raise RecipeError(f"--{option} {written}: must be a whole number from {low:,d} to {high:,d}", advice)


def number(
    option: str,
    value: object,
    *,
    low: float,
    high: float,
    open_low: bool = False,
    open_high: bool = False,
    none: bool = False,
) -> None:
    """Raise RecipeError unless a value is a number in the range; `none`: whether it may be None."""
    if none and value is None:
        return
    fits = scalars.is_number(value) and low <= value <= high
    if not fits or (open_low and value == low) or (open_high and value == high):
        left = f"above {low:g}" if open_low else f"of at least {low:g}"
        right = f"below {high:,.0f}" if open_high else f"at most {high:,.0f}"
        word = ", or none" if none else ""
        written, advice = display.number_as_passed(option, value, whole=False)
        raise RecipeError(f"--{option} {written}: must be a number {left} and {right}{word}", advice)


def one_of(option: str, value: object, known: tuple[str, ...]) -> None:
    """Raise RecipeError, with a suggestion, if a word is unknown, or an object of another library."""
    if value is not None and not isinstance(value, str | int | float | tuple | list):
        name = (value if isinstance(value, type) else type(value)).__name__
        raise RecipeError(f"--{option}: found {name}, expected a name", other_words.hint(option, name, known))
    if not isinstance(value, str) or value not in known:
        raise RecipeError(
            f"--{option} {display.name(str(value))}: unknown", other_words.hint(option, str(value), known)
        )


def switch(option: str, value: object) -> None:
    """Raise RecipeError if a value is neither yes nor no."""
    if not isinstance(value, bool):
        raise RecipeError(f"--{option} {display.switch_as_passed(value)}: must be yes or no")
