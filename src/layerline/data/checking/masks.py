"""Search for masks and label images among photos, by their file names and by how few colors they have."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from layerline.data.checking.survey import Survey

FLAT: Final = 0.9
"""An image looks like a mask if at least this fraction of its pixels has one of its four most frequent colors."""
PHOTO: Final = 0.5
"""An image looks like a photo if at most this fraction does."""
PHOTOS: Final = 0.5
"""Fraction of the other images that must look like photos; otherwise few colors are normal in this data."""
MANY: Final = 0.2
"""Fraction of all images from which on those that look like masks, or have a twin, are refused whatever their names."""
SOME: Final = 0.005
"""Fraction of all images from which on they are reported."""
_MIXED: Final = (0.05, 0.95)
"""Between these fractions of masks a class is mixed: a class of drawings only is a class, not a mistake."""
_PATTERNS: Final = 3
_FILES: Final = 8
"""Most files that are excluded one by one."""

_WORDS: Final = (
    "masks?|seg|segm|segmentations?|labels?|labelids|annotations?|gt|groundtruth|ground-truth|trimaps?|mattes?"
)
_PART: Final = re.compile(rf"(?:^|[-_. ])(?:{_WORDS})(?=$|[-_. ]|\d)", re.IGNORECASE)
_FOLDER: Final = re.compile(rf"(?:\w+[-_. ])?(?:{_WORDS})", re.IGNORECASE)
_LETTERS: Final = re.compile(r"[\W_]+")


def by_name(names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which files are named like the mask of another in their folder: `a_mask.png` next to `a.jpg`."""
    found = np.zeros(len(names), np.bool_)
    split = [_split(name) for name in names]
    there = {(folder, _plain(stem)) for folder, stem in split if not _PART.search(stem)}
    for k, (folder, stem) in enumerate(split):
        if _PART.search(stem):
            found[k] = (folder, _plain(_PART.sub("", stem))) in there
    return found


def by_folder(names: Sequence[str], seen: Survey) -> NDArray[np.bool_]:
    """Return which files are in a folder named like one of masks, with the same file names as another folder.

    For example `masks/1.png` and `images/1.jpg`, read as two classes. Only if the images of that folder look like
    masks, and the others like photos: `mask/1.jpg` and `no_mask/1.jpg` may be faces.
    """
    found = np.zeros(len(names), np.bool_)
    if seen.flatness is None:
        return found
    split = [_split(name) for name in names]
    called = np.array([bool(_FOLDER.fullmatch(folder.rsplit("/", 1)[-1])) for folder, _ in split])
    if not called.any() or called.all():
        return found
    others = {_plain(stem) for (_, stem), mask in zip(split, called, strict=True) if not mask}
    if np.median(seen.flatness[~called]) > PHOTO:
        return found
    for folder in {folder for (folder, _), mask in zip(split, called, strict=True) if mask}:
        here = np.array([other == folder for other, _ in split])
        paired = np.mean([_plain(_PART.sub("", stem)) in others for other, stem in split if other == folder])
        if paired >= PHOTOS and np.median(seen.flatness[here]) >= FLAT:
            found |= here
    return found


def by_twin(names: Sequence[str], seen: Survey) -> tuple[NDArray[np.bool_], bool]:
    """Return which files are a mask or copy of one with the same name and another extension: `a.png` and `a.jpg`.

    Also return whether there are too many such pairs for a coincidence. The same extension is chosen for all pairs: the
    one whose images are more often flatter than their twins, or of one color; else the less frequent; else the later.
    """
    found = np.zeros(len(names), np.bool_)
    twins: dict[tuple[str, str], list[int]] = {}
    for k, name in enumerate(names):
        twins.setdefault(_split(name), []).append(k)
    pairs = [group for group in twins.values() if len(group) > 1]
    if not pairs:
        return found, False
    endings = [_ending(name) for name in names]
    flat = seen.constant.astype(np.float32) if seen.flatness is None else seen.flatness
    flatter: Counter[str] = Counter()
    for group in pairs:
        least = min(flat[k] for k in group)
        flatter.update(endings[k] for k in group if flat[k] > least)
    often = Counter(endings)
    photo = min(often, key=lambda ending: (flatter[ending], -often[ending], ending))
    for group in pairs:
        kept = next((k for k in group if endings[k] == photo), group[0])
        found[[k for k in group if k != kept]] = True
    return found, sum(map(len, pairs)) >= MANY * len(names)


def by_colors(seen: Survey) -> tuple[NDArray[np.bool_], bool]:
    """Return which images look like masks among photos, and whether there are too many for a coincidence."""
    if seen.flatness is None:
        return np.zeros(len(seen.labels), np.bool_), False
    flat = (seen.flatness >= FLAT) | seen.constant  # an empty mask is black
    rest = seen.flatness[~flat]
    share = float(flat.mean())
    if not (flat & ~seen.constant).any() or not len(rest) or share < SOME or (rest <= PHOTO).mean() < PHOTOS:
        return np.zeros_like(flat), False
    counts = np.bincount(seen.labels)
    shares = np.bincount(seen.labels, flat)[counts > 0] / counts[counts > 0]
    mixed = (shares >= _MIXED[0]) & (shares <= _MIXED[1])
    if not mixed.mean() >= PHOTOS:
        return np.zeros_like(flat), False
    return flat, share >= MANY


def patterns(names: Sequence[str], others: Sequence[str] = ()) -> str:
    """Return the value of --exclude that excludes exactly these files, such as `*_mask.png,mask_*`; "" if it is long.

    By the word for a mask in their names, or that of their folders; else by their extension, if no other file has it:
    `*.png`, or `cat/*.png`; else a few files one by one.
    """
    ways = (_by_words, _by_folders, _by_any_word, lambda names: _endings(names, others) if others else [], _singly)
    for way in ways:
        found = sorted(set(way(names)))
        if found and len(found) <= (_FILES if way is _singly else _PATTERNS) and not _match_any(found, others):
            return ",".join(found)
    return ""


def _match_any(found: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether a pattern matches another file, or a folder around it, as --exclude compares them."""
    parts = {part for name in others for part in (name, *name.split("/"))}
    return any(fnmatch.fnmatchcase(part, pattern) for part in parts for pattern in found)


def _by_words(names: Sequence[str]) -> list[str]:
    """Return patterns with the word for a mask and what follows it; none if a name has no such word."""
    found = []
    for name in names:
        stem = _split(name)[1]
        ending = name[name.rindex(stem) + len(stem) :]
        match = _PART.search(stem)
        if match is None:
            return []
        begin = stem[: match.end() + (not stem[match.end() : match.end() + 1].isdigit())]
        found.append(f"{begin}*" if match.start() == 0 else f"*{stem[match.start() :]}{ending}")
    return found


def _by_any_word(names: Sequence[str]) -> list[str]:
    """Return patterns with only the word for a mask: `*_mask_*`."""
    matches = [_PART.search(_split(name)[1]) for name in names]
    return [f"*{match[0]}*" for match in matches if match is not None] if None not in matches else []


def _by_folders(names: Sequence[str]) -> list[str]:
    """Return the names of the folders, if all are those of masks."""
    folders = [_split(name)[0].rsplit("/", 1)[-1] for name in names]
    return folders if all(map(_FOLDER.fullmatch, folders)) else []


def _singly(names: Sequence[str]) -> list[str]:
    """Return the names themselves, without their folders, unless one has a sign of patterns."""
    files = [name.rpartition("/")[2] for name in names]
    return [] if any(re.search(r"[,*?\[\]]", name) for name in files) else files


def _endings(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return patterns of extensions that match all of `names` and none of the others, if need be per folder."""
    ways: tuple[Callable[[str], str], ...] = (_ending, lambda name: f"{_split(name)[0]}/*{_ending(name)}")
    for of in ways:
        found = {of(name) for name in names}
        if not found & {of(name) for name in others} and "" not in found:
            return sorted(f"*{pattern}" if pattern.startswith(".") else pattern for pattern in found)
    return []


def _ending(name: str) -> str:
    dot = name.rpartition("/")[2].rpartition(".")
    return f".{dot[2]}" if dot[0] else ""


def _split(name: str) -> tuple[str, str]:
    """Return the folder of a file, and its name without the extension."""
    folder, _, last = name.rpartition("/")
    return folder, last.rpartition(".")[0] or last


def _plain(stem: str) -> str:
    """Return the letters and digits of a name, in lower case."""
    return _LETTERS.sub("", stem).lower()
