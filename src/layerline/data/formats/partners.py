"""The files of the other splits next to a file of training images: `mnist_test.csv` next to `mnist_train.csv`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from layerline.data.formats.recognize import shown
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.data.part import SplitName

_TRAIN: Final = re.compile(r"(?<![a-z])train(ing)?(?![a-z])", re.IGNORECASE)
_WHOLE: Final = ("train", "training")
_OTHERS: Final[tuple[tuple[SplitName, tuple[str, ...]], ...]] = (
    ("validation", ("validation", "valid", "val")),
    ("test", ("testing", "test")),
)


def of(path: Path) -> dict[SplitName, Path]:
    """Return the files whose names have the word of another split where this one has `train`."""
    train = list(_TRAIN.finditer(path.name))
    if len(train) != 1:
        return {}
    found: dict[SplitName, Path] = {}
    for split, words in _OTHERS:
        for word in words:
            other = path.with_name(_TRAIN.sub(_like(train[0][0], word), path.name))
            if other.is_file():
                found[split] = other
    return found


def alone(path: Path) -> tuple[str, ...]:
    """Return a note about a file that is named like a test or validation set, but is read as a whole set."""
    for split, words in _OTHERS:
        for word in words:
            named = list(re.finditer(rf"(?<![a-z]){word}(?![a-z])", path.name, re.IGNORECASE))
            if len(named) != 1:
                continue
            start, end = named[0].span()
            whole = [path.with_name(path.name[:start] + _like(named[0][0], each) + path.name[end:]) for each in _WHOLE]
            train = next((shown(other) for other in whole if other.is_file()), None)
            rest = f"for the training images too: --data {train}" if train else "no training images are next to it"
            return (f"{display.name(path.name)} is named like a {split} set, and is read as a whole set: {rest}",)
    return ()


def _like(old: str, word: str) -> str:
    """Return a word in the case of another."""
    return word.upper() if old.isupper() else word.capitalize() if old[0].isupper() else word
