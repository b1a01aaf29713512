"""Find the image file that a table means: by its path or the end of it, with or without suffix."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from layerline.data.photos import split_names

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_DRIVE: Final = re.compile(r"^[A-Za-z]:(?=[\\/])")
_WHOLE: Final = 0
"""As a number of parts: the whole path."""
Parts = tuple[str, ...]
Fold = Callable[[str], str]
"""How spellings are made alike."""


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
        self._tails: dict[tuple[int, Fold, bool], dict[str, list[str]]] = {}

    def meant(self, name: str) -> Meant:
        """Return the files that a name may mean: of one spelling, the closest that there is.

        It is the end of their paths; or else it ends with the whole path of a file, the longest one.
        """
        parts = parts_of(name)
        for fold in (_same, str.casefold):
            for without_suffix in (False, True):
                tail = fold("/".join(parts))
                paths = self._ending(len(parts), fold, without_suffix).get(tail)
                if paths:
                    return Meant(tuple(paths), (), fold is not _same)
                for first in range(1, len(parts)):
                    paths = self._ending(_WHOLE, fold, without_suffix).get(fold("/".join(parts[first:])))
                    if paths:
                        return Meant(tuple(paths), parts[:first], fold is not _same)
        return Meant()

    def _ending(self, count: int, fold: Fold, without_suffix: bool) -> dict[str, list[str]]:
        """Return the paths by their last parts, made when such names first occur: most tables have one kind."""
        found = self._tails.get((count, fold, without_suffix))
        if found is None:
            found = defaultdict(list)
            for path in self.paths:
                parts = fold(_plain(path)).split("/")
                if count in (_WHOLE, len(parts)) or 0 < count < len(parts):
                    if without_suffix:
                        parts[-1] = parts[-1].rpartition(".")[0] or parts[-1]
                    found["/".join(parts[-count:])].append(path)
            self._tails[count, fold, without_suffix] = found
        return found

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


def parts_of(name: str) -> Parts:
    """Return the folders and the file name in a path of any system, without a drive and dots."""
    plain = _plain(_DRIVE.sub("", name.strip())).replace("\\", "/")
    return tuple(part for part in plain.split("/") if part not in ("", ".", ".."))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _same(text: str) -> str:
    return text
