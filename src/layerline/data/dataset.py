"""The data set that everything after LOAD uses: images in memory, their splits, and how pixels are scaled."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from layerline.data import overview
from layerline.data.folds import Fold, read_fold
from layerline.data.photos import path_keys
from layerline.errors import DataError, other_calls
from layerline.errors.python_terms import in_python

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.files.png import Figure

Fit = Literal["crop", "pad", "stretch"]
FITTED: Final[dict[Fit, str]] = {"crop": "cropped", "pad": "padded", "stretch": "stretched"}
"""Each fit as a participle, for messages."""


@dataclass(frozen=True, eq=False)
class NearCopies:
    """The near copies found among the N images of a set: see `near`."""

    groups: NDArray[np.int64]
    """int64 (N,): the number of each image's group of copies, shared by all sets of the data; −1 without copies."""
    looked: NDArray[np.bool_]
    """(N,): whether an image was compared with all others. In large sets only some are."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and labels as they were loaded. Splitting never copies them: a Split points into an ImageSet.

    images: uint8 or float32 (N, C, H, W), a view in which every image is contiguous either as C, H, W or as H, W, C,
            and the images follow each other without gaps. It may be memory-mapped and read-only.
    labels: int32 (N,), each in 0 … classes−1, or −1 for an image of a class that was not selected.
    """

    images: NDArray[Any]
    labels: NDArray[np.int32]
    maximum: float = 255.0
    """The largest value a pixel can have: the unit of brightness and contrast in augmentation."""
    names: Sequence[str] | None = None
    """The path of each image's file relative to the folder of the classes or splits, `cat/001.jpg`; None if the images
    do not come from files of their own."""
    groups: NDArray[np.int64] | None = None
    """int64 (N,): images with the same number stay in the same split."""
    deep: bool = False
    """Whether the images are files that were read with all 16 bits: `maximum` is then the largest value found."""
    near: NearCopies | None = None
    """The near copies among the images, if they were looked for."""
    cache: Path | None = None
    """The folder where results computed from the images may be cached, if there is one."""

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """Return the key by which each image is drawn into a split, uint64 (N,): a hash of its name, or its index."""
        return np.arange(len(self.labels), dtype=np.uint64) if self.names is None else path_keys.keys(self.names)

    @property
    def channels_last(self) -> bool:
        """Whether the images are stored as H, W, C."""
        return channels_last(self.images)


def channels_last(images: NDArray[Any]) -> bool:
    """Return whether images (N, C, H, W) are stored as H, W, C (with one channel both orders are the same: False)."""
    _, C, H, W = images.shape
    return C > 1 and images.strides[1] == images.itemsize and H * W > 1


@dataclass(frozen=True, eq=False)
class Split:
    """Some images of a set, by index, in the order in which they are evaluated.

    indices: int64 (M,), ascending unless the caller chose otherwise; each is an image's index in the loaded data.
    """

    source: ImageSet
    indices: NDArray[np.int64]

    def __repr__(self) -> str:
        """Return the number of images, because the arrays would fill the screen."""
        return f"Split({len(self):,d} images)"

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.indices)

    @property
    def images(self) -> NDArray[Any]:
        """Return these images as loaded, uint8 or float32 (M, C, H, W), read-only; `Dataset.scaling` is not applied.

        They are a view if they follow each other in the loaded data, otherwise a copy.
        """
        first, count = int(self.indices[0]) if len(self) else 0, len(self)
        follow = bool((self.indices == np.arange(first, first + count)).all())
        found = self.source.images[first : first + count] if follow else self.source.images[self.indices]
        found.flags.writeable = False
        return found

    @property
    def labels(self) -> NDArray[np.int32]:
        """Return the labels of these images, int32 (M,)."""
        return self.source.labels[self.indices]


@dataclass(frozen=True)
class Scaling:
    """How a stored value becomes the network's input: x = value · scale[c] + shift[c], in float32, rounded twice."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def apply(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 (N, C, H, W): the reference that every engine's loader must match bit for bit."""
        scale = np.asarray(self.scale, np.float32)[None, :, None, None]
        shift = np.asarray(self.shift, np.float32)[None, :, None, None]
        return images.astype(np.float32) * scale + shift


@dataclass(frozen=True, eq=False)
class Example:
    """An image as stored in its file, and resized to the common size."""

    name: str
    """The path of the file."""
    original: NDArray[Any]
    """uint8 or uint16 (h, w) or (h, w, 3), upright and complete, scaled down."""
    fitted: NDArray[Any]
    """The same type, (H, W) or (H, W, 3)."""


@dataclass(frozen=True)
class Resized:
    """How image files of one or many sizes were resized to one."""

    sizes: int
    """How many different sizes were found."""
    smallest: tuple[int, int]
    """(H, W) of the image with the fewest pixels."""
    largest: tuple[int, int]
    """(H, W) of the image with the most pixels."""
    size: tuple[int, int]
    """(H, W) of all images after resizing."""
    fit: Fit
    cut: float = 0.0
    """The fraction of an image that a crop to this size removes, on average, whatever the fit is."""
    examples: tuple[Example, ...] = field(default=(), compare=False, repr=False)
    """Some images that lose something in a crop."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set, divided into splits. Classes have names; label k is classes[k]."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split | None
    scaling: Scaling
    fingerprint: str
    """SHA-256 (hex) of the content that was loaded, before any split."""
    notes: tuple[str, ...] = field(default=())
    """Notes to print: automatic choices, each with the flag that changes it."""
    cuts: dict[str, Any] = field(default_factory=dict)
    """The options of `load_data` that reproduce these splits, defaults included; `test` and `validation` are missing
    if the data came with that split, because then there is nothing to choose."""
    resized: Resized | None = None
    """None if every image has its original size."""
    skipped: tuple[str, ...] = ()
    """Files skipped by --skip-bad, each with the reason."""
    with_test: Callable[[Fold], Dataset] | None = None
    """Splits the same images with another fold as the test set; None if the test set is not a fold."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of an image."""
        _, C, H, W = self.train.source.images.shape
        return C, H, W

    @property
    def splits(self) -> dict[str, Split]:
        """Return the splits that there are by their names: train, validation, test."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in found.items() if split is not None}

    def folds(self) -> tuple[Dataset, ...]:
        """Return this data with each of its folds as the test set, if it was loaded with one, such as test="1/5".

        Raises DataError if it was not, or if near copies cannot be kept together in every one of them.
        """
        fold = read_fold(self.cuts.get("test"))
        if self.with_test is None or not isinstance(fold, Fold):
            raise DataError("the test set is not a fold", 'five folds: load_data(…, test="1/5").folds()')
        found = tuple(self.with_test(Fold(k, fold.of)) for k in range(1, fold.of + 1))
        if len({each.cuts.get("group_by") for each in found}) > 1:
            raise DataError(
                f"{fold.of} folds: in some, a class has too few groups to keep near copies together",
                "use fewer folds, or --group-by none to split image by image",
            )
        return found

    def show(self, augment: str | None = None, seed: int = 0) -> Figure:
        """Return sample images of each class as a figure; in a notebook it displays itself.

        augment: also show versions with these random changes, as in training with this seed. Raises RecipeError.
        """
        import layerline

        return layerline.samples_figure(self, augment, seed)

    if not TYPE_CHECKING:  # where an unknown attribute is an error already
        __getattr__ = other_calls.missing("Dataset")

    def __repr__(self) -> str:
        """Return name, shape, sizes of the splits and classes, and the notes."""
        return "\n".join([overview.headline(self), *(in_python(note) for note in self.notes)])

    def _repr_html_(self) -> str:
        """Return the number of images per class and split as HTML for a notebook."""
        return overview.as_html(self)
