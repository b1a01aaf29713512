"""Options for image files: size and colors, which files to read, labels, groups, and the cache of decoded images."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from layerline.data import groups
from layerline.data.photos import label_file
from layerline.data.photos.cache import Cache
from layerline.data.photos.sizing import AS_IT_IS, Sizing, parse, written
from layerline.errors import DataError
from layerline.numbers import display
from layerline.numbers.scalars import is_number, plain

if TYPE_CHECKING:
    import os
    import re

    from layerline.data.dataset import Resized
    from layerline.data.photos.decoding import File
    from layerline.data.photos.label_file import LabelFile

EXCLUDED: Final = "files matched by --exclude"
UNLISTED: Final = "files not listed in --labels"
_FLAGS: Final = ("--size", "--fit", "--gray", "--labels", "--group-by", "--exclude", "--skip-bad")


@dataclass(frozen=True, eq=False)
class ImageOptions:
    """All options for image files."""

    sizing: Sizing = AS_IT_IS
    labels: LabelFile | None = None
    exclude: tuple[str, ...] = ()
    skip_bad: float = 0.0
    cache: Cache | None = None
    group_by: re.Pattern[str] | None = None
    near: Literal["near", "none"] | None = None
    """Whether --group-by keeps near copies together ("near") or not ("none"); None decides by their number."""
    flags: tuple[str, ...] = ()
    """Flags that were passed and that apply only to image files."""
    labels_path: str = ""

    @property
    def key(self) -> list[Any]:
        """Return the options that determine the pixels and the order of the same files: the cache key."""
        sizing = self.sizing
        size = None if sizing.size is None else written(sizing.size)
        depth = [sizing.deep, sizing.largest]
        return [size, sizing.fit, sizing.gray, *depth, self.labels and self.labels.digest, list(self.exclude)]

    def unwanted(self, file: File) -> str:
        """Return why a file is not read; an empty string if it is."""
        if any(_matches(pattern, file) for pattern in self.exclude):
            return EXCLUDED
        return UNLISTED if self.labels is not None and self.labels.row(file.folders, file.name) is None else ""

    def options(self, size: tuple[int, ...], resized: Resized | None) -> dict[str, Any]:
        """Return the options that reproduce this result from the same files; size: (H, W) of all images now."""
        sizing = self.sizing
        found: dict[str, Any] = {}
        if resized is not None or sizing.size is not None:
            fit = sizing.how if resized is None else resized.fit
            found |= {"size": written((size[0], size[1])), "fit": fit}
        known = {
            "gray": sizing.gray,
            "labels": self.labels_path or None,
            "group_by": self.group_by.pattern if self.group_by else self.near,
            "exclude": ",".join(self.exclude) or None,
            "skip_bad": self.skip_bad or None,
        }
        return found | {key: value for key, value in known.items() if value is not None}

    def check_arrays(self, place: str) -> None:
        """Raise DataError if options that apply only to image files were passed for arrays."""
        if self.flags:
            raise DataError(
                f"{' '.join(self.flags)}: {display.name(place)} contains arrays, expected image files",
                "omit it" if len(self.flags) == 1 else "omit them",
            )


def image_options(
    size: int | str | None,
    fit: str | None,
    gray: bool | None,
    labels: str | os.PathLike[str] | None,
    group_by: str | None,
    exclude: str | None,
    skip_bad: float | None,
    cache: str | os.PathLike[str] | Literal[False] | None,
    input_shape: tuple[int, int, int] | None,
) -> ImageOptions:
    """Return the options for image files; all except the last two are errors if the data is arrays.

    size, fit: resize all images to one size, 128 or "96x128" (height × width), by "crop", "pad" or "stretch". By
        default, images of one size up to 64 × 64 are not resized, and others become squares of about the median of
        their shorter sides, at most 128. By default they are cropped, or stretched if the median image would lose more
        than a fifth.
    gray: True converts all images to grayscale, False to RGB; by default they are gray if all files are.
    labels: a CSV file with the columns file and label, and optionally split and group, used instead of folders.
    group_by: a regular expression; images whose names have the same match (of its group 1) stay in the same split.
        "near" keeps near copies together, also in arrays; "none" never does.
    exclude: comma-separated patterns of files to ignore, "*_mask.png,old".
    skip_bad: skip files that cannot be read, if they are at most this fraction of all.
    cache: a folder where large sets of decoded images are stored for the next run; by default, or if False, none are.
    input_shape: (C, H, W) if the network specifies its input: determines size and colors of image files.
    Raises DataError if a value is invalid.
    """
    wanted = parse(size, fit, gray=gray)
    if input_shape is not None:
        wanted = wanted.of_network(plain(input_shape))
    near = groups.near(group_by)
    by_name = group_by if near is None else None
    values = (size, fit, gray, labels, by_name, exclude, skip_bad)
    return ImageOptions(
        wanted,
        None if labels is None else label_file.read(labels),
        patterns(exclude),
        largest_share(skip_bad),
        None if cache is None or cache is False or cache == "no" else Cache(Path(cache)),
        groups.pattern(by_name),
        near,
        tuple(flag for flag, value in zip(_FLAGS, values, strict=True) if value is not None),
        "" if labels is None else str(labels),
    )


def patterns(exclude: str | None) -> tuple[str, ...]:
    """Return the patterns of --exclude. Raises DataError if it contains none."""
    if exclude is None:
        return ()
    found = tuple(part.strip() for part in str(exclude).split(",") if part.strip())
    if not found:
        raise DataError("--exclude: contains no pattern", 'for example --exclude "*_mask.png,old"')
    return found


def largest_share(skip_bad: Any) -> float:
    """Return the largest fraction of bad files that --skip-bad allows. Raises DataError if it is invalid."""
    if skip_bad is None:
        return 0.0
    skip_bad = plain(skip_bad)
    if not is_number(skip_bad) or not 0 <= skip_bad < 1:
        percent = is_number(skip_bad) and 1 <= skip_bad < 100
        raise DataError(
            f"--skip-bad {display.name(str(skip_bad))}: must be a fraction of the files, at least 0 and below 1",
            f"{skip_bad / 100:g} is {skip_bad:g} %" if percent else "0.01 skips up to 1 % of them",
        )
    return float(skip_bad)


def check_used(used: set[str], exclude: tuple[str, ...], place: str) -> None:
    """Raise DataError if a pattern matches nothing: it is probably a mistake."""
    idle = [pattern for pattern in exclude if pattern not in used]
    if idle:
        raise DataError(
            f"--exclude {display.name(idle[0])}: matches no file in {place}",
            "* matches any characters; a pattern is compared with the path, the file name and each folder name",
        )


def matching(file: File, exclude: tuple[str, ...]) -> set[str]:
    """Return the patterns that match a file."""
    return {pattern for pattern in exclude if _matches(pattern, file)}


def _matches(pattern: str, file: File) -> bool:
    names = (file.path, file.name, *file.folders)
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)
