"""Options for image files: size and colors, which files to read, labels, groups, and the cache of decoded images."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from layerline.data import groups
from layerline.data.photos import label_file, label_table, name_labels
from layerline.data.photos.cache import Cache
from layerline.data.photos.file_names import FileNames
from layerline.data.photos.sizing import AS_IT_IS, Sizing, parse, written
from layerline.errors import DataError
from layerline.numbers import display
from layerline.numbers.scalars import is_number, plain

if TYPE_CHECKING:
    import os
    import re
    from collections.abc import Sequence

    from layerline.data.dataset import Resized
    from layerline.data.photos.decoding import File
    from layerline.data.photos.file_labels import FileLabels
    from layerline.data.photos.label_table import Table

EXCLUDED: Final = "files matched by --exclude"
_FLAGS: Final = (
    *("--size", "--fit", "--gray", "--labels", "--file-column", "--label-column", "--label-by"),
    *("--group-by", "--exclude", "--skip-bad"),
)


@dataclass(frozen=True, eq=False)
class LabelSource:
    """Where labels come from if not from folders: a table, or the paths of the files. None of both: from folders."""

    table: Table | None = None
    path: str = ""
    """The path of the table."""
    columns: tuple[str | None, str | None] = (None, None)
    """The columns of files and labels, if they are named."""
    pattern: re.Pattern[str] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Return the options that specify it; they also determine it, except for the content of the table."""
        known = {
            "labels": self.path or None,
            "file_column": self.columns[0],
            "label_column": self.columns[1],
            "label_by": self.pattern.pattern if self.pattern else None,
        }
        return {key: value for key, value in known.items() if value is not None}

    def check_columns(self) -> None:
        """Raise DataError if columns are named, but no table."""
        for flag, column in zip(("--file-column", "--label-column"), self.columns, strict=True):
            if column is not None and self.table is None:
                raise DataError(f"{flag}: no table specified", "add the table that has this column: --labels FILE")

    @property
    def key(self) -> list[Any]:
        """Return what determines the labels of the same files."""
        return [self.table and self.table.digest, *self.columns, self.pattern and self.pattern.pattern]

    def labels(
        self, place: str, own: Sequence[str], paths: Sequence[str], excluded: set[str], skip_bad: float
    ) -> FileLabels | None:
        """Return the labels of files; None if folders are the labels. Raises DataError."""
        if self.pattern is not None:
            return name_labels.labels_of([path for path in paths if path not in excluded], self.pattern, place)
        if self.table is None:
            return None
        files = FileNames(paths, own)
        return label_file.labels_of(
            self.table, files, place, excluded=excluded, columns=self.columns, skip_bad=skip_bad
        )


@dataclass(frozen=True, eq=False)
class ImageOptions:
    """All options for image files."""

    sizing: Sizing = AS_IT_IS
    source: LabelSource = LabelSource()
    labels: FileLabels | None = None
    """The labels of the files that are read, once these are known; None if folders are the labels."""
    exclude: tuple[str, ...] = ()
    skip_bad: float = 0.0
    cache: Cache | None = None
    group_by: re.Pattern[str] | None = None
    near: Literal["near", "none"] | None = None
    """Whether --group-by keeps near copies together ("near") or not ("none"); None decides by their number."""
    flags: tuple[str, ...] = ()
    """Flags that were passed and that apply only to image files."""

    @property
    def key(self) -> list[Any]:
        """Return the options that determine the pixels and the order of the same files: the cache key."""
        sizing = self.sizing
        size = None if sizing.size is None else written(sizing.size)
        depth = [sizing.deep, sizing.largest]
        labels = [self.source.key, self.labels and self.labels.digest]
        return [size, sizing.fit, sizing.gray, *depth, *labels, list(self.exclude)]

    def for_files(self, place: str, own: Sequence[str], paths: Sequence[str]) -> ImageOptions:
        """Return the options with the labels of these files. Raises DataError if they have none.

        place: the data, for messages; own: the folders that lead to it; paths: all that should be images.
        """
        if self.source.table is None and self.source.pattern is None:
            return self
        excluded = {path for path in paths if self.excludes(path)} if self.exclude else set()
        if len(excluded) == len(paths):
            return self
        return replace(self, labels=self.source.labels(place, own, paths, excluded, self.skip_bad))

    def excludes(self, path: str) -> bool:
        """Return whether --exclude matches the path of a file."""
        return any(_matches(pattern, path) for pattern in self.exclude)

    def unwanted(self, file: File) -> str:
        """Return why a file is not read; an empty string if it is."""
        if self.excludes(file.path):
            return EXCLUDED
        if self.labels is not None and self.labels.row(file.folders, file.name) is None:
            return self.labels.unlisted
        return ""

    def options(self, size: tuple[int, ...], resized: Resized | None) -> dict[str, Any]:
        """Return the options that reproduce this result from the same files; size: (H, W) of all images now."""
        sizing = self.sizing
        found: dict[str, Any] = {}
        if resized is not None or sizing.size is not None:
            fit = sizing.how if resized is None else resized.fit
            found |= {"size": written((size[0], size[1])), "fit": fit}
        known = {
            "gray": sizing.gray,
            "group_by": self.group_by.pattern if self.group_by else self.near,
            "exclude": ",".join(self.exclude) or None,
            "skip_bad": self.skip_bad or None,
        }
        return found | self.source.options | {key: value for key, value in known.items() if value is not None}

    def check_arrays(self, place: str) -> None:
        """Raise DataError if options that apply only to image files were passed for arrays."""
        if self.flags:
            raise DataError(
                f"{', '.join(self.flags)}: only for image files, but {display.name(place)} contains arrays",
                "omit it" if len(self.flags) == 1 else "omit them",
            )


def image_options(
    size: int | str | None,
    fit: str | None,
    gray: bool | None,
    labels: str | os.PathLike[str] | None,
    file_column: str | None,
    label_column: str | None,
    label_by: str | None,
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
    labels: a table with the columns file and label, and optionally split and group, used instead of folders.
    file_column, label_column: the names of these two columns, or their numbers from 1, if they are not clear.
    label_by: a regular expression; the match in an image's path (of its group 1) is its label, instead of its folder.
    group_by: a regular expression; images whose names have the same match (of its group 1) stay in the same split.
        "near" keeps near copies together, also in arrays; "none" never does.
    exclude: comma-separated patterns of files to ignore, "*_mask.png,old".
    skip_bad: skip files that cannot be read, if they are at most this fraction of all.
    cache: a folder where large sets of decoded images, and their features, are stored for the next run; by default, or
        if False, none are.
    input_shape: (C, H, W) if the network specifies its input: determines size and colors of image files.
    Raises DataError if a value is invalid.
    """
    wanted = parse(size, fit, gray=gray)
    if input_shape is not None:
        wanted = wanted.of_network(plain(input_shape))
    near = groups.near(group_by)
    by_name = group_by if near is None else None
    values = (size, fit, gray, labels, file_column, label_column, label_by, by_name, exclude, skip_bad)
    return ImageOptions(
        wanted,
        label_source(labels, file_column, label_column, label_by),
        None,
        patterns(exclude),
        largest_share(skip_bad),
        None if cache is None or cache is False or cache == "no" else Cache(Path(cache)),
        groups.pattern(by_name),
        near,
        tuple(flag for flag, value in zip(_FLAGS, values, strict=True) if value is not None),
    )


def label_source(
    labels: str | os.PathLike[str] | None, file_column: str | None, label_column: str | None, label_by: str | None
) -> LabelSource:
    """Return where labels come from. Raises DataError if the table cannot be read, or options contradict each other."""
    if labels is not None and label_by is not None:
        raise DataError("--labels, --label-by: cannot be combined", "both specify labels: use only one of them")
    pattern = groups.pattern(label_by, "--label-by")
    file, label = (None if column is None else str(column) for column in (file_column, label_column))
    if labels is None:
        return LabelSource(columns=(file, label), pattern=pattern)
    return LabelSource(label_table.read(labels), str(labels), (file, label))


def patterns(exclude: str | None) -> tuple[str, ...]:
    """Return the patterns of --exclude. Raises DataError if it contains none."""
    if exclude is None:
        return ()
    found = tuple(part.strip() for part in str(exclude).split(",") if part.strip())
    if not found:
        raise DataError("--exclude: no pattern specified", 'for example --exclude "*_mask.png,old"')
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
            f"{skip_bad / 100:g} is {skip_bad:g}%" if percent else "0.01 skips up to 1% of them",
        )
    return float(skip_bad)


def check_used(used: set[str], exclude: tuple[str, ...], place: str) -> None:
    """Raise DataError if a pattern matches nothing: it is probably a mistake."""
    idle = [pattern for pattern in exclude if pattern not in used]
    if idle:
        raise DataError(
            f"--exclude {display.name(idle[0])}: no file in {place} matches",
            "* matches any characters; patterns are compared with the path, the file name and each folder name",
        )


def matching(file: File, exclude: tuple[str, ...]) -> set[str]:
    """Return the patterns that match a file."""
    return {pattern for pattern in exclude if _matches(pattern, file.path)}


def _matches(pattern: str, path: str) -> bool:
    names = (path, *path.split("/"))
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)
