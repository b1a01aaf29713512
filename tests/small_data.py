"""Small data sets that can be learned: each class has a pattern of its own under noise."""

from __future__ import annotations

import numpy as np

from layerline.data.dataset import Dataset, ImageSet, Scaling, Split

SHAPE = (1, 6, 6)


def images(n: int, K: int = 3, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> ImageSet:
    """Return n images: class k has a bright band at a place of its own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % K
    pixels = rng.integers(0, 90, (n, *shape))
    band = shape[1] // K
    for k in range(K):
        pixels[labels == k, :, k * band : (k + 1) * band] += 150
    return ImageSet(pixels.astype(np.uint8), labels.astype(np.int32))


def dataset(train: int = 70, validation: int | None = 20, test: int | None = 25, K: int = 3) -> Dataset:
    """Return a data set whose splits point into one set of images, train first."""
    sizes = [train, validation or 0, test or 0]
    source = images(sum(sizes), K)
    first, second = train, train + sizes[1]

    def split(start: int, end: int) -> Split:
        return Split(source, np.arange(start, end, dtype=np.int64))

    return Dataset(
        "bands",
        tuple("abcdefghij"[:K]),
        split(0, first),
        split(first, second) if validation else None,
        split(second, sum(sizes)) if test else None,
        Scaling((1 / 255,), (0.0,)),
        "0" * 64,
    )
