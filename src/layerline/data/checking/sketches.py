"""Sketches: every image as 32×32 grays, and as 64 numbers that hardly change with light, JPEG, or a small shift.

The numbers are histograms of the image's edges over eight directions in each of 4×4 overlapping cells, as square roots
(Hellinger) and whitened over the set, so that what all images have in common does not count. Mirroring an image only
changes the sign of some of the numbers: these are `odd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.system.workers import MATRICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet

SIDE: Final = 32
"""Rows and columns of a sketch."""
NUMBERS: Final = 64
CELLS: Final = 4
_WIDTH: Final = 0.55
"""Standard deviation of a cell's weights, in cells: they overlap, so that a shift moves edges over slowly."""
_MIRRORED: Final = (1, 0, 2, 3, 7, 6, 5, 4)
"""Directions right, left, down, up, and the diagonals, after mirroring."""
_BLOCK: Final = 1 << 18
_LEAST: Final = 1e-3
"""Fraction of the largest variance; below it, a principal component is noise, and is not amplified further."""


@dataclass(frozen=True, eq=False)
class Sketches:
    """The sketches of M images."""

    grays: NDArray[np.uint8]
    """(M, 32, 32): each stretched to the range 0 to 255."""
    even: NDArray[np.float32]
    """(M, …): the numbers that do not change when an image is mirrored."""
    odd: NDArray[np.float32]
    """(M, …): those whose sign changes. Each image's numbers have length 1, or 0 if it has only one gray."""


def sketches(parts: Sequence[tuple[ImageSet, NDArray[np.int64]]]) -> Sketches:
    """Return the sketches of some images of each set, concatenated."""
    grays = np.empty((sum(len(places) for _, places in parts), SIDE, SIDE), np.uint8)
    first = 0
    for source, places in parts:
        _, C, H, W = source.images.shape
        step = max(1, _BLOCK // (C * H * W))
        for start in range(0, len(places), step):
            some = source.images[places[start : start + step]]
            grays[first : first + len(some)] = _grays(some)
            first += len(some)
    with MATRICES:
        return Sketches(grays, *_whitened(_edges(grays)))


def averaging(size: int, parts: int) -> NDArray[np.float32]:
    """Return the matrix (parts, size) that averages `size` values to `parts`, by how much of each is in each part.

    If there are fewer values than parts, it interpolates between them linearly.
    """
    if parts >= size:
        at = np.clip((np.arange(parts) + 0.5) * size / parts - 0.5, 0, size - 1)
        return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size))), np.float32)
    edges = np.arange(parts + 1) * (size / parts)
    pixel = np.arange(size)
    within = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(within, 0) * (parts / size), np.float32)


def gradients(grays: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the differences of grays (n, H, W) to the right and down: central ones, one-sided at the edges."""
    right, down = np.zeros_like(grays), np.zeros_like(grays)
    right[:, :, 1:-1] = grays[:, :, 2:] - grays[:, :, :-2]
    right[:, :, 0], right[:, :, -1] = grays[:, :, 1] - grays[:, :, 0], grays[:, :, -1] - grays[:, :, -2]
    down[:, 1:-1] = grays[:, 2:] - grays[:, :-2]
    down[:, 0], down[:, -1] = grays[:, 1] - grays[:, 0], grays[:, -1] - grays[:, -2]
    return right, down


def _grays(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return images (n, C, H, W) as 32×32 grays; with more than 255 rows or columns, some are skipped."""
    H, W = images.shape[2:]
    some = images[:, :, :: max(1, H // (4 * SIDE)), :: max(1, W // (4 * SIDE))]
    gray = some.mean(axis=1, dtype=np.float32)
    if gray.dtype.kind == "f" and images.dtype.kind == "f":
        gray = np.nan_to_num(gray, nan=0.0, posinf=0.0, neginf=0.0)
    small = averaging(gray.shape[1], SIDE) @ (gray @ averaging(gray.shape[2], SIDE).T)
    low = small.min(axis=(1, 2), keepdims=True)
    spread = small.max(axis=(1, 2), keepdims=True) - low
    flat = spread <= 1e-3 * np.abs(small).max(axis=(1, 2), keepdims=True)
    return np.where(flat, 0, np.rint((small - low) * (255 / np.where(flat, 1, spread)))).astype(np.uint8)


def _edges(grays: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the square roots of the fractions of an image's edges by direction and cell: (M, 8 · 16)."""
    center = (np.arange(CELLS) + 0.5) * SIDE / CELLS
    one = np.exp(-0.5 * ((np.arange(SIDE) + 0.5 - center[:, None]) / (SIDE / CELLS * _WIDTH)) ** 2)
    pool = np.einsum("ph,qw->hwpq", one, one).reshape(SIDE * SIDE, -1).astype(np.float32)
    found = np.empty((len(grays), 8, CELLS * CELLS), np.float32)
    half = np.float32(np.sqrt(0.5))
    for first in range(0, len(grays), _BLOCK // (SIDE * SIDE)):
        at = slice(first, first + _BLOCK // (SIDE * SIDE))
        right, down = (each.reshape(-1, SIDE * SIDE) for each in gradients(grays[at].astype(np.float32)))
        for k, along in enumerate((right, down, (right + down) * half, (right - down) * half)):
            ahead = np.maximum(along, 0) @ pool
            found[at, 2 * k], found[at, 2 * k + 1] = ahead, np.maximum(ahead - along @ pool, 0)
    rows = found.reshape(len(grays), -1)
    roots: NDArray[np.float32] = np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-6))
    return roots


def _whitened(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the rows' 64 largest principal components, scaled to variance 1: the even ones and the odd ones.

    The covariance is that of the images and their mirror images, so even and odd components are uncorrelated.
    """
    flat = rows.any(axis=1)
    mirror = np.arange(rows.shape[1]).reshape(8, CELLS, CELLS)[list(_MIRRORED)][..., ::-1].ravel()
    mean = rows[flat].mean(axis=0) if flat.any() else rows.mean(axis=0)
    x = rows - (mean + mean[mirror]) / 2
    x[~flat] = 0
    bases = []
    for sign in (1, -1):
        fold = np.eye(len(mirror)) + sign * np.eye(len(mirror))[mirror]
        fold = fold[:, np.arange(len(mirror)) < mirror] if sign < 0 else fold[:, np.arange(len(mirror)) <= mirror]
        fold /= np.linalg.norm(fold, axis=0)
        folded = x @ fold.astype(np.float32)
        values, vectors = np.linalg.eigh((folded.T @ folded / len(x)).astype(np.float64))
        bases.append((values, fold @ vectors))
    values = np.concatenate([each for each, _ in bases])
    order = np.sort(values)[::-1]
    least, largest = order[min(NUMBERS, len(order)) - 1], max(float(order[0]), 1e-30)
    kept = [
        (x @ (base[:, size >= least] / np.sqrt(np.maximum(size[size >= least], largest * _LEAST)))).astype(np.float32)
        for size, base in bases
    ]
    length = np.sqrt(sum(np.einsum("md,md->m", each, each) for each in kept))[:, None]
    even, odd = (each / np.maximum(length, 1e-6) for each in kept)
    return even, odd
