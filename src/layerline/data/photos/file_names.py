"""Find the image file that a table means: by its path or the end of it, with or without suffix."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, final

from layerline.data.photos import split_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_DRIVE: Final = re.compile(r"^[A-Za-z]:(?=[\\/])")
Parts = tuple[str, ...]


@dataclass(frozen=True)
class Meant:
    """The files that a name may mean."""

    paths: tuple[str, ...] = ()
    outside: Parts = ()
    """Folders in the name that come before the data's own: ("home", "ana") of /home/ana/train/1.png."""
    other_case: bool = False


@final
class FileNames:
    """The paths of all image files of a folder or archive."""

    def __init__(self, paths: Collection[str], own: Sequence[str] = ()) -> None:
        """Store the paths, relative to the data; own: the folders that lead to it, the innermost last."""
        self.paths = tuple(paths)
        self._own = tuple(own)
        self._parts = {path: tuple(_plain(path).split("/")) for path in self.paths}

    def meant(self, name: str) -> Meant:
        """Return the files that a name may mean: of one spelling, the closest that there is."""
        parts = parts_of(name)
        if not parts:
            return Meant()
        for index, fold in ((self._exact, _same), (self._folded, str.casefold)):
            for by in index:
                candidates = by.get(fold(parts[-1]), ())
                wanted = tuple(map(fold, parts[:-1]))
                found = self._among(candidates, wanted, fold)
                if found.paths:
                    return Meant(found.paths, parts[: len(found.outside)], fold is not _same)
        return Meant()

    def _among(self, candidates: Sequence[str], wanted: Parts, fold: Callable[[str], str]) -> Meant:
        """Return the candidates whose folders end with those of a name, or else those that it ends with."""
        inside, around = [], []
        for path in candidates:
            folders = tuple(map(fold, self._parts[path][:-1]))
            if folders[len(folders) - len(wanted) :] == wanted and len(folders) >= len(wanted):
                inside.append(path)
            elif len(folders) < len(wanted) and wanted[len(wanted) - len(folders) :] == folders:
                around.append((len(folders), path))
        if inside or not around:
            return Meant(tuple(inside))
        longest = max(around)[0]
        chosen = tuple(path for depth, path in around if depth == longest)
        return Meant(chosen, wanted[: len(wanted) - longest])

    def are_around(self, outside: Collection[Parts]) -> bool:
        """Return whether folders before those of the data can be the ones around it.

        They are all the same, and not those of another split.
        """
        names = set(outside) - {self._own[-len(parts) :] for parts in outside}
        if not names:
            return True
        if len(names) > 1 or not self._own:
            return False
        meanings = {split_names.meaning(name) for name in (self._own[-1], next(iter(names))[-1])}
        return len(meanings) == 1 or None in meanings

    def leads_here(self, outside: Parts) -> bool:
        """Return whether these are the data's own folders, relative to some folder around it: no note is needed."""
        return self._own[-len(outside) :] == outside

    @cached_property
    def _exact(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        return self._index(_same)

    @cached_property
    def _folded(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        return self._index(str.casefold)

    def _index(self, fold: Callable[[str], str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Return the paths by file name, and by file name without suffix."""
        by_name: dict[str, list[str]] = defaultdict(list)
        by_stem: dict[str, list[str]] = defaultdict(list)
        for path, parts in self._parts.items():
            name = fold(parts[-1])
            by_name[name].append(path)
            by_stem[name.rpartition(".")[0] or name].append(path)
        return by_name, by_stem


def parts_of(name: str) -> Parts:
    """Return the folders and the file name in a path of any system, without a drive and dots."""
    plain = _plain(_DRIVE.sub("", name.strip())).replace("\\", "/")
    return tuple(part for part in plain.split("/") if part not in ("", ".", ".."))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _same(text: str) -> str:
    return text
