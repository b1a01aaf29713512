"""The words of --augment: what may stand behind each, and what is said where something else does."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from layerline.errors import RecipeError, spelling
from layerline.numbers import display
from layerline.numbers.scalars import is_number, is_whole

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_LONGEST: Final = 1000
_MOST_PIXELS: Final = 65_535


@dataclass(frozen=True)
class AugmentWord:
    """A word of --augment and its values: known words, else numbers of a range."""

    example: str
    known: tuple[str, ...] = ()
    alone: str | None = None
    """What it means without a value, where it may stand without one."""
    whole: bool = False
    most: float = math.inf
    below: bool = False
    """Whether `most` is too much already."""

    @property
    def range(self) -> str:
        """Return what its value must be, for a message."""
        if self.known:
            return " or ".join(self.known)
        if self.whole:
            return f"a whole number of pixels from 1 to {_MOST_PIXELS:,d}"
        return f"a number above 0 and {'below' if self.below else 'at most'} {self.most:g}"


WORDS: Final = {
    "shift": AugmentWord("shift=4", whole=True),
    "padding": AugmentWord("padding=reflect", ("zero", "reflect")),
    "flip": AugmentWord("flip", ("random", "alternate"), alone="random"),
    "cutout": AugmentWord("cutout=8", whole=True),
    "brightness": AugmentWord("brightness=0.2", most=1.0),
    "contrast": AugmentWord("contrast=0.2", most=1.0, below=True),
    "rotate": AugmentWord("rotate=10", most=180.0),
    "scale": AugmentWord("scale=0.1", most=0.9),
}
_MEANT: Final = {
    "crop": "shift",
    "translate": "shift",
    "mirror": "flip",
    "hflip": "flip",
    "erase": "cutout",
    "erasing": "cutout",
    "zoom": "scale",
    "resize": "scale",
    "degrees": "rotate",
    "jitter": "brightness",
    "reflect": "padding",
}
"""Other words for the same, as other programs have them."""


def read(text: str) -> dict[str, Any]:
    """Return the values by word; none for `none`. Raises RecipeError, which names the part that is wrong."""
    if text.strip().lower() == "none":
        return {}
    if len(text) > _LONGEST:
        raise RecipeError(f"--augment: has {len(text):,d} letters, expected at most {_LONGEST:,d}", _all_words())
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip().lower() for piece in part.partition("="))
        shown = display.name(part.strip(), 40)
        if not name:
            raise RecipeError(f"--augment {display.name(text)}: a word is missing", _all_words())
        if name not in WORDS:
            raise RecipeError(f"--augment {shown}: not known", _hint(name))
        if name in values:
            raise RecipeError(f"--augment {name}: given twice", "leave one of them out")
        values[name] = _value(name, value if equals else None, shown)
    check_padding(values)
    return values


def check(name: str, value: object) -> None:
    """Raise RecipeError where a value is not one of its word's."""
    word = WORDS[name]
    if word.known:
        fits = value in word.known
    elif word.whole:
        fits = is_whole(value) and 1 <= value <= _MOST_PIXELS
    else:
        fits = is_number(value) and 0 < value <= word.most
        fits = fits and not (word.below and value == word.most)
    if not fits:
        near = spelling.nearest(str(value), word.known)
        repair = f"such as {word.example}, or leave {name} out" if near is None else f"did you mean {name}={near}?"
        shown = display.name(f"{value:g}" if isinstance(value, float) else str(value), 40)
        raise RecipeError(f"--augment {name}={shown}: must be {word.range}", repair)


def _value(name: str, text: str | None, shown: str) -> object:
    """Return what stands behind a word."""
    word = WORDS[name]
    if text is None:
        if word.alone is None:
            raise RecipeError(f"--augment {shown}: needs a value: {word.range}", f"such as {word.example}")
        return word.alone
    value: object = text
    if word.whole and _WHOLE.fullmatch(text):
        value = int(text)
    elif not word.known and not word.whole and _NUMBER.fullmatch(text):
        value = float(text)
    check(name, value)
    return value


def check_padding(values: dict[str, Any]) -> None:
    """Raise RecipeError where padding is among the words given and nothing moves."""
    if "padding" in values and not values.keys() & {"shift", "rotate", "scale"}:
        given = f"padding={values['padding']}"
        raise RecipeError(
            f"--augment {given} says what lies outside an image, and nothing moves it",
            f"add shift=4, or leave {given} out",
        )


def _hint(name: str) -> str:
    if len(name.split()) > 1:
        return "put commas between the words: flip,shift=4"
    near = _MEANT.get(name) or spelling.nearest(name, WORDS)
    return _all_words() if near is None else f"did you mean {WORDS[near].example}?"


def _all_words() -> str:
    return "any of: " + ",".join(word.example for word in WORDS.values())
