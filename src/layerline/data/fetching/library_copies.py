"""Copies of the named data sets that Keras and torchvision made, where both put them by default. Nothing is written.

A copy is used only if its content is the published one: by the SHA-256 of the catalog, or, for the files of CIFAR's
archives, by the MD5 that torchvision publishes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.data.fetching import catalog
from layerline.files import regular
from layerline.files.user_folder import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_KERAS: Final = {
    "mnist": ("mnist.npz",),
    "fashion-mnist": ("fashion-mnist",),
    "cifar10": (
        "cifar-10-batches-py",
        "cifar-10-batches-py-target/cifar-10-batches-py",
        "cifar-10-batches-py_extracted/cifar-10-batches-py",
    ),
    "cifar100": (
        "cifar-100-python",
        "cifar-100-python-target/cifar-100-python",
        "cifar-100-python_extracted/cifar-100-python",
    ),
}
_TORCHVISION: Final = {
    "mnist": "MNIST/raw",
    "fashion-mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
}
_ROOTS: Final = ("data", "datasets", ".", "../data")
"""The usual values of torchvision's `root`, relative to the current folder; the first two also in the user's home."""
_MD5: Final = {
    "cifar10": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "cifar100": {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
}


@dataclass(frozen=True)
class LibraryCopy:
    """A file or folder that may be a copy of a named set."""

    name: str
    path: Path
    by: str
    """The library that puts it there."""

    @property
    def note(self) -> str:
        """Return where the data is from."""
        place = shown(self.path)
        return f"{self.name} is read from {place}, where {self.by} stores it; it is identical to the official one"

    def is_official(self) -> bool:
        """Return whether its files are the published ones; for an .npz file, the arrays in it have to be compared."""
        if self.path.is_file():
            return True
        if self.name in _MD5:
            return all(_digest(self.path / file, "md5") == digest for file, digest in _MD5[self.name].items())
        return all(
            _digest(self.path / archive.name, "sha256") == archive.sha256
            for archive in catalog.KNOWN[self.name].archives
        )


def of(name: str) -> Iterator[LibraryCopy]:
    """Yield what may be a copy of a named set, in the order in which they are looked at."""
    try:
        home: Path | None = Path.home()
    except RuntimeError:
        home = None
    if home is not None and home.is_absolute():
        keras = home / ".keras" / "datasets"
        yield from (
            copy for place in _KERAS[name] if (copy := LibraryCopy(name, keras / place, "Keras")) and _is_there(copy)
        )
    roots = [Path(root) for root in _ROOTS] + ([home / root for root in _ROOTS[:2]] if home is not None else [])
    for root in roots:
        copy = LibraryCopy(name, root / _TORCHVISION[name], "torchvision")
        if _is_there(copy):
            yield copy


def _is_there(copy: LibraryCopy) -> bool:
    try:
        return copy.path.is_file() if copy.path.suffix else copy.path.is_dir()
    except OSError:  # a folder that may not be entered
        return False


def _digest(path: Path, kind: str) -> str:
    """Return the digest of a file; empty if it cannot be read."""
    try:
        with regular.opened(path) as file:
            return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    except OSError:
        return ""
