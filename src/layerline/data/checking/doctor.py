"""The data doctor: finds problems in a data set that was read without errors, before a network is trained on it."""

from __future__ import annotations

import dataclasses
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.checking import masks, near
from layerline.data.checking.equal_images import copies
from layerline.data.checking.survey import SMALLEST, Survey, survey
from layerline.data.part import SPLITS, SplitName
from layerline.data.splitting import Own
from layerline.errors import DataError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset

Place = tuple[SplitName, int]

KINDS: Final = {
    "leak": "the same image in two of training, validation and test",
    "conflict": "the same image in two classes",
    "mask": "masks or label images among photos",
    "near": "near copies in two of training, validation and test",
    "duplicates": "the same image more than once in one split",
    "constant": "images with a single color",
    "few": "classes with very few images",
}
"""The kinds of findings. The first three, and images with a single color, can make `train` refuse the data."""
REFUSED: Final = ("leak", "conflict", "mask", "constant")
MOST: Final = 0.01
"""Fraction of a split's images that may be leaks or conflicts: it changes no score by more than 0.01."""
MOST_NEAR: Final = 0.02
"""The same for near copies: among real photos without any, up to 1.6% look similar enough to count as such."""
ALWAYS: Final = 2
"""This many are always allowed: in a split in which they exceed MOST, chance changes a score more than they do."""
FEWEST_TRAIN: Final = 5
FEWEST_HELD: Final = 3
"""Images of a class in validation or test: with two, each changes its recall by half."""
NOTHING_IN_THEM: Final = 0.8
"""Images with a single color are refused from this fraction of all images, or of a class: too little remains."""
_WITHOUT_EFFECT: Final = ("allow", "cache", "normalize", "progress", "split_seed")
"""Options that do not change the findings; the seed of the splits is passed as `seed`."""
_NAMED: Final = 3
_WORDS: Final = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Finding:
    """A problem, or a possible problem, in a data set."""

    kind: str
    """One of KINDS."""
    message: str
    """A sentence with counts, and at most three names."""
    refuses: bool
    """Whether `train` refuses the data until this is fixed or allowed."""
    images: tuple[Place, ...] = ()
    """The images concerned, by split and index in the loaded data."""
    groups: tuple[int, ...] = ()
    """For copies: a number for each of `images`, the same for images that are equal."""


def examine(data: Dataset, *, every: bool = False) -> tuple[Finding, ...]:
    """Return the problems of a data set, those that `train` refuses first. Every pixel is read once.

    every: look for near copies of every image, in large sets too (see `near`).
    """
    seen = survey(data)
    groups = copies(data, seen)
    found = (
        _leak(data, seen, groups),
        _conflict(data, seen, groups),
        _mask(data, seen),
        _near(data, seen, groups, every=every),
        _duplicates(data, seen, groups),
        _constant(data, seen),
        *_few(data),
    )
    return tuple(sorted((item for item in found if item is not None), key=lambda item: not item.refuses))


def not_examined(data: Dataset) -> tuple[str, ...]:
    """Return which problems `examine` cannot find in this data set, so that "nothing found" is not misunderstood."""
    sets = [split for split in (data.train, data.validation, data.test) if split is not None]
    parts = []
    if min(data.shape[1:]) < near.SMALLEST:
        parts.append(f"near copies, because the images are smaller than {near.SMALLEST}×{near.SMALLEST}")
    if len(sets) == 1:
        parts.append("leaks, because there is only a training set")
    if _names(data) is None:
        parts.append("masks by name, because arrays have no file names")
    if min(data.shape[1:]) < SMALLEST:
        parts.append(f"masks by color, because the images are smaller than {SMALLEST}×{SMALLEST}")
    return tuple(parts)


def examined(data: Dataset, allow: Collection[str] = (), command: str = "") -> Dataset:
    """Return the data set with its findings as notes. Raises DataError for findings that refuse; see `check`."""
    kinds = allow.split(",") if isinstance(allow, str) else allow  # in Python too, "leak" is a word, not four letters
    return dataclasses.replace(data, notes=data.notes + check(examine(data), kinds, command))


def command(source: Any, options: Mapping[str, Any]) -> str:
    """Return the command that lists all images of the findings; an empty string for data in memory.

    options: those of `load_data`; the ones that do not change which images are found are omitted.
    """
    if not isinstance(source, str | os.PathLike):
        return ""
    words = ["layerline", "data", "check", os.fspath(source)]
    for key, value in options.items():
        if value is None or isinstance(value, Own) or key in _WITHOUT_EFFECT or (key, value) == ("seed", 0):
            continue
        text = ("no", "yes")[value] if isinstance(value, bool) else value
        listed = ",".join(map(str, text)) if isinstance(text, list | tuple) else str(text)
        words += [f"--{key.replace('_', '-')}", listed]
    return shlex.join(words)


def check(findings: Sequence[Finding], allow: Collection[str] = (), command: str = "") -> tuple[str, ...]:
    """Return the messages of findings that do not refuse, or are allowed by their kind.

    command: the one that lists the images of the findings, if the data has one.
    Raises DataError with all the others in one message, and for a word in `allow` that is not a kind.
    """
    check_allow(allow)
    wrong = [item for item in findings if item.refuses and item.kind not in allow]
    if wrong:
        kinds = ",".join(item.kind for item in wrong)
        raise DataError(
            "\n    ".join(
                ["scores on this data would be misleading:", *(f"{item.kind}: {item.message}" for item in wrong)]
            ),
            (f"to list every image: {command}; " if command else "")
            + f"fix the data, or train on it as it is with --allow {kinds}",
        )
    return tuple(item.message for item in findings)


def check_allow(allow: Collection[str]) -> None:
    """Raise DataError for a word in --allow that is not a kind of finding."""
    for word in allow:
        if word not in KINDS:
            near = spelling.nearest(word, KINDS)
            raise DataError(
                f"--allow {display.name(word)}: unknown kind of finding",
                f"did you mean {near}?" if near else "one of: " + ", ".join(REFUSED),
            )


def called(data: Dataset, place: Place) -> str:
    """Return the name of an image in messages: the path of its file, else its split and index."""
    split, index = place
    names = getattr(data, split).source.names
    return display.name(names[index], 80) if names is not None else f"{split} image {index}"


def _leak(data: Dataset, seen: Survey, groups: list[list[int]]) -> Finding | None:
    """Find images of validation and test that are also in an earlier split."""
    leaks = [group for group in groups if len(set(seen.splits[group].tolist())) > 1]
    if not leaks:
        return None
    parts, refuses = [], False
    for rank, split in reversed(list(enumerate(SPLITS))):
        for earlier, other in enumerate(SPLITS[:rank]):
            count = sum(
                int((seen.splits[group] == rank).sum()) for group in leaks if (seen.splits[group] == earlier).any()
            )
            if count:
                size = len(getattr(data, split))
                refuses |= _too_many(count, size)
                verb = "is" if count == 1 else "are"
                parts.append(f"{_of(count, size)} {split} images {verb} also in {_WORDS[other]}")
    effect = "scores on them are too optimistic" if refuses else "too few to change a score noticeably"
    message = f"{', '.join(parts)} ({_pairs(data, seen, leaks)}): {effect}"
    return _of_groups("leak", message, refuses, seen, leaks)


def _conflict(data: Dataset, seen: Survey, groups: list[list[int]]) -> Finding | None:
    """Find identical images with different labels."""
    conflicts = [group for group in groups if len(set(seen.labels[group].tolist())) > 1]
    if not conflicts:
        return None
    wrong = [at for group in conflicts for at in _outvoted(seen, group)]
    counts = np.bincount(seen.splits[wrong], minlength=len(SPLITS)).tolist()
    refuses = any(
        _too_many(count, len(getattr(data, split))) for split, count in zip(SPLITS, counts, strict=True) if count
    )
    group = conflicts[0]
    first = group[0]
    second = next(at for at in group if seen.labels[at] != seen.labels[first])
    examples = " and ".join(
        f"{called(data, seen.place(at))} as {display.name(data.classes[seen.labels[at]], 30)}" for at in (first, second)
    )
    verb = "is" if len(conflicts) == 1 else "are each"
    copies_of_them = display.count(sum(map(len, conflicts)))
    count = display.counted(len(conflicts), "image")
    message = f"{count} {verb} in two or more classes ({copies_of_them} copies), such as {examples}"
    return _of_groups("conflict", message, refuses, seen, conflicts)


def _outvoted(seen: Survey, group: list[int]) -> list[int]:
    """Return the images of a group whose label is not the most common one in it; on a tie the first label wins."""
    labels = seen.labels[group].tolist()
    majority = max(labels, key=labels.count)
    return [at for at, label in zip(group, labels, strict=True) if label != majority]


def _too_many(count: int, size: int, most: float = MOST) -> bool:
    return count > ALWAYS and count / size > most


def _duplicates(data: Dataset, seen: Survey, groups: list[list[int]]) -> Finding | None:
    """Find identical images with the same label in one split; in each group, all but the first are counted."""
    found, extra = [], 0
    for group in groups:
        splits = seen.splits[group]
        for rank in set(splits.tolist()):
            inside = [at for at, split in zip(group, splits.tolist(), strict=True) if split == rank]
            if len(inside) > 1 and len(set(seen.labels[inside].tolist())) == 1:
                found.append(inside)
                extra += len(inside) - 1
    if not found:
        return None
    verb = "is a copy of another" if extra == 1 else "are copies of others"
    message = f"{display.counted(extra, 'image')} {verb} in the same split and class ({_pairs(data, seen, found)})"
    return _of_groups("duplicates", message, False, seen, found)


def _near(data: Dataset, seen: Survey, copies: list[list[int]], *, every: bool) -> Finding | None:
    """Find images of validation and test with a near copy in an earlier split; identical ones count as a leak."""
    if data.test is None and data.validation is None:
        return None
    sets = {split: each.source for split in SPLITS if (each := getattr(data, split)) is not None}
    if any(item.near is None or (every and not item.near.looked.all()) for item in sets.values()):
        sets = near.looked_at(sets, every=every)
    if any(item.near is None for item in sets.values()):
        return None
    found = near.crossing(
        [(sets[split], getattr(data, split).indices) for split in sets], {k for g in copies for k in g}
    )
    parts = []
    for rank, count, looked in found.held:
        if _too_many(count, looked, MOST_NEAR):
            size = len(getattr(data, list(sets)[rank]))
            some = "" if looked == size else f" (evenly sampled from {display.count(size)})"
            parts.append(f"{_of(count, looked)} {list(sets)[rank]} images{some}")
    if not parts:
        return None
    ours = all(split in data.cuts for split in sets if split != "train")
    help_ = (
        "--group-by near keeps copies in the same split"
        if ours
        else "the splits are the data's own; put all images into one set, and --group-by near will keep copies together"
    )
    message = (
        f"{' and '.join(parts)} have a near copy in an earlier split ({_pairs(data, seen, found.groups)}): "
        f"scores on them are too optimistic; {help_}"
    )
    return _of_groups("near", message, False, seen, found.groups)


def _mask(data: Dataset, seen: Survey) -> Finding | None:
    names = _names(data)
    flat, many = masks.by_colors(seen)
    named = np.zeros_like(flat) if names is None else masks.by_name(names) | masks.by_folder(names, seen)
    twins, paired = masks.by_twin(names, seen) if names is not None else (np.zeros_like(flat), False)
    if paired and not (named & ~twins).any():
        return _twins(seen, names or [], twins)
    sure = bool(named.any()) and not (many and (flat & ~named).any())
    found = named if sure else named | flat
    if not found.any():
        return None
    whose = "its" if found.sum() == 1 else "their"
    why = f"judging by {whose} names" if sure else f"judging by {whose} few colors"
    refuses = many or int(named.sum()) > ALWAYS
    places = [seen.place(at) for at in np.flatnonzero(found).tolist()]
    shown = ", ".join(called(data, place) for place in places[:_NAMED])
    verb = "looks like a mask or a label image" if len(places) == 1 else "look like masks or label images"
    message = f"{display.counted(len(places), 'image')} {verb} among photos, {why}, such as {shown}"
    if refuses:
        message += ": the network would learn to tell photos from drawings"
    message += _exclude(names or [], found)
    return Finding("mask", message, refuses, tuple(places))


def _twins(seen: Survey, names: list[str], twins: NDArray[np.bool_]) -> Finding:
    """Return the finding for files that have a twin with another extension."""
    places = [seen.place(at) for at in np.flatnonzero(twins).tolist()]
    first = int(np.flatnonzero(twins)[0])
    stem = names[first].rpartition(".")[0]
    other = next(name for k, name in enumerate(names) if not twins[k] and name.rpartition(".")[0] == stem)
    message = (
        f"{_of(len(places), len(names))} images {'has' if len(places) == 1 else 'have'} the name of another except "
        f"for the extension, such as {display.name(names[first], 60)} and {display.name(other, 60)}: "
        f"masks or copies{_exclude(names, twins)}"
    )
    return Finding("mask", message, True, tuple(places))


def _exclude(names: list[str], found: NDArray[np.bool_]) -> str:
    """Return how to exclude exactly the files that were found; "" if no few patterns match only them."""
    files = [names[k] for k in np.flatnonzero(found).tolist()] if names else []
    others = [names[k] for k in np.flatnonzero(~found).tolist()] if names else []
    which = masks.patterns(files, others)
    return f" (exclude {'it' if len(files) == 1 else 'them'} with --exclude '{display.name(which)}')" if which else ""


def _constant(data: Dataset, seen: Survey) -> Finding | None:
    places = [seen.place(at) for at in np.flatnonzero(seen.constant).tolist()]
    if not places:
        return None
    shown = ", ".join(called(data, place) for place in places[:_NAMED])
    verb = "has" if len(places) == 1 else "have"
    message = f"{display.counted(len(places), 'image')} {verb} only one color, such as {shown}"
    total = np.bincount(seen.labels, minlength=len(data.classes))
    plain = np.bincount(seen.labels[seen.constant], minlength=len(data.classes))
    empty = np.flatnonzero((plain > 0) & (plain >= NOTHING_IN_THEM * total))
    refuses = True
    if len(places) >= NOTHING_IN_THEM * len(seen.labels):
        message += f": {_of(len(places), len(seen.labels))}, so there is hardly anything to learn from"
    elif len(empty):
        k = int(empty[0])
        message += (
            f": {_of(int(plain[k]), int(total[k]))} in class {display.name(data.classes[k], 30)}, "
            "so there is hardly anything to learn about it"
        )
    else:
        refuses = False
    if refuses and data.train.source.names is not None:
        message += " (transparent images are placed on white: anything drawn in white is lost)"
    return Finding("constant", message, refuses, tuple(places))


def _few(data: Dataset) -> Iterable[Finding]:
    """Yield a finding for each split in which classes have too few images; a class without any is a note instead."""
    for name in SPLITS:
        fewest = FEWEST_TRAIN if name == "train" else FEWEST_HELD
        split = getattr(data, name)
        if split is None:
            continue
        counts = np.bincount(split.labels, minlength=len(data.classes))
        few = np.flatnonzero((counts > 0) & (counts < fewest))
        if len(few):
            few = few[np.argsort(counts[few], kind="stable")]
            shown = ", ".join(f"{display.name(data.classes[k], 30)} ({counts[k]})" for k in few[:_NAMED])
            verb = "class has" if len(few) == 1 else "classes have"
            more = ", …" if len(few) > _NAMED else ""
            images = tuple((name, int(k)) for k in split.indices[np.isin(split.labels, few)])
            message = f"{len(few)} {verb} fewer than {fewest} {_WORDS[name]} images: {shown}{more}"
            yield Finding("few", message, False, images)


def _names(data: Dataset) -> list[str] | None:
    """Return the path of every image's file; None if images have no files."""
    names: list[str] = []
    for split in (data.train, data.validation, data.test):
        if split is not None:
            if split.source.names is None:
                return None
            names += [split.source.names[index] for index in split.indices.tolist()]
    return names


def _of_groups(kind: str, message: str, refuses: bool, seen: Survey, groups: list[list[int]]) -> Finding:
    places = tuple(seen.place(at) for group in groups for at in group)
    numbers = tuple(k for k, group in enumerate(groups) for _ in group)
    return Finding(kind, message, refuses, places, numbers)


def _pairs(data: Dataset, seen: Survey, groups: list[list[int]]) -> str:
    """Return the first and the last copy in the first group: `such as a.jpg = b.jpg`."""
    first, *_, last = groups[0]
    return f"such as {called(data, seen.place(first))} = {called(data, seen.place(last))}"


def _of(count: int, size: int) -> str:
    return f"{display.count(count)} of {display.count(size)}"
