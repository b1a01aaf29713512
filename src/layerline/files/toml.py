"""Parsing of untrusted TOML with tomllib, within limits that keep it fast.

tomllib takes quadratic time in the number of names of a dotted key, recurses as deep as the brackets, and accepts
numbers of any length, which Python then refuses to print. TOML's own numbers have 64 bits.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final, final

LARGEST: Final = 2**20
"""The maximum size of a file in bytes."""
_MOST_NAMES: Final = 32
_LARGEST_NUMBER: Final = 2**64
_PART: Final = r"""(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_LONG_KEY: Final = re.compile(rf"(?:{_PART}){{{_MOST_NAMES}}}")
_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")


@final
class TomlError(Exception):
    """The reason why a text was not accepted as TOML, and the place if known."""

    def __init__(self, reason: str, line: int | None = None, column: int = 1) -> None:
        """Store the reason; line and column count from 1."""
        super().__init__(reason if line is None else f"{reason} (at line {line}, column {column})")
        self.reason, self.line, self.column = reason, line, column


def parse(text: str) -> dict[str, Any]:
    """Return the parsed text. Raises TomlError."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    joined = _LONG_KEY.search(text)
    if joined:
        raise TomlError(f"a key with more than {_MOST_NAMES} names", *_place(text, joined.start()))
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        reason = _PLACE.sub("", str(error)).lower()
        raise TomlError(reason, *(int(place[k]) for k in (1, 2) if place)) from None
    except RecursionError:
        raise TomlError("it is nested too deeply") from None
    except ValueError:  # more digits than Python converts to a number
        raise TomlError("a number has too many digits") from None
    _check_numbers(found)
    return found


def _place(text: str, at: int) -> tuple[int, int]:
    """Return line and column of a place in the text."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _check_numbers(found: dict[str, Any]) -> None:
    left: list[Any] = [found]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif type(value) is int and not -_LARGEST_NUMBER < value < _LARGEST_NUMBER:
            raise TomlError("a number has too many digits")
