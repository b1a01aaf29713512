"""Read `.npz`, NumPy's archive of arrays, with x and y, or with x_train, y_train, x_test and y_test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.data.formats import archive
from layerline.data.formats.recognize import shown
from layerline.data.part import FoundArray, SourceArrays, SplitArrays, SplitName
from layerline.errors import DataError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

_ENDINGS: Final[dict[SplitName, tuple[str, ...]]] = {
    "train": ("_train", ""),
    "validation": ("_validation", "_valid", "_val"),
    "test": ("_test",),
}
_HELP: Final = "save it with numpy.savez(file, x=images, y=labels), or with x_train, y_train, x_test and y_test"


def read(path: Path) -> SourceArrays:
    """Return the arrays of an .npz file. Raises DataError if it cannot be read, or an array is missing or ambiguous."""
    name = shown(path)
    with archive.open_archive(path) as (opened, members):
        endings = _endings(name, members)
        used = {letter + ending for ending in endings.values() for letter in "xy"}
        splits = {split: _part(opened, members, ending, name) for split, ending in endings.items()}
    unused = [display.name(key) for key in members if key not in used]
    notes = (f"ignored in {name}: {_listed(unused)}",) if unused else ()
    return SourceArrays(path.resolve().stem, splits, notes=notes)


def _part(opened: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], ending: str, name: str) -> SplitArrays:
    x, y = (
        FoundArray(archive.read(opened, members[key], f"{name}: {key}"), f"{name}: {key}")
        for key in (f"x{ending}", f"y{ending}")
    )
    return SplitArrays(x, y)


def _endings(name: str, members: dict[str, zipfile.ZipInfo]) -> dict[SplitName, str]:
    """Return the suffix of the array names of each split."""
    chosen: dict[SplitName, str] = {}
    for split, endings in _ENDINGS.items():
        here = [ending for ending in endings if f"x{ending}" in members or f"y{ending}" in members]
        if len(here) > 1:
            both = " and ".join(f"x{ending}" for ending in here)
            raise DataError(f"{name}: found {both}, expected only one of them", _HELP)
        for ending in here:
            for letter, other in ("xy", "yx"):
                if letter + ending not in members:
                    raise _missing(name, members, letter + ending, f" to go with {other}{ending}")
            chosen[split] = ending
    if "train" not in chosen:
        raise _missing(name, members, "x_train" if chosen else "x", "")
    return chosen


def _missing(name: str, members: dict[str, zipfile.ZipInfo], key: str, partner: str) -> DataError:
    found = _listed([display.name(member) for member in members]) or "no array"
    ours = {letter + ending for endings in _ENDINGS.values() for ending in endings for letter in "xy"}
    others = [member for member in members if member not in ours]
    near = spelling.nearest(key, others)
    hint = f"if {display.name(near)} is meant, rename it: " if near else ""
    return DataError(f"{name}: found {found}, expected {key}{partner}", hint + _HELP)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
