"""Read CIFAR-10 as published: five batches and a test batch, in a folder or in the original archive."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.formats import cifar_batch
from layerline.data.formats.cifar_batch import CLASSES, SHAPE, Batch
from layerline.data.formats.recognize import shown, unreadable
from layerline.data.part import FoundArray, SourceArrays, SplitArrays
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from layerline.data.formats.members import Member
    from layerline.data.formats.tar import Tar

ARCHIVES: Final = {
    "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
}
"""The published archives → their SHA-256."""
ORDER: Final = "CHW"
"""Memory layout of an image in a batch."""
_STEMS: Final = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")
_MAX_BYTES: Final = 2**26
"""Maximum size of a batch; the published ones have 31 million bytes."""
_MAX_MEMBERS: Final = 1000


@dataclass(frozen=True)
class Variant:
    """One of the two variants of the published batches: binary or Python."""

    folder: str
    ending: str
    meta: str
    batch: Callable[[bytes, str], Batch]
    names: Callable[[bytes, str], tuple[str, ...]]

    @property
    def batches(self) -> tuple[str, ...]:
        """Return the names of the six files, the test batch last."""
        return tuple(stem + self.ending for stem in _STEMS)


VARIANTS: Final = (
    Variant("cifar-10-batches-bin", ".bin", "batches.meta.txt", cifar_batch.binary, cifar_batch.names_of_text),
    Variant("cifar-10-batches-py", "", "batches.meta", cifar_batch.python, cifar_batch.names_of_python),
)


def place_of(folder: Path) -> Path | None:
    """Return the folder that contains batches: this one, or a subfolder with the published name; None if neither."""
    for variant in VARIANTS:
        for place in (folder, folder / variant.folder):
            if any((place / name).is_file() for name in variant.batches):
                return place
    return None


def variant_of(name: str) -> Variant | None:
    """Return the variant that a file of this name belongs to, None if it is not a CIFAR-10 file."""
    last = name.rsplit("/", 1)[-1]
    return next((variant for variant in VARIANTS if last in (*variant.batches, variant.meta)), None)


def read_folder(folder: Path) -> SourceArrays:
    """Return the data set from the batches in a folder. Raises DataError."""
    variant = next(variant for variant in VARIANTS if any((folder / name).is_file() for name in variant.batches))
    collected = _Collected(variant, shown(folder))
    for name in (*variant.batches, variant.meta):
        path = folder / name
        if not path.is_file():
            continue
        try:
            content = regular.content(path, _MAX_BYTES)
        except OSError as error:
            raise unreadable(path, error) from error
        if content is None:
            raise _too_large(shown(path))
        collected.add(name, content, shown(path))
    return collected.parts()


def read_tar(path: Path, tar: Tar, members: Iterable[Member]) -> SourceArrays:
    """Return the data set from the members of an archive; other members are ignored. Raises DataError."""
    collected: _Collected | None = None
    for count, member in enumerate(members):
        if count == _MAX_MEMBERS:
            raise DataError(
                f"{tar.name}: found more than {display.count(_MAX_MEMBERS)} members, expected CIFAR-10's seven files",
                f"download {next(iter(ARCHIVES))} again",
            )
        variant = variant_of(member.name)
        if variant is None or member.kind != "file":
            continue
        place = f"{tar.name}: {display.name(member.name, 100)}"
        if member.size > _MAX_BYTES:
            raise _too_large(place)
        collected = collected or _Collected(variant, tar.name)
        if variant is collected.variant:
            collected.add(member.name.rsplit("/", 1)[-1], tar.read(member), place)
    assert collected is not None  # noqa: S101 - the caller has seen a batch
    return collected.parts(_unofficial(path))


def _unofficial(path: Path) -> tuple[str, ...]:
    """Return a note if an archive is not identical to a published one."""
    with regular.opened(path) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found in ARCHIVES.values():
        return ()
    return (f"{shown(path)} is not the published archive (its SHA-256 is {found[:12]}…): it may have been repacked",)


def _too_large(place: str) -> DataError:
    return DataError(f"{place}: found more than {display.size(_MAX_BYTES)}, expected 31 MB", "download it again")


class _Collected:
    """The batches found so far."""

    def __init__(self, variant: Variant, place: str) -> None:
        self.variant = variant
        self._place = place
        self._batches: dict[str, Batch] = {}
        self._names: tuple[str, ...] | None = None

    def add(self, name: str, content: bytes, place: str) -> None:
        """Read a file. Raises DataError."""
        if name in self._batches or (name == self.variant.meta and self._names is not None):
            raise DataError(f"{place}: found a second file with this name", "download the archive again")
        if name == self.variant.meta:
            self._names = self.variant.names(content, place)
        else:
            self._batches[name] = self.variant.batch(content, place)

    def parts(self, notes: tuple[str, ...] = ()) -> SourceArrays:
        """Return training and test. Raises DataError if a batch is missing."""
        lacking = [name for name in self.variant.batches if name not in self._batches]
        if lacking:
            raise DataError(
                f"{self._place}: found no {', '.join(lacking)}; expected {self.variant.batches[0]} to "
                f"{self.variant.batches[4]} and {self.variant.batches[5]}",
                f"add {', '.join(lacking)}",
            )
        *train, test = self.variant.batches
        splits = {"train": self._joined(train, "train"), "test": self._joined([test], "test")}
        return SourceArrays("cifar10", {**splits}, self._names or CLASSES, notes=notes)  # type: ignore[dict-item]  # a union

    def _joined(self, names: list[str], split: str) -> SplitArrays:
        """Return batches as one; each is freed after it is copied, so that little is in memory twice."""
        count = sum(len(self._batches[name].labels) for name in names)
        images = np.empty((count, SHAPE[0] * SHAPE[1] * SHAPE[2]), np.uint8)
        labels = np.empty(count, np.uint8)
        first = 0
        for name in names:
            batch = self._batches.pop(name)
            last = first + len(batch.labels)
            images[first:last], labels[first:last] = batch.images, batch.labels
            first = last
        place = f"{self._place}: {split}"
        return SplitArrays(FoundArray(images.reshape(count, *SHAPE), place, ORDER), FoundArray(labels, place))
