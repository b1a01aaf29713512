"""Tables of labels inside an image folder: metadata.csv or .jsonl of Hugging Face, _classes.csv of Roboflow.

    train/metadata.csv      file_name,label        each names the files of its own folder
    train/0001.png

They are read if the folders themselves have no meaning, and no other reading is left.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from layerline.data.formats.recognize import shown
from layerline.data.photos import label_file, label_table, split_names
from layerline.data.photos.file_labels import FileLabels
from layerline.data.photos.file_names import FileNames
from layerline.data.photos.image_names import outer_folders
from layerline.data.photos.label_columns import NoFilesError
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from layerline.data.photos.file_labels import FileLabel

_NAMES: Final = ("metadata.csv", "metadata.jsonl", "_classes.csv")
_MAX_TABLES: Final = 20
_MANY: Final = 3
"""Number of tables from which only the first is named."""


def labels_of(
    root: Path, texts: Collection[str], paths: Sequence[str], excluded: Collection[str], skip_bad: float
) -> FileLabels | None:
    """Return the labels from the tables in a folder; None if there are none that name its images.

    texts: the paths of all text files below it. Raises DataError if a table has a mistake, or two disagree.
    """
    tables = sorted(text for text in texts if text.rpartition("/")[2].lower() in _NAMES)
    if not tables or len(tables) > _MAX_TABLES:
        return None
    found: dict[str, FileLabels] = {}
    for text in tables:
        start = text[: text.rfind("/") + 1]
        inside = {path[len(start) :]: path for path in paths if path.startswith(start)}
        files = FileNames(tuple(inside), (root / start).resolve().parts)
        left_out = [name for name, path in inside.items() if path in excluded]
        try:
            labels = label_file.labels_of(
                label_table.read(root / text), files, shown(root / start), excluded=left_out, skip_bad=skip_bad
            )
        except NoFilesError:
            continue
        found[text] = replace(labels, of={inside[name]: each for name, each in labels.of.items()})
    return _together(root, found) if found else None


def _together(root: Path, found: dict[str, FileLabels]) -> FileLabels:
    """Return the labels of all tables. Raises DataError if two disagree about a file."""
    of: dict[str, FileLabel] = {}
    source: dict[str, str] = {}
    for text, labels in found.items():
        for path, each in labels.of.items():
            first = source.setdefault(path, text)
            if of.setdefault(path, each) != each:
                tables = [shlex.quote(shown(root / table)) for table in (first, text)]
                raise DataError(
                    f"{shown(root)}: {display.name(path, 80)} is labeled {display.name(of[path].label, 30)} in {first} "
                    f"but {display.name(each.label, 30)} in {text}",
                    f"choose a table: layerline data info {shlex.quote(shown(root))} --labels {tables[0]}, "
                    f"or --labels {tables[1]}",
                )
    names = list(found)
    used = " and ".join(names if len(names) < _MANY else [names[0], f"{len(names) - 1} more tables"])
    of, public = _with_splits(of)
    notes = dict.fromkeys((f"{shown(root)}: labels are from {used}", *_notes(root, found), *public))
    together = FileLabels(
        of,
        " ".join(labels.digest for labels in found.values()),
        f"files not listed in {used}",
        any(labels.has_groups for labels in found.values()),
        tuple(notes),
        tables=tuple(found),
    )
    together.check(shown(root))
    return together


def _notes(root: Path, found: dict[str, FileLabels]) -> Iterator[str]:
    """Yield the notes of all tables; those that differ only in the table once."""
    seen = set()
    for text, labels in found.items():
        for note in labels.notes:
            plain = note.replace(shown(root / text), "")
            if plain not in seen:
                yield note
            seen.add(plain)


def _with_splits(of: dict[str, FileLabel]) -> tuple[dict[str, FileLabel], tuple[str, ...]]:
    """Return the labels with the splits that the outer folders stand for, unless a table has splits, and notes."""
    top = len(outer_folders({tuple(path.split("/")[:-1]) for path in of}))
    firsts = {path: (path.split("/")[:-1][top:] or [""])[0] for path in of}
    splits = split_names.splits_of(set(firsts.values()))
    if "train" not in splits.values() or any(each.split != "train" for each in of.values()):
        return of, ()
    changed = {path: replace(each, split=splits.get(firsts[path], each.split)) for path, each in of.items()}
    return changed, split_names.public_note(splits)
