"""The grammar of a line in a network file: words, their arguments, and the values of arguments."""

from __future__ import annotations

import abc
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping

Pair = tuple[int, int]
"""(height, width)."""

LARGEST: Final = 1_000_000
"""The largest integer that an argument accepts."""

CLASSES: Final = 0
"""The value of `FC classes` until the number of classes is known from the data."""

_WHOLE: Final = re.compile(r"-?[0-9]+", re.ASCII)
_PAIR: Final = re.compile(r"(-?[0-9]+)[xX×](-?[0-9]+)", re.ASCII)
_TUPLE: Final = re.compile(r"[(\[]?([0-9]{1,7}),([0-9]{1,7})[)\]]?", re.ASCII)
_REAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_LONGEST_SHOWN: Final = 40


class Misfit(Exception):  # noqa: N818 - the public error is NetworkError
    """A mistake in a network, without file and line, which are added at the public entry point."""

    def __init__(self, reason: str, help: str | None = None, argument: str | None = None) -> None:  # noqa: A002
        """Store the short reason, the fix, and the name of the argument at fault (None: the layer)."""
        super().__init__(reason)
        self.reason = reason
        self.help = help
        self.argument = argument


def shown(text: str) -> str:
    """Return the user's text for a message: shortened, and without terminal control codes."""
    return display.name(text, _LONGEST_SHOWN)


def hidden(text: str) -> str | None:
    """Return the fix for an invisible character, or None if there is none."""
    found = next((letter for letter in text if not letter.isprintable()), None)
    if found is None:
        return None
    what = "an unusual space" if found.isspace() else "an invisible character"
    return f"it contains {what} (U+{ord(found):04X}): retype it"


def times(sizes: tuple[int, ...]) -> str:
    """Return sizes as in messages: 16×12×12."""
    return "×".join(f"{size:,d}" for size in sizes)


def written(pair: Pair) -> str:
    """Return a pair as in network files: `3` for (3, 3), `3x5` for (3, 5)."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


class ValueKind(abc.ABC):
    """The type of an argument: it reads and writes its values."""

    @abc.abstractmethod
    def read(self, name: str, text: str) -> Any:
        """Return the value of `text`. Raises Misfit, with `name` as the name of the argument."""

    def write(self, value: Any) -> str:
        """Return the text that `read` would turn into `value`."""
        return str(value)


@final
@dataclass(frozen=True)
class Whole(ValueKind):
    """An integer in ASCII digits, from `low` to `high`."""

    low: int = 1
    high: int = LARGEST

    def read(self, name: str, text: str) -> int:
        """Return the number."""
        if not _WHOLE.fullmatch(text):
            raise _unreadable(name, text, self._wanted())
        return self.inside(name, text, text)

    def inside(self, name: str, digits: str, text: str) -> int:
        """Return the number in `digits` (a part of `text`), which may be of any length."""
        short = digits.lstrip("-0") or "0"
        number = int(short) if len(short) < 20 else self.high + 1
        number = -number if digits.startswith("-") else number
        if not self.low <= number <= self.high:
            raise Misfit(f"{name} must be {self._wanted()}, not {shown(text)}")
        return number

    def _wanted(self) -> str:
        return f"a whole number from {self.low:,d} to {self.high:,d}"


@final
@dataclass(frozen=True)
class Sizes(ValueKind):
    """A height and a width: `3x5`, or `3` for both; if `same` is set, also `same`, and Keras's `valid` for 0."""

    low: int = 1
    same: bool = False

    def read(self, name: str, text: str) -> Pair | str:
        """Return (height, width), or "same"."""
        if self.same and text.lower() in ("same", "valid"):
            return "same" if text.lower() == "same" else (0, 0)
        one = Whole(self.low)
        if _WHOLE.fullmatch(text):
            both = one.inside(name, text, text)
            return both, both
        match = _PAIR.fullmatch(text)
        if not match:
            wanted = "a whole number, or height x width like 3x5" + ", or same" * self.same
            raise Misfit(_unreadable(name, text, wanted).reason, self._likely(name, text))
        return one.inside(name, match[1], text), one.inside(name, match[2], text)

    def _likely(self, name: str, text: str) -> str | None:
        """Return a fix for Python's `(3,5)` and `'same'`, and Keras's `valid`."""
        pair = _TUPLE.fullmatch(text)
        if pair:
            return f"write {name}={pair[1] if pair[1] == pair[2] else f'{pair[1]}x{pair[2]}'}"
        if text[:1] in ("(", "["):
            return "write it without parentheses: one number, or 3x5 for height x width"
        word = text.strip("'\"").lower()
        if name == "padding" and word in ("valid", "same") and (self.same or word == "valid"):
            return f"write {name}={'0' if word == 'valid' else word}"
        return _unreadable(name, text, "").help

    def write(self, value: Pair | str) -> str:
        """Return `3`, `3x5` or `same`."""
        return value if isinstance(value, str) else written(value)


@final
@dataclass(frozen=True)
class Real(ValueKind):
    """A decimal number from `low` to `high`; an open end is excluded from the range."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False
    example: str = "0.5"
    share: bool = False
    """Whether it is a fraction, which might be written as a percentage by mistake."""

    def read(self, name: str, text: str) -> float:
        """Return the number, a float64."""
        if not _REAL.fullmatch(text):
            misfit = _unreadable(name, text, self._wanted())
            if self.share and _REAL.fullmatch(text.removesuffix("%")):
                misfit.help = f"write {float(text[:-1]) / 100:g}"
            raise misfit
        number = float(text)
        inside = self.low <= number <= self.high
        if not inside or (self.open_low and number == self.low) or (self.open_high and number == self.high):
            helps = f"for {number:g}%, write {number / 100:g}" if self.share and 1 < number < 100 else None
            raise Misfit(f"{name} must be {self._wanted()}, not {shown(text)}", helps)
        return number

    def write(self, value: float) -> str:
        """Return the shortest text that reads as the same float64: 0.1, 1e-5."""
        return re.sub(r"e([+-])0+", lambda sign: "e" + sign[1].strip("+"), repr(value))

    def _wanted(self) -> str:
        left = f"above {self.low:g}" if self.open_low else f"of at least {self.low:g}"
        right = f"below {self.high:g}" if self.open_high else f"at most {self.high:g}"
        return f"a number {left} and {right}, like {self.example}"


@final
@dataclass(frozen=True)
class YesNo(ValueKind):
    """`yes` or `no`; Python's `True` and `False` are read as well."""

    def read(self, name: str, text: str) -> bool:
        """Return whether it is yes."""
        answer = {"yes": True, "no": False, "true": True, "false": False}.get(text.lower())
        if answer is None:
            likely = {"1": "yes", "on": "yes", "0": "no", "off": "no"}.get(text.lower())
            raise Misfit(f"{name} must be yes or no, not {shown(text)}", likely and f"write {name}={likely}")
        return answer

    def write(self, value: bool) -> str:
        """Return yes or no."""
        return "yes" if value else "no"


@final
@dataclass(frozen=True)
class OutputCount(ValueKind):
    """An integer, or the word `classes` for the number of classes in the data."""

    def read(self, name: str, text: str) -> int:
        """Return the number, or CLASSES."""
        if text.lower() == "classes":
            return CLASSES
        if not _WHOLE.fullmatch(text):
            raise _unreadable(name, text, f"a whole number from 1 to {LARGEST:,d}, or the word classes")
        return Whole().read(name, text)

    def write(self, value: int) -> str:
        """Return the number, or `classes`."""
        return "classes" if value == CLASSES else str(value)


@final
@dataclass(frozen=True)
class Argument:
    """One argument of a word. Without a default it is required; `like` names the argument it equals by default."""

    name: str
    kind: ValueKind
    default: Any = None
    like: str | None = None
    bare: bool = False
    """Whether the formatted line has the value without a name: `Conv 6`, but `kernel=5`."""

    @property
    def required(self) -> bool:
        """Whether the argument is required."""
        return self.default is None and self.like is None

    def usage(self) -> str:
        """Return the argument as in a usage line: `kernel`, `[stride=1]`, `[stride=window]`."""
        if self.required:
            return self.name
        return f"[{self.name}={self.like or self.kind.write(self.default)}]"


@final
@dataclass(frozen=True)
class Word:
    """The first word of a line, its arguments, and its other spellings (case never matters)."""

    name: str
    arguments: tuple[Argument, ...] = ()
    spellings: tuple[str, ...] = ()

    def usage(self) -> str:
        """Return the usage line: `Pool window [stride=window] [padding=0]`."""
        return " ".join([self.name, *(argument.usage() for argument in self.arguments)])

    def with_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a value for every argument: the given one, or the default."""
        values: dict[str, Any] = {}
        for argument in self.arguments:
            otherwise = values.get(argument.like) if argument.like else argument.default
            values[argument.name] = given.get(argument.name, otherwise)
        return values

    def write(self, values: Mapping[str, Any]) -> str:
        """Return the formatted line, without values that equal their defaults: `Conv 6 kernel=5 padding=2`."""
        parts = [self.name]
        for argument in self.arguments:
            value = values[argument.name]
            otherwise = values[argument.like] if argument.like else argument.default
            if argument.required or value != otherwise:
                text = argument.kind.write(value)
                parts.append(text if argument.bare else f"{argument.name}={text}")
        return " ".join(parts)


def _unreadable(name: str, text: str, wanted: str) -> Misfit:
    helps = hidden(text)
    if "," in text:
        helps = "separate values with spaces, without commas"
    elif not text.isascii() and any(letter.isdigit() for letter in text):
        helps = "use the ASCII digits 0 to 9"
    return Misfit(f"{name} must be {wanted}, not {shown(text) or 'nothing'}", helps)
