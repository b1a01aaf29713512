"""The error for folders that cannot be read as classes and splits: what was found, and the command that works."""

from __future__ import annotations

import fnmatch
import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.data.photos import class_folders, name_patterns, neighbors, split_names
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from layerline.data.photos.split_names import Meaning

Folders = tuple[str, ...]

LAYOUT: Final = "arrange them as class/image or split/class/image, where split is train, val or test"
_LABELS: Final = "or pass a table with the columns file and label: --labels FILE"
_TABLES: Final = (".csv", ".tsv")
_BOXES: Final = (".txt", ".xml", ".json")
_BOXED: Final = 1 / 3
"""Fraction of images with a text file of the same name above which these files are taken to be boxes."""
_NO_TABLE: Final = re.compile(r"submi|readme|credits|metadata$", re.IGNORECASE)
_MAX_LISTED: Final = 4
_MAX_PATTERNS: Final = 8
_LOOKED_AT: Final = 200
"""Images whose names are searched for in tables."""
_LAST: Final = "([^/]+)/[^/]+$"
"""The folder of a file, for --label-by."""


class LayoutError(DataError):
    """The folders of image files do not stand for classes; a table or the names of files may."""


@dataclass(frozen=True)
class Surroundings:
    """The files of a folder or archive, for messages."""

    images: Sequence[tuple[Folders, str]] = ()
    """Folders and name of each file that should be an image."""
    texts: Sequence[str] = ()
    """The paths of its text files."""
    is_folder: bool = True
    """Whether this is a folder; otherwise it is an archive, whose parts have no path of their own."""


@dataclass(frozen=True)
class Refusal:
    """Folders for which no layout was found, and what is known about them."""

    place: str
    top: Folders
    """The outer folders that all images share."""
    inner: Collection[Folders]
    """The folders with images, below these."""
    splits: Mapping[str, Meaning]
    """Those at the first level that are named like splits."""
    read: Collection[str]
    """Those of them that contain class folders."""
    context: Surroundings

    def error(self) -> DataError:
        """Return the error to raise."""
        nested = self._nested()
        if nested is not None:
            return nested
        firsts = {path[0] for path in self.inner if path}
        trained = [name for name in self.read if self.splits[name] == "train"]
        if trained:
            return self._extra(sorted(firsts - set(self.read)), trained[0])
        boxes = self._boxes()
        if boxes:
            return DataError(
                f"{self.place}: found an object detection export ({boxes}), expected one class per image",
                "bounding boxes are not supported: crop the objects and arrange them as class/image",
            )
        if not self.splits:
            return self._other()
        others = sorted(name for name in firsts - set(self.splits) if not split_names.names_no_class(name))
        table = self._table()
        if len(others) > 1 and not ("train" in self.splits.values() and table):
            return self._among_classes(others)
        return self._right_in_splits(table)

    def _extra(self, extra: list[str], train: str) -> DataError:
        """Return the error for images or folders next to a training set that has classes."""
        if not extra:
            return self._depths()
        if any(path == () for path in self.inner):
            return self._depths()
        bare = {path[0] for path in self.inner if len(path) == 1}
        flat = [name for name in extra if name in bare or name in self.splits]
        what = "outside any class folder" if len(flat) == len(extra) else "outside any split"
        return DataError(
            f"{self.place}: found images in {_listed(extra)} {what}; "
            f"expected only train, val and test, with the classes of {display.name(train)}",
            f"exclude them: {command(self.place, list(map(pattern, extra)))}",
        )

    def _among_classes(self, others: list[str]) -> DataError:
        named = sorted(self.splits)
        return DataError(
            f"{self.place}: found {_listed(named)}, named like a split, next to {_listed(others)}; "
            "expected only classes, or splits that each contain all classes",
            f"exclude it: {command(self.place, list(map(pattern, named)))}; if it is a class, rename it",
        )

    def _right_in_splits(self, table: str) -> DataError:
        named = sorted({path[0] for path in self.inner if path})
        help_ = f"{LAYOUT}; {_LABELS}"
        train = next((name for name in sorted(self.splits) if self.splits[name] == "train"), "")
        ways = []
        if table and train:
            rest = [name for name in named if name != train]
            ways.append(self._with_table(table, command(self.place, list(map(pattern, rest)))))
        ways += self._by_names()
        help_ = "; ".join(ways) or help_
        table_text = f", and the table {display.name(table, 60)} next to them" if table else ""
        return DataError(
            f"{self.place}: found images directly in {_listed(named)}{table_text}; expected a folder for each class "
            "inside (splits are not classes)",
            help_,
        )

    def _with_table(self, table: str, command: str) -> str:
        """Return how to use the labels from a table; one in an archive must be unpacked first."""
        if self.context.is_folder:
            return f"use the labels in it: {command} --labels {shlex.quote(str(Path(self.place) / table))}"
        return f"unpack {table}, then: {command} --labels {shlex.quote(table.rpartition('/')[2])}"

    def _other(self) -> DataError:
        inner = self.inner
        if len(inner) == 1:
            only = _path_text((*self.top, *next(iter(inner))))
            where = f"in only one folder ({only})" if only else "outside any class folder"
            table = self._table()
            ways = [self._with_table(table, command(self.place))] if table else self._beside()
            help_ = "; ".join([*ways, *self._by_names()]) or f"{LAYOUT}; {_LABELS}"
            table_text = f" (and a table, {display.name(table, 60)})" if table else ""
            return DataError(f"{self.place}: found images {where}{table_text}; expected a folder for each class", help_)
        return self._depths()

    def _beside(self) -> list[str]:
        """Return the commands that read this folder with what is next to it: a table, or the folders of classes."""
        if not self.context.is_folder:
            return []
        folder = Path(self.place, *self.top)
        parent = folder.parent if folder.name not in ("", "..") else folder / ".."
        table = neighbors.table_of(parent, [name for _, name in self.context.images[:_LOOKED_AT]])
        if table is not None:
            return [f"use the labels in {table}: {command(self.place)} --labels {shlex.quote(str(table))}"]
        if self.top or not neighbors.are_classes(parent):
            return []
        return [f"if this folder is one of the classes, pass the folder around them: {command(str(parent))}"]

    def _nested(self) -> DataError | None:
        """Return the error for folders inside the classes, in a split or without splits; None if that is not it."""
        inner, first = set(self.inner), "^([^/]+)/"
        if self.splits:
            inner, depths = set(), {1}
            for name in set(self.splits) - set(self.read):
                below = {path[1:] for path in self.inner if path[:1] == (name,)}
                depth = 1
                while len({path[:1] for path in below}) == 1 and _is_around(min(below)[:1]):
                    below, depth = {path[1:] for path in below}, depth + 1
                inner |= below
                depths.add(depth)
            first = f"^{'[^/]+/' * max(depths)}([^/]+)/"
        if not inner:
            return None
        match class_folders.obstacle(inner):
            case "folds":
                return self._folds(inner)
            case "splits":
                return self._splits_inside(inner, first)
            case "masks":
                masks = class_folders.masks_among({name for path in inner for name in path})
                return DataError(
                    f"{self.place}: found {_listed(masks)} among the image folders, expected only images",
                    f"exclude them: {command(self.place, list(map(pattern, masks)))}",
                )
            case "levels":
                return self._levels(inner, first)
        return None

    def _folds(self, inner: Collection[Folders]) -> DataError:
        folds = sorted({path[0] for path in inner})
        below = {path[1] for path in inner if len(path) > 1}
        found = f"{self.place}: {_listed(folds)} look like cross-validation folds"
        if not below:
            return DataError(f"{found}; expected a folder for each class in them", f"{LAYOUT}; {_LABELS}")
        if any(split_names.meaning(name) for name in below):
            one = str(Path(self.place, *self.top, folds[0]))
            help_ = f"use one of them: {command(one)}" if self.context.is_folder else f"unpack {folds[0]}, and pass it"
            return DataError(f"{found}, each with {_listed(sorted(below))}; expected only one fold", help_)
        return DataError(
            f"{found}, each with {_listed(sorted(below))}; expected classes, or train, val and test",
            f"combine them into one set: {command(self.place, (), {'label_by': _LAST})}; "
            "to test on one fold, list file, label and split in a table: --labels FILE",
        )

    def _splits_inside(self, inner: Collection[Folders], first: str) -> DataError:
        splits = sorted({name for path in inner for name in path[1:] if split_names.meaning(name)})
        path = min(path for path in inner if set(path[1:]) & set(splits))
        return DataError(
            f"{self.place}: found {_listed(splits)} inside {display.name(path[0])}; "
            f"expected classes inside the splits, such as {display.name(splits[-1])}/{display.name(path[0])}",
            f"move the folders, or ignore these splits: {command(self.place, (), {'label_by': first})}",
        )

    def _levels(self, inner: Collection[Folders], first: str) -> DataError:
        """Return the error for two levels of folders, either of which may be the classes."""
        outer, holders = sorted({path[0] for path in inner}), class_folders.containers(inner)
        deeper = sorted({path[-1] for path in inner})
        ways = [
            f"for the classes {_listed(outer)}: {command(self.place, (), {'label_by': first})}",
            f"for {_listed(deeper)}: {command(self.place, (), {'label_by': _LAST})}",
        ]
        if len(holders) == 1 and not self.splits and self.context.is_folder:
            ways.append(f"for only {holders[0]}: {command(str(Path(self.place, *self.top, holders[0])))}")
        inside = sorted({path[1] for path in inner if len(path) > 1 and path[0] == holders[0]})
        return DataError(
            f"{self.place}: found the folders {_listed(inside)} inside {display.name(holders[0])}: "
            "either level could be the classes",
            "; ".join(ways),
        )

    def _by_names(self) -> list[str]:
        """Return the commands that take labels from the names of the files, if these have a common pattern.

        If only the training images have one, the other folders are excluded.
        """
        inner = ["/".join((*folders[len(self.top) :], name)) for folders, name in self.context.images]
        excluded: list[str] = []
        found = name_patterns.proposals(inner)
        train = [name for name, means in self.splits.items() if means == "train"]
        if not found and len(train) == 1:
            excluded = sorted({path[0] for path in self.inner if path} - set(train))
            found = name_patterns.proposals([path for path in inner if path.startswith(f"{train[0]}/")])
        without = list(map(pattern, excluded))
        ways = [
            f"{command(self.place, without, {'label_by': each.pattern})} "
            f"({len(each.classes)} classes: {_listed(each.classes)})"
            for each in found
        ]
        return [f"take labels from the file names: {'; or '.join(ways)}"] if ways else []

    def _depths(self) -> DataError:
        shallow, deep = min(self.inner, key=lambda path: (len(path), path)), max(self.inner, key=lambda p: (len(p), p))
        if len(shallow) == len(deep):
            shallow, deep = min(self.inner), max(self.inner)
        path = _path_text((*self.top, *shallow))
        first = f"in {path}" if path else "at the top level"
        return DataError(
            f"{self.place}: found images {first} and in {_path_text((*self.top, *deep))}, "
            "expected all at the same depth",
            LAYOUT,
        )

    def _boxes(self) -> str:
        """Return an image and the file of its boxes; an empty string if this is not a detection export."""
        for text in self.context.texts:
            name = text.rpartition("/")[2].lower()
            if name.endswith("coco.json") or re.fullmatch(r"instances_\w+\.json", name):
                return f"{display.name(text, 60)} lists bounding boxes"
        stems = {_stem(name): "/".join((*folders, name)) for folders, name in self.context.images}
        boxes = [text for text in self.context.texts if text.lower().endswith(_BOXES)]
        met = {_stem(text.rpartition("/")[2]): text for text in boxes if _stem(text.rpartition("/")[2]) in stems}
        if not met or len(met) < _BOXED * len(stems):
            return ""
        stem = min(met)
        return f"{display.name(stems[stem], 60)} with {display.name(met[stem], 60)}"

    def _table(self) -> str:
        """Return the path of the table that most likely contains the labels; an empty string if there is none."""
        train = {name for name, means in self.splits.items() if means == "train"}
        ranked = []
        for text in self.context.texts:
            folders, _, name = text.rpartition("/")
            if not name.lower().endswith(_TABLES) or _NO_TABLE.search(_stem(name)):
                continue
            inside = bool(train & set(folders.split("/")))
            means = split_names.meaning(_stem(name))
            if means not in (None, "train") or (folders and not inside and set(folders.split("/")) & set(self.splits)):
                continue
            ranked.append((not inside, means != "train", "label" not in name.lower(), text))
        return min(ranked)[-1] if ranked else ""


def loose(place: str, top: Folders, others: Sequence[str], context: Surroundings) -> LayoutError:
    """Return the error for images next to folders that can be read. top: where they are; others: these folders."""
    names = sorted(name for folders, name in context.images if folders == top)
    where = f"in {_path_text(top)}" if top else "at the top level"
    some = f" ({display.name(names[0], 60)}{', …' if len(names) > 1 else ''})" if names else ""
    patterns = patterns_of(names, [(*folders, name) for folders, name in context.images if folders != top])
    return LayoutError(
        f"{place}: found {display.counted(len(names), 'image')} {where}{some}, next to the folders {_listed(others)}; "
        "expected images only in folders",
        f"exclude {'it' if len(names) == 1 else 'them'}: {command(place, patterns)}"
        if patterns
        else f"move {'it' if len(names) == 1 else 'them'} into one of these folders, or elsewhere",
    )


def patterns_of(names: Sequence[str], others: Sequence[Folders]) -> list[str]:
    """Return patterns of --exclude that match these names and no part of other paths; none if there are no such."""
    stem = _shared(names)
    ending = _shared([name[len(stem) :][::-1] for name in names])[::-1]
    whole = [pattern(stem) + "*" + pattern(ending)] if len(names) > 1 and stem else []
    apart = {part for path in others for part in path}
    for found in (whole, [pattern(name) for name in names]):
        free = not any(fnmatch.fnmatchcase(part, each) for part in apart for each in found)
        if found and len(found) <= _MAX_PATTERNS and free:
            return found
    return []


def _shared(names: Sequence[str]) -> str:
    """Return the letters with which all names begin."""
    first, last = (min(names), max(names)) if names else ("", "")
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in same)


def command(place: str, exclude: Sequence[str] = (), options: Mapping[str, object] | None = None) -> str:
    """Return the command that describes the images at `place`. exclude: patterns of those to omit; options: others."""
    more = {"exclude": ",".join(exclude)} if exclude else {}
    flags = [
        f" --{key.replace('_', '-')} {shlex.quote(str(value))}" for key, value in (more | dict(options or {})).items()
    ]
    return f"layerline data info {shlex.quote(place)}{''.join(flags)}"


def pattern(name: str) -> str:
    """Return the pattern of --exclude for one name of a file or folder."""
    return re.sub(r"[,*?\[\]]", "?", name)


def _is_around(names: Folders) -> bool:
    """Return whether a folder between a split and its classes is named like a split, or images and the like."""
    return any(split_names.meaning(name) or split_names.names_no_class(name) for name in names)


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _path_text(path: Folders) -> str:
    return display.name("/".join(path), 80)


def _listed(names: Sequence[str]) -> str:
    listed = [display.name(name, 30) for name in names[:_MAX_LISTED]]
    if len(names) > _MAX_LISTED:
        return f"{', '.join(listed)} and {len(names) - _MAX_LISTED} more"
    return " and ".join(filter(None, (", ".join(listed[:-1]), listed[-1])))
