"""The output of a data reader: arrays as stored in the file, each with the place that messages name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from layerline.data.dataset import Resized

SplitName = Literal["train", "validation", "test"]
SPLITS: Final[tuple[SplitName, ...]] = ("train", "validation", "test")


@dataclass(frozen=True)
class Digested:
    """Facts about an array that were computed when it was written: its digest and its range."""

    digest: str
    """See `content.digest`."""
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class FoundArray:
    """An array, and where it was found: `photos.npz: x_train`."""

    array: NDArray[Any]
    place: str
    order: Literal["CHW", "HWC"] | None = None
    """The axis order of an image with channels, if it is known without looking at the sizes."""
    known: Digested | None = None


@dataclass(frozen=True, eq=False)
class SplitArrays:
    """The images of one split and their labels, not yet checked against each other."""

    images: FoundArray
    labels: FoundArray
    names: Sequence[str] | None = None
    """The path of each image's file, relative to the folder of the classes or splits."""
    groups: NDArray[np.int64] | None = None
    """See `dataset.ImageSet.groups`."""


@dataclass(frozen=True, eq=False)
class SourceArrays:
    """Everything that was read from one data source."""

    name: str
    splits: dict[SplitName, SplitArrays]
    """`train` is always present."""
    classes: tuple[str, ...] | None = None
    """The names of the classes, if they are known without looking at the labels."""
    maximum: float | None = None
    """The largest value a pixel can have, if it is known without looking at the type."""
    last_for_test: int = 0
    """How many images at the end of `train` are the test set by convention."""
    official: dict[tuple[SplitName, str], str] = field(default_factory=dict)
    """The published SHA-256 of arrays (see `content.digest`) by split and `images` or `labels`."""
    notes: tuple[str, ...] = ()
    resized: Resized | None = None
    skipped: tuple[str, ...] = ()
    deep: bool = False
    """Whether the images are files that were read with all 16 bits."""
    of_files: bool = False
    """Whether each image came from its own file."""
