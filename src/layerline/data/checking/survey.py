"""One pass over all images of a data set: a hash of the bytes, whether it has one color, and how few colors it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.part import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset, ImageSet, Split
    from layerline.data.part import SplitName

_BLOCK: Final = 2**20
"""Bytes of images that are examined together: they stay in the processor's cache for all checks."""
_WORD: Final = 8
_SEED: Final = 4
_GRID: Final = 12
"""Pixels per row and per column that are sampled for colors."""
SMALLEST: Final = 32
"""Minimum rows and columns: smaller images have too few pixels to tell a photo from a mask."""
_COLORS: Final = 4
"""The number of most frequent colors whose fractions are summed."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What the pass found about the M images of all splits, concatenated."""

    splits: NDArray[np.int8]
    """(M,): position in SPLITS."""
    indices: NDArray[np.int64]
    """(M,): index in the loaded data."""
    labels: NDArray[np.int32]
    keys: NDArray[np.uint64]
    """(M,): a hash, equal for equal images and nearly always different for others."""
    constant: NDArray[np.bool_]
    """(M,): whether every pixel of the image has the same color."""
    flatness: NDArray[np.float32] | None
    """(M,): the fraction of an image's pixels in its four most frequent colors; None if images are small."""

    def place(self, at: int) -> tuple[SplitName, int]:
        """Return the split and the index of the image at a position in these arrays."""
        return SPLITS[self.splits[at]], int(self.indices[at])


def survey(data: Dataset) -> Survey:
    """Examine every image of every split once, in memory order."""
    parts = [
        (place, split) for place, split in enumerate((data.train, data.validation, data.test)) if split is not None
    ]
    M = sum(len(split) for _, split in parts)
    big = min(data.shape[1:]) >= SMALLEST
    found = Survey(
        np.concatenate([np.full(len(split), place, np.int8) for place, split in parts]),
        np.concatenate([split.indices for _, split in parts]),
        np.concatenate([split.labels for _, split in parts]),
        np.empty(M, np.uint64),
        np.empty(M, np.bool_),
        np.empty(M, np.float32) if big else None,
    )
    first = 0
    for _, split in parts:
        weights = _weights(split.source)
        for images in _blocks(split):
            at = slice(first, first + len(images))
            found.keys[at] = _keys(images, weights)
            grid = _grid(images)
            found.constant[at] = _constant(images, grid)
            if found.flatness is not None:
                found.flatness[at] = _flatness(grid, split.source.maximum)
            first += len(images)
    return found


def _blocks(split: Split) -> Iterator[NDArray[Any]]:
    """Yield the images (n, C, H, W) of a split in order, n at a time, without changing their order in memory."""
    images = split.source.images
    if split.source.channels_last:
        images = images.transpose(0, 2, 3, 1)
    step = max(1, _BLOCK // (images[0].nbytes or 1))
    for start in range(0, len(split), step):
        chosen = split.indices[start : start + step]
        first, last = int(chosen[0]), int(chosen[-1])
        follow = last - first == len(chosen) - 1 and bool((np.diff(chosen) == 1).all())
        block = images[first : last + 1] if follow else images[chosen]
        yield block.transpose(0, 3, 1, 2) if split.source.channels_last else block


def _rows(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bytes of each image of a block, uint8 (n, bytes), without a copy."""
    last = images.strides[1] < images.strides[3]
    ordered = images.transpose(0, 2, 3, 1) if last else images
    rows: NDArray[np.uint8] = np.ascontiguousarray(ordered).reshape(len(images), -1).view(np.uint8)
    return rows


def _weights(source: ImageSet) -> NDArray[np.uint64]:
    """Return a random odd number for each word of an image's bytes, and one for the remaining bytes."""
    words = source.images[0].nbytes // _WORD + 1
    drawn: NDArray[np.uint64] = np.random.default_rng(_SEED).integers(0, 2**64, words, np.uint64)
    return drawn | np.uint64(1)


def _keys(images: NDArray[Any], weights: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return Σ wᵢ·(aᵢ ⊕ aᵢ/2³²) mod 2⁶⁴ over the words aᵢ of an image's bytes.

    Without the shift, images that differ only in the upper bytes of words would often have the same key: the product
    keeps only the bits of a difference from its lowest one up.
    """
    rows = _rows(images)
    whole = rows.shape[1] // _WORD * _WORD
    words = rows[:, :whole].view(np.uint64)
    keys: NDArray[np.uint64] = (words ^ (words >> np.uint64(32))) @ weights[:-1]
    if whole < rows.shape[1]:
        rest = np.zeros((len(rows), _WORD), np.uint8)
        rest[:, : rows.shape[1] - whole] = rows[:, whole:]
        tail = rest.view(np.uint64)[:, 0]
        keys += (tail ^ (tail >> np.uint64(32))) * weights[-1]
    return keys


def _grid(images: NDArray[Any]) -> NDArray[Any]:
    """Return evenly spaced pixels of each image: (n, C, rows · columns)."""
    n, C, H, W = images.shape
    down, right = -(-H // _GRID), -(-W // _GRID)
    return np.ascontiguousarray(images[:, :, down // 2 :: down, right // 2 :: right]).reshape(n, C, -1)


def _constant(images: NDArray[Any], grid: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which images have one color; only those whose grid has one are examined in full."""
    found: NDArray[np.bool_] = (grid == grid[:, :, :1]).all(axis=(1, 2))
    for k in np.flatnonzero(found):
        found[k] = (images[k] == images[k, :, :1, :1]).all()
    return found


def _flatness(grid: NDArray[Any], maximum: float) -> NDArray[np.float32]:
    """Return the fraction of each grid's pixels that have one of its four most frequent colors.

    Colors are reduced to 6 bits of gray or 5 bits per channel, and hashed to numbers below 256.
    """
    n, C, pixels = grid.shape
    if grid.dtype != np.uint8 or maximum != 255:
        grid = np.clip(grid * (255 / maximum), 0, 255).astype(np.uint8)
    if C == 1:
        colors = grid[:, 0] >> 2
    else:
        factors = np.array([1, 37, 101, 59], np.uint8)[:C, None]
        colors = ((grid[:, : len(factors)] >> 3) * factors).sum(axis=1, dtype=np.uint8)
    numbers = colors.astype(np.int32) + np.arange(0, 256 * n, 256, dtype=np.int32)[:, None]
    counts = np.bincount(numbers.ravel(), minlength=256 * n).reshape(n, 256).astype(np.uint8)
    most = np.partition(counts, -_COLORS, axis=1)[:, -_COLORS:]
    share: NDArray[np.float32] = most.sum(axis=1, dtype=np.float32) / np.float32(pixels)
    return share
