"""Splitting, in this order: classes, test, validation, limit. Images are selected by index, never copied."""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from layerline.data.dataset import ImageSet, Split
from layerline.data.folds import Fold, check_fold, read_fold
from layerline.data.quotas import proportional, whole_groups
from layerline.errors import DataError, spelling
from layerline.numbers import display, randomness
from layerline.numbers.randomness import Purpose
from layerline.numbers.scalars import is_number, is_whole, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DEFAULT_TEST: Final = 0.15
DEFAULT_VALIDATION: Final = 0.1

Taken = float | int | Literal["none"] | Fold
"""A fraction between 0 and 1, a number of images, none, or a fold."""


@dataclass(frozen=True)
class Own:
    """The split that comes with the data; `otherwise` is what to take if there is none."""

    otherwise: Taken = "none"

    def __post_init__(self) -> None:
        """Convert a NumPy number to a Python one, and text such as `2/5` to a fold."""
        object.__setattr__(self, "otherwise", read_fold(plain(self.otherwise)))


Share = Taken | Own | None
"""None: the default."""


class GroupsError(DataError):
    """Whole groups cannot form a split with images of every class."""

    def __init__(self, name: str, message: str, help: str) -> None:  # noqa: A002 - as its base class has it
        """Store the class that has too few groups."""
        super().__init__(message, help)
        self.name = name


@dataclass(frozen=True)
class SplitOptions:
    """How to split. Raises DataError, naming the option, if a value is out of range."""

    classes: tuple[str, ...] | None = None
    test: Share = None
    validation: Share = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Convert NumPy numbers to Python ones and text such as `2/5` to a fold, and check every value."""
        for option in ("test", "validation", "limit", "seed"):
            object.__setattr__(self, option, plain(getattr(self, option)))
        for option in ("test", "validation"):
            object.__setattr__(self, option, read_fold(getattr(self, option)))
        _check_share("test", self.test)
        _check_share("validation", self.validation)
        if self.limit is not None and (not is_whole(self.limit) or self.limit < 1):
            written, advice = display.number_as_passed("limit", self.limit)
            raise DataError(f"--limit {written}: must be a whole number of images, 1 or more", advice)
        if not is_whole(self.seed) or not 0 <= self.seed < 2**64:
            written, advice = display.number_as_passed("seed", self.seed)
            raise DataError(f"--seed {written}: must be a whole number from 0 to {2**64 - 1:,d}", advice)


@dataclass(frozen=True, eq=False)
class Remaining:
    """Images that are not in a split yet: their indices, and the classes by name."""

    source: ImageSet
    indices: NDArray[np.int64]
    classes: tuple[str, ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return the number of images of each class, int64 (K,)."""
        return np.bincount(self.source.labels[self.indices], minlength=len(self.classes)).astype(np.int64)

    def split(self) -> Split:
        """Return the images as a split."""
        return Split(self.source, self.indices)


def draws(share: Share) -> bool:
    """Return whether a share takes images if the data has no such split."""
    return (share.otherwise if isinstance(share, Own) else share) != "none"


def choose(requested: Sequence[object] | None, classes: tuple[str, ...]) -> tuple[int, ...]:
    """Return the positions of the requested classes, given by name or by number, in the data's order.

    If all names are numbers themselves (labels 1, 2, 3), a number is a name and never a position.
    """
    if requested is None:
        return tuple(range(len(classes)))
    chosen: list[int] = []
    for item in requested:
        position = _position(unicodedata.normalize("NFC", str(item).strip()), classes)
        if position in chosen:
            raise DataError(f"--classes: {display.name(classes[position])} is listed twice", "list each class once")
        chosen.append(position)
    if len(chosen) < 2:
        raise DataError(
            f"--classes: only {display.classes(len(chosen), len(classes))} selected; a classifier needs at least 2",
            "list two or more classes",
        )
    return tuple(sorted(chosen))


def keep(source: ImageSet, chosen: tuple[int, ...], K: int) -> ImageSet:
    """Return the set with labels 0, 1, … for the chosen classes out of K, and −1 for all others."""
    if len(chosen) == K:
        return source
    new = np.full(K, -1, np.int32)
    new[list(chosen)] = np.arange(len(chosen))
    return dataclasses.replace(source, labels=new[source.labels])


def take(pool: Remaining, share: Share, purpose: Purpose, option: str, seed: int) -> tuple[Remaining, Remaining]:
    """Return the images that a share takes from the pool, and the rest of the pool; both have every class.

    The number is distributed over the classes in proportion (see `quotas.proportional`). From each class, the images
    with the smallest random numbers at (seed, purpose, key of the image) are taken, so that nearly all stay where they
    are when images are added. Groups are never divided (see `whole_groups`). Raises DataError if a class would have no
    image on either side.
    """
    if isinstance(share, Fold):
        return _fold(pool, share, seed)
    return _part(pool, share, purpose, option, seed, flag=f"--{option} {_text(share)}")


def _fold(pool: Remaining, fold: Fold, seed: int) -> tuple[Remaining, Remaining]:
    """Return the images of a fold, and those of all others.

    Fold 1 of n is the fraction 1/n of all images, fold 2 the fraction 1/(n − 1) of the rest, …, the last what remains.
    """
    _check_enough(pool, fold)
    folds, left = [], pool
    for more in range(fold.of - 1, 0, -1):
        share, flag = 1 / (more + 1), f"{fold.of} folds"
        taken, left = _part(left, share, Purpose.TEST_SPLIT, "test", seed, flag=flag, leave=more)
        folds.append(taken)
    chosen = [*folds, left][fold.number - 1]
    others = pool.indices[~np.isin(pool.indices, chosen.indices)]
    return chosen, Remaining(pool.source, others, pool.classes)


def _part(
    pool: Remaining, share: Share, purpose: Purpose, option: str, seed: int, *, flag: str, leave: int = 1
) -> tuple[Remaining, Remaining]:
    """Return the images of a share that is not a fold, and the rest.

    flag: what to name in messages. leave: the number of groups of each class that must remain.
    """
    counts = pool.counts
    total = _total(share, len(pool.indices), len(pool.classes), flag)
    quotas = proportional(counts.tolist(), total)
    for k, (count, quota) in enumerate(zip(counts.tolist(), quotas, strict=True)):
        if quota == 0 or quota >= count:
            raise DataError(
                f"{flag}: {display.count(quota)} of {display.counted(count, 'image')} of class "
                f"{display.name(pool.classes[k])}{_where(pool, k)} selected; "
                "at least 1 must be selected and 1 must remain",
                f"add images of this class, exclude it with --classes, choose another fraction, or use --{option} none",
            )
    if pool.source.groups is None:
        taken = _first(pool, quotas, purpose, seed)
    else:
        labels, groups = pool.source.labels[pool.indices], pool.source.groups[pool.indices]
        taken = whole_groups(labels, groups, quotas, lambda keys: _numbers(seed, purpose, keys), leave)
        _check_groups(labels[taken], counts, groups, labels, pool.classes, flag)
    return (
        Remaining(pool.source, pool.indices[taken], pool.classes),
        Remaining(pool.source, pool.indices[~taken], pool.classes),
    )


def limit(pool: Remaining, number: int, seed: int) -> Remaining:
    """Return `number` images of the pool, in proportion to the classes, chosen as in `take`; all if it has fewer."""
    K = len(pool.classes)
    if number >= len(pool.indices):
        return pool
    if number < K:
        raise DataError(
            f"--limit {number}: too few for {K} classes, which need at least one image each", f"use --limit {K} or more"
        )
    taken = _first(pool, proportional(pool.counts.tolist(), number), Purpose.LIMIT, seed)
    return Remaining(pool.source, pool.indices[taken], pool.classes)


def _first(pool: Remaining, quotas: list[int], purpose: Purpose, seed: int) -> NDArray[np.bool_]:
    """Return which images of the pool are among the first quotas[k] of their class k, by random number."""
    labels = pool.source.labels[pool.indices]
    keys = _numbers(seed, purpose, pool.source.keys[pool.indices])
    order = np.lexsort((keys, labels))
    counts = np.bincount(labels, minlength=len(quotas))
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    taken = np.zeros(len(order), bool)
    taken[order] = place < np.repeat(quotas, counts)
    return taken


def _numbers(seed: int, purpose: Purpose, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a random number for each key: its lower 32 bits are the image, its upper 32 the element."""
    low, high = keys & np.uint64(0xFFFFFFFF), keys >> np.uint64(32)
    return randomness.uint64(seed, purpose, image=low, element=high)


def _check_enough(pool: Remaining, fold: Fold) -> None:
    """Raise DataError if a class has fewer images than there are folds, or GroupsError if it has fewer groups."""
    labels = pool.source.labels[pool.indices]
    groups = None if pool.source.groups is None else pool.source.groups[pool.indices]
    for k, count in enumerate(pool.counts.tolist()):
        among = count if groups is None else len(np.unique(groups[labels == k]))
        if among >= fold.of:
            continue
        name = display.name(pool.classes[k])
        fewer = f"use at most {among} folds, " if among > 1 else ""
        if groups is None or count < fold.of:
            raise DataError(
                f"{fold.of} folds: class {name} has only {display.counted(count, 'image')}; each fold needs at least 1",
                f"{fewer}add images of this class, or exclude it with --classes",
            )
        raise GroupsError(
            pool.classes[k],
            f"{fold.of} folds: the {display.counted(count, 'image')} of class {name} are in only "
            f"{display.counted(among, 'group')}; each fold needs at least 1, and groups cannot be divided",
            f"{fewer}use smaller groups, or exclude the class with --classes",
        )


def _check_groups(
    taken: NDArray[np.int32],
    counts: NDArray[np.int64],
    groups: NDArray[np.int64],
    labels: NDArray[np.int32],
    classes: tuple[str, ...],
    flag: str,
) -> None:
    """Raise GroupsError if splitting by groups leaves a class without images on either side."""
    found = np.bincount(taken, minlength=len(classes))
    for k, name in enumerate(classes):
        if not 0 < found[k] < counts[k]:
            among = len(np.unique(groups[labels == k]))
            raise GroupsError(
                name,
                f"{flag}: {display.count(int(found[k]))} of {display.counted(int(counts[k]), 'image')} of class "
                f"{display.name(name)} ({display.counted(among, 'group')}) selected; "
                "at least 1 must be selected and 1 must remain, and groups cannot be divided",
                "use smaller groups, exclude the class with --classes, or provide your own splits",
            )


def _where(pool: Remaining, k: int) -> str:
    """Return ` (image 7)` if that is the only image of a class, because its label may be a mistake."""
    of_class = pool.indices[pool.source.labels[pool.indices] == k]
    return f" (image {of_class[0]})" if len(of_class) == 1 else ""


def _total(share: Share, n: int, K: int, flag: str) -> int:
    """Return how many of n images in K classes to take."""
    if not isinstance(share, int | float):
        raise TypeError(f"{share!r} is not a share")
    if share < 1:
        return min(n, max(K, math.floor(share * n + 0.5)))
    total = int(share)
    if total < K:
        raise DataError(
            f"{flag}: as a number of images, this is too few for {K} classes: each needs at least one",
            f"use {K} or more, or a fraction below 1",
        )
    if total > n - K:
        raise DataError(
            f"{flag}: too many of {display.count(n)} images: at least one of each of the {K} classes must remain",
            f"use at most {display.count(max(0, n - K))}, or a fraction below 1",
        )
    return total


def _check_share(option: str, share: Any) -> None:
    if isinstance(share, Own):
        share = share.otherwise
    if share is None or (isinstance(share, str) and share == "none"):
        return
    if isinstance(share, Fold):
        check_fold(option, share)
        return
    flag = f"--{option} {display.name(_text(share))}"
    wrong = "must be a fraction between 0 and 1, a whole number of images, or none"
    if not is_number(share):
        raise DataError(f"{flag}: {wrong}")
    if share <= 0:
        raise DataError(f"{flag}: {wrong}", f"use --{option} none for no {option} set")
    if share > 1 and share != int(share):
        percent = f"fractions are below 1: {share / 100:g} is {share:g}%"
        raise DataError(f"{flag}: {wrong}", percent if share < 100 else None)


def _position(requested: str, classes: tuple[str, ...]) -> int:
    if requested in classes:
        return classes.index(requested)
    words = not all(name.isascii() and name.isdigit() for name in classes)
    if words and requested.isascii() and requested.isdigit() and len(requested) < 10 and int(requested) < len(classes):
        return int(requested)
    near = None if requested.isdigit() else spelling.nearest(requested, classes)
    names = ", ".join(display.name(name, 30) for name in classes[:12]) + (", …" if len(classes) > 12 else "")
    known = f"use names, or numbers from 0 to {len(classes) - 1}: {names}" if words else f"the classes are {names}"
    raise DataError(
        f"--classes{' ' * bool(requested)}{display.name(requested)}: not a class in this data",
        f"did you mean {display.name(near)}?" if near else known,
    )


def _text(share: Any) -> str:
    return f"{share:g}" if isinstance(share, float) and abs(share) < 1e6 else str(share)
