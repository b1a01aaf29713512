"""Recognize labels that are lists: `cat|dog`, `cat,dog`, or `clear primary` among `clear` and `primary`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

BAR: Final = "|"
"""Always separates labels."""
_FEWEST: Final = 2
"""Number of labels to which the same word is added, from which it is a label itself."""


def lists(labels: Collection[str], *, only_bars: bool = False) -> set[str]:
    """Return the labels that are probably several; none if it is not clear that any is.

    A label with `|` is. With commas, semicolons or spaces it can be a name, such as `golden retriever`. The labels are
    lists if all parts of one are labels themselves, or if two labels also occur with the same word added.
    only_bars: look for `|` only.
    """
    known = set(labels)
    for sign in (BAR,) if only_bars else (BAR, ",", ";", " "):
        parts = {label: _parts(label, sign) for label in known if sign in label}
        found = {label for label, each in parts.items() if len(each) > 1}
        if found and (sign == BAR or _are_lists(known, {label: parts[label] for label in found})):
            return found
    return set()


def _are_lists(known: set[str], parts: dict[str, tuple[str, ...]]) -> bool:
    if any(all(part in known for part in each) for each in parts.values()):
        return True
    sets = {frozenset(parts.get(label, (label,))) for label in known}
    added = Counter(part for each in parts.values() for part in set(each) if frozenset(each) - {part} in sets)
    return any(count >= _FEWEST for count in added.values())


def _parts(label: str, sign: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in label.split(sign) if part.strip())
