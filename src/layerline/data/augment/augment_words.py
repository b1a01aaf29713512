"""The words of --augment: the values that each accepts, and the errors for anything else."""

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
    """A word of --augment and its values: a set of names, or a range of numbers."""

    example: str
    known: tuple[str, ...] = ()
    alone: str | None = None
    """Its meaning without a value, if the value is optional."""
    whole: bool = False
    most: float = math.inf
    below: bool = False
    """Whether `most` itself is excluded."""

    @property
    def range(self) -> str:
        """Return which values it accepts, for a message."""
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
"""Names of augmentations in other programs."""


def read(text: str) -> dict[str, Any]:
    """Return the values by word; empty for `none`. Raises RecipeError, which names the part that is wrong."""
    if text.strip().lower() == "none":
        return {}
    if len(text) > _LONGEST:
        raise RecipeError(f"--augment: found {len(text):,d} characters, expected at most {_LONGEST:,d}", _all_words())
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip().lower() for piece in part.partition("="))
        shown = display.name(part.strip(), 40)
        if not name:
            raise RecipeError(f"--augment {display.name(text)}: a word is missing", _all_words())
        if name not in WORDS:
            raise RecipeError(f"--augment {shown}: unknown augmentation", _hint(name))
        if name in values:
            raise RecipeError(f"--augment: {name} is specified twice", "remove one of them")
        values[name] = _value(name, value if equals else None, shown)
    check_padding(values)
    return values


def check(name: str, value: object) -> None:
    """Raise RecipeError if the word does not accept the value."""
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
        repair = f"for example {word.example}, or omit {name}" if near is None else f"did you mean {name}={near}?"
        shown = display.name(f"{value:g}" if isinstance(value, float) else str(value), 40)
        raise RecipeError(f"--augment {name}={shown}: must be {word.range}", repair)


def _value(name: str, text: str | None, shown: str) -> object:
    """Return the value of a word."""
    word = WORDS[name]
    if text is None:
        if word.alone is None:
            raise RecipeError(f"--augment {shown}: no value; must be {word.range}", f"for example {word.example}")
        return word.alone
    value: object = text
    if word.whole and _WHOLE.fullmatch(text):
        value = int(text)
    elif not word.known and not word.whole and _NUMBER.fullmatch(text):
        value = float(text)
    check(name, value)
    return value


def check_padding(values: dict[str, Any]) -> None:
    """Raise RecipeError if padding is specified and nothing moves the image."""
    if "padding" in values and not values.keys() & {"shift", "rotate", "scale"}:
        given = f"padding={values['padding']}"
        raise RecipeError(
            f"--augment: {given} has no effect unless something moves the image",
            f"add shift=4, or omit {given}",
        )


def _hint(name: str) -> str:
    if len(name.split()) > 1:
        return "separate the words with commas: flip,shift=4"
    near = _MEANT.get(name) or spelling.nearest(name, WORDS)
    return _all_words() if near is None else f"did you mean {WORDS[near].example}?"


def _all_words() -> str:
    return "use any of: " + ",".join(word.example for word in WORDS.values())
