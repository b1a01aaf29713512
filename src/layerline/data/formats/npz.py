"""Read `.npz`, NumPy's archive of arrays: x and y, or x_train, y_train, x_test and y_test, or other usual names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.data.formats import archive, array_names, partners, rows
from layerline.data.formats.recognize import shown
from layerline.data.part import SPLITS, FoundArray, SourceArrays, SplitArrays, SplitName
from layerline.numbers import display

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

    from layerline.data.formats.array_names import Key


def read(path: Path) -> SourceArrays:
    """Return the arrays of an .npz file. Raises DataError if it cannot be read, or an array is missing or ambiguous."""
    name = shown(path)
    with archive.open_archive(path) as (opened, members):
        chosen = array_names.choose(name, members, _shapes(opened, members, name))
        splits = {split: _part(opened, members, chosen, split, name) for split in SPLITS if (split, "images") in chosen}
    bare = array_names.unlabeled(members, chosen)
    unused = [key for key in members if key not in (*chosen.values(), *bare)]
    ignored = tuple(f"ignored in {name}: {display.name(key)}, which has no labels" for key in bare)
    ignored += (f"ignored in {name}: {array_names.listed(unused)}",) if unused else ()
    ignored += partners.alone(path) if len(splits) == 1 else ()
    splits, flat = rows.reshaped(splits)
    return SourceArrays(array_names.set_name(path), splits, notes=(*array_names.note(name, chosen), *flat, *ignored))


def _shapes(opened: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays if there are two, and their names are not the documented ones."""
    if len(members) != 2 or all(key in array_names.DOCUMENTED for key in members):
        return {}
    return {key: archive.header_of(opened, info, f"{name}: {display.name(key)}").shape for key, info in members.items()}


def _part(
    opened: zipfile.ZipFile,
    members: dict[str, zipfile.ZipInfo],
    chosen: dict[Key, str],
    split: SplitName,
    name: str,
) -> SplitArrays:
    x, y = (
        FoundArray(archive.read(opened, members[key], place), place)
        for key in (chosen[split, "images"], chosen[split, "labels"])
        for place in [f"{name}: {display.name(key)}"]
    )
    return SplitArrays(x, y)
