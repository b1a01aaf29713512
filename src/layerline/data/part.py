"""What a reader hands on: arrays as the file held them, each with what messages call it."""

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
    """What was learned of an array when it was written."""

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
    """How an image with channels lies in it, where that is known without looking at the sizes."""
    known: Digested | None = None


@dataclass(frozen=True, eq=False)
class SplitArrays:
    """The images of one split and their labels, not yet checked against each other."""

    images: FoundArray
    labels: FoundArray
    names: Sequence[str] | None = None
    """The path of each image's file, below the folder of the classes or splits."""
    groups: NDArray[np.int64] | None = None
    """See `dataset.ImageSet.groups`."""


@dataclass(frozen=True, eq=False)
class SourceArrays:
    """All that a source brings."""

    name: str
    splits: dict[SplitName, SplitArrays]
    """`train` is always there."""
    classes: tuple[str, ...] | None = None
    """The names of the classes, where they are known without looking at the labels."""
    maximum: float | None = None
    """The largest value a pixel can have, where it is known without looking at the type."""
    last_for_test: int = 0
    """How many images at the end of `train` are the test set by agreement."""
    official: dict[tuple[SplitName, str], str] = field(default_factory=dict)
    """SHA-256 of arrays (see `content.digest`) by split and `images` or `labels`, where they are published."""
    notes: tuple[str, ...] = ()
    resized: Resized | None = None
    skipped: tuple[str, ...] = ()
    deep: bool = False
    """Whether the images are files whose 16 bits were kept."""
    of_files: bool = False
    """Whether the images were files of their own."""
