"""Unusable image files: all listed in one error, or skipped if they are few and --skip-bad allows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.data.photos import image_format
from layerline.data.photos.image_names import layout
from layerline.data.photos.layout_refusal import Folders, command, pattern, patterns_of
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.data.photos.file_labels import FileLabels
    from layerline.data.photos.image_names import FolderLayout
    from layerline.data.photos.image_options import ImageOptions

MAX_BAD: Final = 1000
"""After this many bad images the rest are not read, if none may be skipped."""
_MAX_LISTED: Final = 100
MAX_SHARE: Final = 0.5
"""The largest fraction of bad images for which --skip-bad is suggested."""
_MAX_PATTERNS: Final = 4
"""The largest number of suffixes for which --exclude is suggested."""


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used, and why, worded to follow `found`."""

    folders: Folders
    name: str
    reason: str

    @property
    def path(self) -> str:
        """Return the path relative to the data."""
        return "/".join((*self.folders, self.name))

    @property
    def text(self) -> str:
        """Return the line about this file."""
        return f"{display.name(self.path, 100)}: found {self.reason}"

    @property
    def suffix(self) -> str:
        """Return the suffix with its dot, as spelled; an empty string if there is none."""
        return _suffix(self.name)


def check_bad(bad: Sequence[BadFile], good: Sequence[tuple[Folders, str]], options: ImageOptions, place: str) -> None:
    """Raise DataError if more files are bad than --skip-bad allows. good: folders and name of the others."""
    total, skip = len(bad) + len(good), options.skip_bad
    if len(bad) <= math.floor(skip * total):
        return
    lines = sorted(file.text for file in bad)[:_MAX_LISTED]
    rest = len(bad) - len(lines)
    also = [f"… and {display.count(rest)} more"] * bool(rest)
    stopped = len(bad) == MAX_BAD and not skip
    found = f"{display.counted(len(bad), 'image')}{' or more' * stopped} cannot be read"
    if skip:
        most = display.count(math.floor(skip * total))
        found = (
            f"{display.count(len(bad))} of {display.counted(total, 'image')} cannot be read; "
            f"at most {most} may be skipped (--skip-bad {skip:g})"
        )
    raise DataError(
        "\n    ".join([f"{place}: {found}", *lines, *also]),
        "; ".join(_ways_out(bad, good, options, place, stopped=stopped)),
    )


def _ways_out(
    bad: Sequence[BadFile], good: Sequence[tuple[Folders, str]], options: ImageOptions, place: str, *, stopped: bool
) -> list[str]:
    """Return what can be done: install a decoder, omit files or a class, fix files, skip them."""
    installs = sorted({image_format.INSTALL[file.reason] for file in bad if file.reason in image_format.INSTALL})
    ways = [f"to read them: {' and '.join(installs)}"] if installs else []
    lost, left = _lost(bad, good, options)
    if lost:
        others = {file.reason for file in bad} - set(image_format.INSTALL)
        if others:
            unread = all(image_format.FORMATS in reason for reason in others)
            ways.append("convert these files to PNG or JPEG" if unread else "fix or replace these files")
        without = _without(lost, bad, good, options)
        none = f"there are no other images of {_listed(lost)}"
        if left > 1 and without:
            ways.append(f"{none}; to omit {_it(lost)}: {_command(place, options, without)}")
        elif left < 2 and others:
            ways.append(f"{none}, and a classifier needs 2 classes")
        return ways
    odd = _patterns(bad, good)
    rest = [file for file in bad if file.suffix not in odd]
    if odd:
        ways.append(f"to omit them: {_command(place, options, [f'*{suffix}' for suffix in odd])}")
        return [*ways, "fix or remove the others"] if rest else ways
    fraction = above(len(bad) / (len(bad) + len(good)))
    skipping = f", or skip them: --skip-bad {fraction}" if fraction < MAX_SHARE and not stopped else ""
    return [*ways, f"fix or remove these files{skipping}"]


def _lost(bad: Sequence[BadFile], good: Sequence[tuple[Folders, str]], options: ImageOptions) -> tuple[list[str], int]:
    """Return the classes that have no image in a split without the bad files, and the number of other classes."""
    found: FolderLayout | FileLabels
    if options.labels is not None:
        found = options.labels
    else:
        try:
            found = layout("", {file.folders for file in bad} | {folders for folders, _ in good})
        except DataError:  # raised again, with a place, when the folders of the archive are read
            return [], 0
    readable = {found.rank(folders, name) for folders, name in good}
    lost = {found.rank(file.folders, file.name) for file in bad} - readable
    classes = {label for _, label in lost}
    return [found.classes[label] for label in sorted(classes)], len(found.classes) - len(classes)


def _without(
    lost: Sequence[str], bad: Sequence[BadFile], good: Sequence[tuple[Folders, str]], options: ImageOptions
) -> list[str]:
    """Return the patterns of --exclude that omit whole classes: their folders, or the names of their files."""
    labels = options.labels
    if labels is None:
        return [pattern(name) for name in lost]
    found = []
    for name in lost:
        files = [file for file in bad if labels.of[file.path].label == name]
        rest = [(*file.folders, file.name) for file in bad if file not in files]
        of_class = patterns_of(sorted(file.name for file in files), [*rest, *((*path, last) for path, last in good)])
        if not of_class:
            return []
        found += of_class
    return found


def _patterns(bad: Sequence[BadFile], good: Sequence[tuple[Folders, str]]) -> list[str]:
    """Return the suffixes of the bad files that are not images, or lack their decoder; none if they are many."""
    usual = {_suffix(name) for _, name in good}
    suffixes = {
        file.suffix
        for file in bad
        if file.reason in image_format.INSTALL or file.suffix.lower() not in image_format.SUFFIXES
    }
    found = sorted(suffixes - usual - {""})
    return found if len(found) <= _MAX_PATTERNS else []


def _command(place: str, options: ImageOptions, patterns: list[str]) -> str:
    return command(place, [*options.exclude, *patterns], options.source.options)


def _suffix(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return dot + ending if stem and dot else ""


def _listed(names: list[str]) -> str:
    listed = [display.name(name, 30) for name in names[:4]]
    return " or ".join(filter(None, (", ".join(listed[:-1]), listed[-1]))) if len(names) <= 4 else ", ".join(listed)


def _it(names: list[str]) -> str:
    return "the class" if len(names) == 1 else "these classes"


def above(fraction: float) -> float:
    """Return the fraction rounded up to two significant digits."""
    step = 10.0 ** (math.floor(math.log10(fraction)) - 1)
    return float(f"{math.ceil(fraction / step - 1e-9) * step:.3g}")
