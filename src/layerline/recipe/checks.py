"""Whether a value of a recipe is in its range; each message names the option."""

from __future__ import annotations

import re
from typing import Final

from layerline import figures, scalars
from layerline.errors import RecipeError
from layerline.recipe import other_words

NONE: Final = "none"
_TIME: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)\s*(s|m|h)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


def whole(option: str, value: object, low: int, high: int) -> None:
    """Raise RecipeError where a value is no whole number of the range."""
    if not scalars.is_whole(value) or not low <= value <= high:
        raise RecipeError(f"--{option} {figures.name(str(value))}: must be a whole number from {low:,d} to {high:,d}")


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
    """Raise RecipeError where a value is no number of the range; `none` may be a word where it is allowed."""
    if none and isinstance(value, str) and value == NONE:
        return
    fits = scalars.is_number(value) and low <= value <= high
    if not fits or (open_low and value == low) or (open_high and value == high):
        left = f"above {low:g}" if open_low else f"of at least {low:g}"
        right = f"below {high:,.0f}" if open_high else f"at most {high:,.0f}"
        word = ", or none" if none else ""
        raise RecipeError(f"--{option} {figures.name(str(value))}: must be a number {left} and {right}{word}")


def one_of(option: str, value: object, known: tuple[str, ...]) -> None:
    """Raise RecipeError, with a near miss, where a word is not known."""
    if not isinstance(value, str) or value not in known:
        raise RecipeError(
            f"--{option} {figures.name(str(value))}: not known", other_words.hint(option, str(value), known)
        )


def switch(option: str, value: object) -> None:
    """Raise RecipeError where a value is neither yes nor no."""
    if not isinstance(value, bool):
        raise RecipeError(f"--{option} {figures.name(str(value))}: must be yes or no")


def seconds(option: str, value: str) -> float | None:
    """Return a time such as 90s, 5m or 1.5h in seconds, None for `none`. Raises RecipeError."""
    if isinstance(value, str) and value == NONE:
        return None
    found = _TIME.fullmatch(str(value).strip().lower())
    time = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not 0 < time <= 1e7:
        raise RecipeError(f"--{option} {figures.name(str(value))}: must be a time such as 90s, 5m or 1.5h, or none")
    return time
