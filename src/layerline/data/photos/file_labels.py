"""The class of each image file, and optionally its split and group, if folders do not stand for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from layerline.data.part import SPLITS
from layerline.data.photos.image_names import in_order
from layerline.errors import DataError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.data.part import SplitName
    from layerline.data.photos.layout_refusal import Folders


@dataclass(frozen=True)
class FileLabel:
    """The label of a file, its split, and its group if it has one."""

    label: str
    split: SplitName
    group: str = ""


@dataclass
class FileLabels:
    """The labels of image files by their paths; files without one are not used."""

    of: dict[str, FileLabel]
    digest: str
    """A text that differs if the labels do."""
    unlisted: str
    """What files without a label are called in notes."""
    has_groups: bool = False
    notes: tuple[str, ...] = ()
    top: int = 0
    """Number of outer folders omitted from the names of images."""
    tables: tuple[str, ...] = ()
    """The paths, below the folder of the images, of the tables that these labels are from."""

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Return the training classes, in order."""
        return in_order({each.label for each in self.of.values() if each.split == "train"})

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """Return the splits that occur."""
        named = {each.split for each in self.of.values()}
        return tuple(split for split in SPLITS if split in named)

    def check(self, place: str) -> None:
        """Raise DataError if a label occurs only outside training."""
        known = set(self.classes)
        for path, each in self.of.items():
            if each.label not in known:
                near = spelling.nearest(each.label, self.classes)
                raise DataError(
                    f"{place}: {display.name(path, 100)} has the label {display.name(each.label)}; "
                    f"expected a class in train: {', '.join(display.name(name, 30) for name in self.classes[:8])}",
                    f"did you mean {display.name(near)}?" if near else "add training images of it",
                )

    def row(self, folders: Folders, name: str) -> FileLabel | None:
        """Return the label of a file, None if it has none."""
        return self.of.get("/".join((*folders, name)))

    def rank(self, folders: Folders, name: str) -> tuple[int, int]:
        """Return the index of the split and the class of a file: the order of the data set."""
        found = self.row(folders, name)
        assert found is not None  # noqa: S101 - files without a label are not read
        return SPLITS.index(found.split), self._numbers[found.label]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.classes)}
