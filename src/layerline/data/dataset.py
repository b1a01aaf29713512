"""What every part after LOAD takes: images as they lie in memory, which are for what, how bytes become numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from layerline.data.photos import path_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Fit = Literal["crop", "pad", "stretch"]
FITTED: Final[dict[Fit, str]] = {"crop": "cropped", "pad": "padded", "stretch": "stretched"}
"""What was done to an image."""


@dataclass(frozen=True, eq=False)
class NearCopies:
    """What a look for near copies found among N images of a set: see `near`."""

    groups: NDArray[np.int64]
    """int64 (N,): a number for each group of copies, the same in all sets of the data; −1 where an image has none."""
    looked: NDArray[np.bool_]
    """(N,): whether an image was compared with all others. Of large sets only some are."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and labels as they were loaded. Cuts never copy them: a Split points into one.

    images: uint8 or float32 (N, C, H, W), a view in which every image is contiguous either as C, H, W or as H, W, C,
            and the images follow each other without a gap. It may be memory-mapped and read-only.
    labels: int32 (N,), each in 0 … classes−1, or −1 for an image of a class that was not asked for.
    """

    images: NDArray[Any]
    labels: NDArray[np.int32]
    maximum: float = 255.0
    """The largest value that a pixel can have: what augmentation measures brightness and contrast by."""
    names: Sequence[str] | None = None
    """The path of each image's file below the folder of the classes or splits, `cat/001.jpg`; None where the images
    have no files of their own."""
    groups: NDArray[np.int64] | None = None
    """int64 (N,): images of one number stay on one side of every cut."""
    deep: bool = False
    """Whether the images are files whose 16 bits were kept: `maximum` is then the largest that was found."""
    near: NearCopies | None = None
    """The near copies among the images, where they were looked for."""

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """Return what each image is known by when cuts are drawn, uint64 (N,): a hash of its name, else its index."""
        return np.arange(len(self.labels), dtype=np.uint64) if self.names is None else path_keys.keys(self.names)

    @property
    def channels_last(self) -> bool:
        """Whether an image lies in memory as H, W, C (with one channel both orders are the same: False)."""
        _, C, H, W = self.images.shape
        return C > 1 and self.images.strides[1] == self.images.itemsize and H * W > 1


@dataclass(frozen=True, eq=False)
class Split:
    """Some images of a set, by index, in the order in which they are evaluated.

    indices: int64 (M,), ascending unless a caller wants otherwise; each is an image's index in the loaded data.
    """

    source: ImageSet
    indices: NDArray[np.int64]

    def __repr__(self) -> str:
        """Return the number of images: the arrays would fill a screen."""
        return f"Split({len(self):,d} images)"

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.indices)

    @property
    def labels(self) -> NDArray[np.int32]:
        """Return the labels of these images, int32 (M,)."""
        return self.source.labels[self.indices]


@dataclass(frozen=True)
class Scaling:
    """How a stored value becomes what the network sees: x = value · scale[c] + shift[c], in float32, two roundings."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def apply(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 (N, C, H, W): the reference that every engine's loader must equal bit for bit."""
        scale = np.asarray(self.scale, np.float32)[None, :, None, None]
        shift = np.asarray(self.shift, np.float32)[None, :, None, None]
        return images.astype(np.float32) * scale + shift


@dataclass(frozen=True, eq=False)
class Example:
    """An image as its file has it, and as it was brought to the size of all."""

    name: str
    """The path of the file."""
    original: NDArray[Any]
    """uint8 or uint16 (h, w) or (h, w, 3), upright and whole, made smaller."""
    fitted: NDArray[Any]
    """The same type, (H, W) or (H, W, 3)."""


@dataclass(frozen=True)
class Resized:
    """How image files of one or many sizes were brought to one."""

    sizes: int
    """How many different sizes were found."""
    smallest: tuple[int, int]
    """(H, W) of the image of the fewest pixels."""
    largest: tuple[int, int]
    """(H, W) of the image of the most pixels."""
    size: tuple[int, int]
    """(H, W) of all of them now."""
    fit: Fit
    cut: float = 0.0
    """The share of an image that a crop to this size cuts away, on average, whatever the fit is."""
    examples: tuple[Example, ...] = field(default=(), compare=False, repr=False)
    """Some images of which a crop cuts away something."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set cut into its splits. Classes have names; label k is classes[k]."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split | None
    scaling: Scaling
    fingerprint: str
    """SHA-256 (hex) of the content that was loaded, before any cut."""
    notes: tuple[str, ...] = field(default=())
    """Sentences for the screen: what was assumed, each with the flag that changes it."""
    cuts: dict[str, Any] = field(default_factory=dict)
    """The options of `load_data` that make these cuts again, defaults written out; `test` and `validation` are missing
    where the data brought that set, for then there is nothing to choose."""
    resized: Resized | None = None
    """None where every image is as large as its file has it."""
    skipped: tuple[str, ...] = ()
    """Files that --skip-bad left out, each with its reason."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of an image."""
        _, C, H, W = self.train.source.images.shape
        return C, H, W
