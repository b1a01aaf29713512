"""What is asked of image files: size and colors, which of them, where labels are, where decoded ones are kept."""

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

EXCLUDED: Final = "files that --exclude names"
UNLISTED: Final = "files that --labels does not name"
_FLAGS: Final = ("--size", "--fit", "--gray", "--labels", "--group-by", "--exclude", "--skip-bad")


@dataclass(frozen=True, eq=False)
class ImageOptions:
    """Everything that options say of image files."""

    sizing: Sizing = AS_IT_IS
    labels: LabelFile | None = None
    exclude: tuple[str, ...] = ()
    skip_bad: float = 0.0
    cache: Cache | None = None
    group_by: re.Pattern[str] | None = None
    near: Literal["near", "none"] | None = None
    """Whether --group-by asks for near copies to be kept together, or for none; None leaves it to how many they are."""
    flags: tuple[str, ...] = ()
    """Those that were given and have no meaning for anything but image files."""
    labels_path: str = ""

    @property
    def key(self) -> list[Any]:
        """Return what decides which pixels come of the same files, and in which order."""
        sizing = self.sizing
        size = None if sizing.size is None else written(sizing.size)
        depth = [sizing.deep, sizing.largest]
        return [size, sizing.fit, sizing.gray, *depth, self.labels and self.labels.digest, list(self.exclude)]

    def unwanted(self, file: File) -> str:
        """Return what a file is that is not to be read, nothing where it is."""
        if any(_matches(pattern, file) for pattern in self.exclude):
            return EXCLUDED
        return UNLISTED if self.labels is not None and self.labels.row(file.folders, file.name) is None else ""

    def options(self, size: tuple[int, ...], resized: Resized | None) -> dict[str, Any]:
        """Return the options that make the same of the same files again; size: (H, W) of all images now."""
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
        """Raise DataError where options were given that only image files can follow, and the data is arrays."""
        if self.flags:
            raise DataError(
                f"{' '.join(self.flags)}: {display.name(place)} holds arrays, expected image files",
                "leave it out" if len(self.flags) == 1 else "leave them out",
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
    """Return what is asked of image files; all but the last two are refused where the data is arrays.

    size, fit: bring all images to one size, 128 or "96x128" (height × width), by "crop", "pad" or "stretch". Without a
        size, images that are all equal and at most 64 stay as they are, and others become squares of about the median
        of their shorter sides, at most 128. Without a fit, they are cropped; stretched where the median image would
        lose more than a fifth.
    gray: True makes all images gray, False all RGB; without it they are gray where all files are.
    labels: a CSV file with the columns file and label, and if there are split and group, in place of folders.
    group_by: a regular expression; images whose names have the same match (its group 1) stay on one side of every cut.
        "near" keeps near copies together, also of arrays; "none" does not, however many there are.
    exclude: patterns between commas of files that are left out, "*_mask.png,old".
    skip_bad: leave out files that cannot be read, where they are at most this share of all.
    cache: a folder where many decoded images are kept for the next start; without it, or False, they stay in memory.
    input_shape: (C, H, W) that the network takes, where it says so: decides size and colors of image files.
    Raises DataError where a value is impossible.
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
    """Return the patterns of --exclude. Raises DataError where there is none."""
    if exclude is None:
        return ()
    found = tuple(part.strip() for part in str(exclude).split(",") if part.strip())
    if not found:
        raise DataError("--exclude: found no pattern, expected some between commas", 'such as --exclude "*_mask.png"')
    return found


def largest_share(skip_bad: Any) -> float:
    """Return the largest share of --skip-bad. Raises DataError where it is none."""
    if skip_bad is None:
        return 0.0
    skip_bad = plain(skip_bad)
    if not is_number(skip_bad) or not 0 <= skip_bad < 1:
        percent = is_number(skip_bad) and 1 <= skip_bad < 100
        raise DataError(
            f"--skip-bad {display.name(str(skip_bad))}: must be a share of the files, from 0 to below 1",
            f"{skip_bad / 100:g} is {skip_bad:g} %" if percent else "0.01 leaves out up to 1 % of them",
        )
    return float(skip_bad)


def check_used(used: set[str], exclude: tuple[str, ...], place: str) -> None:
    """Raise DataError where a pattern matches nothing: it is probably not what was meant."""
    idle = [pattern for pattern in exclude if pattern not in used]
    if idle:
        raise DataError(
            f"--exclude {display.name(idle[0])}: found no such file in {place}, expected some",
            "* stands for any letters; a pattern is compared with a path, a file's name, and the names of its folders",
        )


def matching(file: File, exclude: tuple[str, ...]) -> set[str]:
    """Return the patterns that match a file."""
    return {pattern for pattern in exclude if _matches(pattern, file)}


def _matches(pattern: str, file: File) -> bool:
    names = (file.path, file.name, *file.folders)
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)
