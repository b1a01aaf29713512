"""A data set as Hugging Face publishes it: Parquet files of encoded images, named by split, often several for each."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline.data.formats import partners
from layerline.data.formats.array_names import set_name
from layerline.data.formats.recognize import shown, unreadable
from layerline.data.part import SPLITS, SplitName
from layerline.data.photos import parquet_file, split_names
from layerline.data.photos.decoding import File
from layerline.data.photos.headers import Outlines
from layerline.data.photos.image_names import LONGEST_NAME, FolderLayout, in_order
from layerline.data.photos.image_options import check_used, matching
from layerline.data.photos.image_parts import parts
from layerline.data.photos.pictures import IgnoredFiles, ImageCollector
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.data.part import SourceArrays
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.image_options import ImageOptions
    from layerline.data.photos.layout_refusal import Folders
    from layerline.data.photos.parquet_file import ParquetColumns

_SUFFIX: Final = ".parquet"
_SHARD: Final = re.compile(r"-\d+-of-\d+(-\w+)?$")
_DEEPEST: Final = 3
_MAX_FILES: Final = 10_000
_MAX_README: Final = 2**20
_ITEM: Final = re.compile(r"""\s+['"]?(\d+)['"]?:\s*(.+)""")


@dataclass(frozen=True)
class _Shard:
    """A Parquet file, and the class of each of its rows."""

    path: Path
    split: SplitName
    classes: list[str]


def is_one(folder: Path) -> bool:
    """Return whether there is a Parquet file in a folder or its `data`: a quick look, for folders of images.

    Raises DataError if the folder cannot be read.
    """
    try:
        return any(next(place.glob(f"*{_SUFFIX}"), None) is not None for place in (folder, folder / "data"))
    except OSError as error:
        raise unreadable(folder, error) from error


def read_folder(folder: Path, options: ImageOptions, progress: Progress | None) -> SourceArrays | None:
    """Return the data set in a folder with Parquet files; None if there are none. Raises DataError.

    Several configurations, each in a folder with files of training images, are an error.
    """
    by_place: dict[Path, dict[SplitName, list[Path]]] = {}
    for path in _files(folder):
        place, split = _place(path, folder)
        if split is not None:
            by_place.setdefault(place, {}).setdefault(split, []).append(path)
    with_train = [place for place, splits in by_place.items() if "train" in splits]
    if len(with_train) > 1:
        each = "".join(f"\n    --data {shown(place)}" for place in with_train[:8])
        raise DataError(f"{shown(folder)}: found several data sets, expected one", f"pass one of them, such as:{each}")
    if not with_train:
        return None
    return _read(folder, folder.resolve().name or "data", by_place[with_train[0]], options, progress)


def read_file(path: Path, options: ImageOptions, progress: Progress | None) -> SourceArrays:
    """Return the data set of a file: of training images, with all files of its set next to it. Raises DataError."""
    split = _split(path)
    if split in (None, "train"):
        splits: dict[SplitName, list[Path]] = {}
        for other in sorted(path.parent.iterdir()) if split else [path]:
            of = _split(other) if other.name.endswith(_SUFFIX) else None
            if of is not None or other == path:
                splits.setdefault(of or "train", []).append(other)
    else:
        splits = {"train": [path]}
    name = set_name(path.with_name(_SHARD.sub("", path.stem)))
    found = _read(path, name, splits, options, progress)
    return replace(found, notes=found.notes + partners.alone(path)) if len(splits) == 1 else found


def _read(
    place: Path,
    name: str,
    splits: dict[SplitName, list[Path]],
    options: ImageOptions,
    progress: Progress | None,
) -> SourceArrays:
    for key in options.source.options:
        flag = "--" + key.replace("_", "-")
        raise DataError(f"{flag}: a Parquet file has its own labels", f"omit {flag}")
    columns = parquet_file.columns(splits["train"][0])
    if not columns.names:
        columns = replace(columns, names=_of_readme(place, columns.label))
    shards, without = [], []
    for split in SPLITS:
        for path in splits.get(split, []):
            classes = _classes(path, columns)
            if classes is None:
                without.append(path.name)
            else:
                shards.append(_Shard(path, split, classes))
    layout = _layout(shown(place), shards, _notes(columns, without))
    options = replace(options, cache=None)
    outlines, ignored, used = Outlines(options.sizing), IgnoredFiles(), set[str]()
    for file in _images(shards, columns, options, ignored, used) if not outlines.enough else ():
        outlines.add(file)
    check_used(used, options.exclude, shown(place))
    ignored = IgnoredFiles()
    collector = ImageCollector(shown(place), options, outlines, len(outlines.sizes))
    collector.fill(_images(shards, columns, options, ignored, used), progress)
    return parts(shown(place), name, collector.sorted_by(layout, None, {}), layout, ignored, options)


def _images(
    shards: list[_Shard], columns: ParquetColumns, options: ImageOptions, ignored: IgnoredFiles, used: set[str]
) -> Iterator[File]:
    """Yield the images of all files, in folders of split and class."""
    seen: set[str] = set()
    for shard in shards:
        rows = zip(parquet_file.images(shard.path, columns.image), shard.classes, strict=True)
        for row, ((content, path), name) in enumerate(rows):
            given = path.replace("\\", "/").rsplit("/", 1)[-1]
            own = given if given and given not in seen else f"{shard.path.stem}-{row:07d}"
            seen.add(own)
            file = File((shard.split, name), own, content)
            used |= matching(file, options.exclude)
            reason = options.unwanted(file)
            if reason:
                ignored.add(reason, file.path)
            else:
                yield file


def _classes(path: Path, columns: ParquetColumns) -> list[str] | None:
    """Return the class of each row; None if no row has one, as in a test set whose labels are secret."""
    found = parquet_file.labels(path, columns.label)
    if found and all(value in (None, -1) for value in found):
        return None
    names: list[str] = []
    for row, value in enumerate(int(each) if type(each) is float and each.is_integer() else each for each in found):
        wrong = value is None or (type(value) is int and (value < 0 or (columns.names and value >= len(columns.names))))
        name = "" if wrong else columns.names[value] if type(value) is int and columns.names else str(value)
        if not name.strip() or len(name) > LONGEST_NAME:
            raise DataError(
                f"{shown(path)}: found {display.name(str(value), 30)} in row {row} of {display.name(columns.label)}, "
                "expected a class",
                "give every row a class, or remove it",
            )
        names.append(name)
    return names


def _layout(place: str, shards: list[_Shard], notes: tuple[str, ...]) -> FolderLayout:
    by_split = {
        split: {name for shard in shards if shard.split == split for name in shard.classes}
        for split in SPLITS
        if any(shard.split == split and shard.classes for shard in shards)
    }
    train = by_split.get("train")
    if train is None:
        raise DataError(f"{place}: found no labeled training images", "add a file of training images, train.parquet")
    for split, names in by_split.items():
        extra = in_order(names - train)
        if extra:
            raise DataError(
                f"{place}: found {', '.join(display.name(name, 30) for name in extra[:4])} in {split}, "
                "but not in training",
                "training and test must have the same classes",
            )
    classes = in_order(train)
    of: dict[Folders, tuple[SplitName, int]] = {
        (split, name): (split, classes.index(name)) for split, names in by_split.items() for name in names
    }
    return FolderLayout(classes, of, tuple(by_split), notes)


def _notes(columns: ParquetColumns, without: list[str]) -> tuple[str, ...]:
    notes = [
        f"images are read from the column {display.name(columns.image)}, labels from {display.name(columns.label)}"
    ]
    if without:
        notes.append(f"ignored: {', '.join(display.name(name) for name in without[:4])}, without labels")
    return tuple(notes)


def _files(folder: Path) -> list[Path]:
    """Return the Parquet files in a folder, in order. Raises DataError."""
    found: list[Path] = []
    try:
        for root, folders, names in os.walk(folder):
            deep = len(Path(root).relative_to(folder).parts)
            folders[:] = sorted(name for name in folders if not name.startswith(".")) if deep < _DEEPEST else []
            found += [Path(root, name) for name in sorted(names) if name.endswith(_SUFFIX)]
            if len(found) > _MAX_FILES:
                raise DataError(f"{shown(folder)}: found more than {display.count(_MAX_FILES)} files", "merge them")
    except OSError as error:
        raise unreadable(folder, error) from error
    return found


def _place(path: Path, folder: Path) -> tuple[Path, SplitName | None]:
    """Return the folder of a file's data set, and its split: from its name, or from that of its folder."""
    split = _split(path)
    if split is None and path.parent != folder and (split := split_names.split_of(path.parent.name)):
        return path.parent.parent, split
    return path.parent, split


def _split(path: Path) -> SplitName | None:
    return split_names.split_of(_SHARD.sub("", path.stem))


def _of_readme(place: Path, column: str) -> tuple[str, ...]:
    """Return the names of the classes in the README of a set, as Hugging Face writes them; none if it has none.

    A line `- name: label`, and below it, under `names:`, a line `'0': cat` for each.
    """
    start = place if place.is_dir() else place.parent
    for folder in itertools.islice((start, *start.resolve().parents), 3):
        path = folder / "README.md"
        if path.is_file():
            break
    else:
        return ()
    try:
        content = regular.content(path, _MAX_README) or b""
    except OSError as error:
        raise unreadable(path, error) from error
    names: list[str] = []
    inside = False
    for line in content.decode("utf-8", "replace").splitlines():
        match: Any = _ITEM.fullmatch(line)
        if line.strip().startswith("- name:"):
            if names:
                break
            inside = line.split(":", 1)[1].strip() == column
        elif inside and match and int(match[1]) == len(names):
            names.append(match[2].strip().strip("'\""))
    return tuple(names) if len(set(names)) == len(names) else ()
