"""Folds of cross-validation: `2/5` is the second of five disjoint test sets that together are all images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from layerline.errors import DataError

FEWEST: Final = 2
MOST: Final = 100

_FOLD: Final = re.compile(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", re.ASCII)


@dataclass(frozen=True)
class Fold:
    """A fold as a test set; the training images are those of all other folds."""

    number: int
    """From 1."""
    of: int
    """The number of folds."""

    def __str__(self) -> str:
        """Return how it is written: `2/5`."""
        return f"{self.number}/{self.of}"


def read_fold(share: Any) -> Any:
    """Return the fold that a text such as `2/5` means; anything else is returned unchanged, and checked elsewhere."""
    found = _FOLD.fullmatch(share) if isinstance(share, str) else None
    return share if found is None else Fold(int(found[1]), int(found[2]))


def check_fold(option: str, fold: Fold) -> None:
    """Raise DataError if there is no such fold, or the option has none."""
    flag = f"--{option} {fold}"
    if option != "test":
        fraction = f"; as a fraction it is {fold.number / fold.of:.4g}" if 0 < fold.number < fold.of else ""
        raise DataError(f"{flag}: only test sets can be folds", f"use a fraction such as 0.1{fraction}")
    if not FEWEST <= fold.of <= MOST:
        raise DataError(
            f"{flag}: the number of folds must be from {FEWEST} to {MOST}", "for example 2/5, the second of five"
        )
    if not 1 <= fold.number <= fold.of:
        raise DataError(f"{flag}: there is no such fold", f"use a fold from 1/{fold.of} to {fold.of}/{fold.of}")
