"""Which known word a misspelled one is near: the one rule behind every "did you mean"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORTEST_BEGINNING: Final = 3
_LETTERS_FOR_ONE: Final = 3
_LETTERS_FOR_TWO: Final = 6
_BEGINNING: Final = 3
_FAR: Final = 4
"""Distances beyond two letters."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` is likely meant to be, None where none is near: silence beats a wild guess.

    Near is, in this order: the same but for case, hyphens, underscores and spaces; one letter wrong, missing, too many
    or swapped with its neighbor, where the longer word has 3 letters or more; two such, from 6 letters on; its
    beginning, of 3 letters or more. Another number is another thing: 3.png is not near 9.png. Among equals the first
    known one wins.
    """
    asked = _plain(word)
    best, least = None, _FAR
    for one in known:
        distance = _distance(asked, _plain(one))
        if distance < least:
            best, least = one, distance
    return best


def hint(word: str, known: Iterable[str], every: str = "one of: ") -> str:
    """Return the help line for a word that is not known: the nearest one, else all after `every`."""
    words = list(known)
    near = nearest(word, words)
    return every + ", ".join(words) if near is None else f"did you mean {near}?"


def _plain(word: str) -> str:
    return word.lower().replace("_", "-").replace(" ", "-")


def _number(word: str) -> str:
    return "".join(letter for letter in word if letter.isdigit())


def _distance(asked: str, known: str) -> int:
    """Return how many letters differ, 0 to 2; 3 where it is a beginning, 4 where it is not near."""
    numbers = _number(asked), _number(known)
    if all(numbers) and numbers[0] != numbers[1]:
        return _FAR
    longer = max(len(asked), len(known))
    most = 2 if longer >= _LETTERS_FOR_TWO else 1 if longer >= _LETTERS_FOR_ONE else 0
    edits = _edits(asked, known, most)
    if edits is not None:
        return edits
    return _BEGINNING if len(asked) >= _SHORTEST_BEGINNING and known.startswith(asked) else _FAR


def _edits(one: str, two: str, most: int) -> int | None:
    """Return how many letters to change, drop, add or swap make `one` into `two`; None where more than `most`."""
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
