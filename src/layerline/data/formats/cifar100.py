"""Read CIFAR-100 as published, in Python's format or binary: files of training, test, and names of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.data.formats import cifar_batch
from layerline.data.formats.cifar_batch import SHAPE, Batch
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

_MAX_BYTES: Final = 2**28
"""Maximum size of a file; the published ones have up to 155 million bytes."""
_MAX_MEMBERS: Final = 1000


@dataclass(frozen=True)
class Cifar100Variant:
    """One of the two variants of the published files."""

    folder: str
    train: str
    test: str
    meta: str
    batch: Callable[[bytes, str, int], Batch]
    names: Callable[[bytes, str], tuple[str, ...]]

    @property
    def files(self) -> tuple[str, str, str]:
        """Return the names of the three files."""
        return self.meta, self.train, self.test


VARIANTS: Final = (
    Cifar100Variant(
        *("cifar-100-binary", "train.bin", "test.bin", "fine_label_names.txt"),
        *(cifar_batch.binary_100, cifar_batch.names_of_text_100),
    ),
    Cifar100Variant(
        *("cifar-100-python", "train", "test", "meta"),
        *(cifar_batch.python_100, cifar_batch.names_of_python_100),
    ),
)


def place_of(folder: Path) -> Path | None:
    """Return the folder that contains the files: this one, or a subfolder with the published name; None if neither."""
    for place in (folder, *(folder / variant.folder for variant in VARIANTS)):
        if _variant_in(place) is not None:
            return place
    return None


def variant_of(name: str) -> Cifar100Variant | None:
    """Return the variant that a member of an archive belongs to, by its name and folder; None if to neither."""
    parts = name.split("/")
    return next((found for found in VARIANTS if parts[-2:-1] == [found.folder] and parts[-1] in found.files), None)


def read_folder(folder: Path) -> SourceArrays:
    """Return the data set in a folder. Raises DataError."""
    variant = _variant_in(folder)
    assert variant is not None  # noqa: S101 - the caller has seen it
    contents = {}
    for name in variant.files:
        path = folder / name
        try:
            content = regular.content(path, _MAX_BYTES)
        except OSError as error:
            raise unreadable(path, error) from error
        if content is None:
            raise _too_large(shown(path))
        contents[name] = content
    return _parts(variant, contents, shown(folder))


def read_tar(tar: Tar, members: Iterable[Member]) -> SourceArrays:
    """Return the data set from the members of an archive; other members are ignored. Raises DataError."""
    variant: Cifar100Variant | None = None
    contents: dict[str, bytes] = {}
    for count, member in enumerate(members):
        if count == _MAX_MEMBERS:
            raise DataError(
                f"{tar.name}: found more than {display.count(_MAX_MEMBERS)} members, expected CIFAR-100's three files",
                "download it again",
            )
        found = variant_of(member.name) if member.kind == "file" else None
        if found is None:
            continue
        variant = variant or found
        name = member.name.rsplit("/", 1)[-1]
        place = f"{tar.name}: {display.name(member.name, 100)}"
        if member.size > _MAX_BYTES:
            raise _too_large(place)
        if found is variant:
            if name in contents:
                raise DataError(f"{place}: found a second file with this name", "download the archive again")
            contents[name] = tar.read(member)
    assert variant is not None  # noqa: S101 - the caller has seen a member
    lacking = [name for name in variant.files if name not in contents]
    if lacking:
        raise DataError(f"{tar.name}: found no {', '.join(lacking)}", "download the archive again")
    return _parts(variant, contents, tar.name)


def _variant_in(folder: Path) -> Cifar100Variant | None:
    return next((found for found in VARIANTS if all((folder / name).is_file() for name in found.files)), None)


def _parts(variant: Cifar100Variant, contents: dict[str, bytes], place: str) -> SourceArrays:
    classes = variant.names(contents.pop(variant.meta), f"{place}/{variant.meta}")
    note = (
        f"CIFAR-100: the {len(classes)} fine classes are used; for the coarse ones, save an .npz file with "
        "coarse_labels as y_train and y_test (the code is in docs/data.md)"
    )
    train, test = (_part(variant, contents, name, place, len(classes)) for name in (variant.train, variant.test))
    return SourceArrays("cifar100", {"train": train, "test": test}, classes, notes=(note,))


def _part(variant: Cifar100Variant, contents: dict[str, bytes], name: str, place: str, classes: int) -> SplitArrays:
    where = f"{place}/{name}"
    batch = variant.batch(contents.pop(name), where, classes)
    images = batch.images.reshape(len(batch.labels), *SHAPE)
    return SplitArrays(FoundArray(images, where, "CHW"), FoundArray(batch.labels, where))


def _too_large(place: str) -> DataError:
    return DataError(f"{place}: found more than {display.size(_MAX_BYTES)}, expected 155 MB", "download it again")
