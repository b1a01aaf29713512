"""The known word closest to a misspelled one: the single rule for every "did you mean"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORTEST_BEGINNING: Final = 3
_LETTERS_FOR_ONE: Final = 3
_LETTERS_FOR_TWO: Final = 6
_BEGINNING: Final = 3
_FAR: Final = 4
"""Distances greater than two letters."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was likely meant to be, None if none is close: silence beats a wild guess.

    Close means, in this order: the same except for case, hyphens, underscores and spaces; one letter wrong, missing,
    extra or swapped with its neighbor, if the longer word has at least 3 letters; two such errors, if it has at least
    6; a prefix of at least 3 letters. Different numbers are different things: 3.png is not close to 9.png. The first
    known word wins ties.
    """
    typed = _plain(word)
    best, least = None, _FAR
    for one in known:
        distance = _distance(typed, _plain(one))
        if distance < least:
            best, least = one, distance
    return best


def hint(word: str, known: Iterable[str], every: str = "one of: ") -> str:
    """Return the help line for an unknown word: the closest known one, else all of them after `every`."""
    words = list(known)
    near = nearest(word, words)
    return every + ", ".join(words) if near is None else f"did you mean {near}?"


def _plain(word: str) -> str:
    return word.lower().replace("_", "-").replace(" ", "-")


def _number(word: str) -> str:
    return "".join(letter for letter in word if letter.isdigit())


def _distance(typed: str, known: str) -> int:
    """Return how many letters differ, 0 to 2; 3 if `typed` is a prefix, 4 if it is not close."""
    numbers = _number(typed), _number(known)
    if all(numbers) and numbers[0] != numbers[1]:
        return _FAR
    longer = max(len(typed), len(known))
    most = 2 if longer >= _LETTERS_FOR_TWO else 1 if longer >= _LETTERS_FOR_ONE else 0
    edits = _edits(typed, known, most)
    if edits is not None:
        return edits
    return _BEGINNING if len(typed) >= _SHORTEST_BEGINNING and known.startswith(typed) else _FAR


def _edits(one: str, two: str, most: int) -> int | None:
    """Return how many letters must be changed, dropped, added or swapped to turn `one` into `two`; None if > `most`."""
    if abs(len(one) - len(two)) > most:
        return None
    same = next((k for k, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    one, two = one[same:], two[same:]
    if not one or not two:
        return len(one) + len(two)
    if most == 0:
        return None
    rests = [(one[1:], two[1:]), (one[1:], two), (one, two[1:])]
    if one[:2] == two[1::-1]:
        rests.append((one[2:], two[2:]))
    counts = [count for rest in rests if (count := _edits(*rest, most - 1)) is not None]
    return 1 + min(counts) if counts else None
