"""Near copies: the same image in different light, saved again, cropped, shifted, rotated a little, or mirrored.

The pairs whose 64 numbers are most similar are candidates (see `sketches`); what decides is how similar the two are
when aligned (see `alignment`). Copies of the same image form a group. docs/decisions/0008-near-copies.md has the
measurements from which every number here was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.checking import alignment
from layerline.data.checking.sketches import Sketches, sketches
from layerline.data.dataset import NearCopies
from layerline.system.workers import MATRICES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet
    from layerline.data.part import SplitName

SMALLEST: Final = 16
"""Minimum rows and columns: smaller images have too few pixels to tell copies from similar images."""
ALL_OF: Final = 16_384
"""Up to this many images, each is compared with every other by default: 1 s."""
ALL_OF_ARRAYS: Final = 2048
"""The same for arrays; with more, the comparison would take longer and more memory than reading them."""
PROBES: Final = 1024
"""Images of each set that are compared with all others if there are more."""
LIKE: Final = (0.85, 0.99)
"""The similarity from which on two images are near copies: usually, and in a class of uniformly similar images."""
ALIKE: Final = (0.42, 0.5)
"""Below the first, the images of a class are not similar; above the second, all are; in between, the limits are
interpolated. Measured as the mean of two medians of the similarity of random pairs: of this class and of all."""
MANY: Final = 0.25
"""The fraction of images with near copies from which on splits keep them together by default."""
FEWEST: Final = 10
"""With fewer images that have near copies, splits never keep them together by default."""

_PRODUCT: Final = (0.4, 0.9)
"""The minimum product of two images' numbers for a candidate, with the two cases of LIKE."""
_CANDIDATES: Final = 100_000
"""This many pairs, or two per image if that is more, are examined more closely: those with the largest products."""
_OF_A_PROBE: Final = 50
"""But at most this many for each image that is compared with all."""
_MOVED: Final = (0.6, 0.9)
"""The minimum correlation over shifts for aligning a pair, with the two cases of LIKE."""
_RANDOM: Final = 1000
_FEW: Final = 10
_BLOCK: Final = 2048
"""Block size of a matrix product: smaller products wait longer for their threads than they take."""
_AT_ONCE: Final = 512
"""Pairs that are correlated over shifts at once: about 5 MB."""
_TOGETHER: Final = 64
"""Pairs that are aligned at once: about 8 MB."""


@dataclass(frozen=True, eq=False)
class _Pairs:
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mirrored: NDArray[np.bool_]

    def __getitem__(self, at: slice | NDArray[np.bool_] | NDArray[np.int64]) -> _Pairs:
        return _Pairs(self.first[at], self.second[at], self.mirrored[at])

    def __len__(self) -> int:
        return len(self.first)


def looked_at(sets: Mapping[SplitName, ImageSet], *, every: bool = False) -> dict[SplitName, ImageSet]:
    """Return the sets with the near copies among all their images that have a class; unchanged if images are small.

    every: compare each image with every other, however many there are; otherwise only PROBES images of each set are
    compared if there are more than ALL_OF files, and none if there are more than ALL_OF_ARRAYS arrays.
    """
    sources = list({id(item): item for item in sets.values()}.values())
    places = [np.flatnonzero(item.labels >= 0) for item in sources]
    if any(min(item.images.shape[2:]) < SMALLEST for item in sources):
        return dict(sets)
    sizes = [len(each) for each in places]
    chosen = [np.ones(size, np.bool_) for size in sizes]
    if sum(sizes) > ALL_OF_ARRAYS and all(item.names is None for item in sources) and not every:
        return dict(sets)
    if sum(sizes) > ALL_OF and not every:
        for each in chosen:
            few = min(len(each), PROBES)
            each[:] = False
            each[np.arange(few) * len(each) // max(few, 1)] = True
    looked = np.concatenate(chosen)
    small = sketches(list(zip(sources, places, strict=True)))
    labels = np.concatenate([item.labels[at] for item, at in zip(sources, places, strict=True)])
    numbers = _grouped(len(looked), _near(small, labels, np.flatnonzero(looked)))
    found = {}
    for item, at, own, own_looked in zip(
        sources, places, np.split(numbers, np.cumsum(sizes)[:-1]), chosen, strict=True
    ):
        copies = NearCopies(np.full(len(item.labels), -1, np.int64), np.zeros(len(item.labels), np.bool_))
        copies.groups[at], copies.looked[at] = own, own_looked
        found[id(item)] = replace(item, near=copies)
    return {split: found[id(item)] for split, item in sets.items()}


def share(item: ImageSet) -> tuple[int, int]:
    """Return how many of the examined images of a set have near copies in it, and how many were examined.

    (0, 0) if none was examined.
    """
    if item.near is None:
        return 0, 0
    own = item.near.groups[item.near.groups >= 0]
    several = np.unique(own, return_counts=True)
    inside = np.isin(item.near.groups, several[0][several[1] > 1])
    return int((inside & item.near.looked).sum()), int(item.near.looked.sum())


@dataclass(frozen=True)
class Crossing:
    """Near copies in different splits."""

    held: tuple[tuple[int, int, int], ...]
    """For each split but the first: its position, how many of its images have a copy in an earlier one, out of what."""
    groups: list[list[int]]
    """Those images with their copies, by position among the concatenated images of all splits."""


def crossing(parts: Sequence[tuple[ImageSet, NDArray[np.int64]]], equal: set[int]) -> Crossing:
    """Return which images of later splits have near copies in earlier ones, without those `equal` to others."""
    copies = [item.near for item, _ in parts]
    groups = np.concatenate([each.groups[at] for each, (_, at) in zip(copies, parts, strict=True) if each is not None])
    looked = np.concatenate([each.looked[at] for each, (_, at) in zip(copies, parts, strict=True) if each is not None])
    groups[np.fromiter(equal, np.int64, len(equal))] = -1
    ranks = np.repeat(np.arange(len(parts)), [len(at) for _, at in parts])
    first = np.full(int(groups.max(initial=-1)) + 2, len(parts))
    np.minimum.at(first, groups, ranks)
    late = looked & (groups >= 0) & (ranks > first[groups])
    held = tuple(
        (rank, int((late & (ranks == rank)).sum()), int((looked & (ranks == rank)).sum()))
        for rank in range(1, len(parts))
    )
    crossed = np.isin(groups, groups[late])
    order = np.flatnonzero(crossed)[np.argsort(groups[crossed], kind="stable")]
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    return Crossing(held, [each.tolist() for each in np.split(order, edges) if len(each)])


def together(item: ImageSet) -> NDArray[np.int64]:
    """Return groups for splitting: near copies share the lowest key among them, other images keep their own."""
    keys = item.keys.copy()
    if item.near is not None:
        members = np.flatnonzero(item.near.groups >= 0)
        _, group = np.unique(item.near.groups[members], return_inverse=True)
        lowest = np.full(len(members), np.iinfo(np.uint64).max, np.uint64)
        np.minimum.at(lowest, group, keys[members])
        keys[members] = lowest[group]
    return keys.view(np.int64)


def _candidates(small: Sketches, probes: NDArray[np.int64]) -> _Pairs:
    """Return the pairs of a probe and another image whose numbers are most similar, mirrored or not.

    With e the even numbers of two images and o their odd ones, the product of the two is e·e′ + o·o′, and with one of
    them mirrored e·e′ − o·o′: the larger is e·e′ + |o·o′|.
    """
    M, least = len(small.grays), 1.0
    most = min(max(_CANDIDATES, 2 * len(probes)), _OF_A_PROBE * len(probes))
    pairs, products = np.empty((2, 0), np.int64), np.empty(0, np.float32)
    for rows, columns in _blocks(probes, M):
        with MATRICES:
            product, odd = small.even[rows] @ small.even[columns].T, small.odd[rows] @ small.odd[columns].T
        product += np.abs(odd, out=odd)
        found = np.flatnonzero(product > least)
        more = np.stack([rows[found // product.shape[1]], columns.start + found % product.shape[1]])
        apart = more[0] < more[1] if len(probes) == M else more[0] != more[1]
        pairs = np.concatenate([pairs, more[:, apart]], axis=1)
        products = np.concatenate([products, product.ravel()[found[apart]]])
        if len(products) > 2 * most:
            best = np.argpartition(products, -most)[-most:]
            pairs, products = pairs[:, best], products[best]
            least = float(products.min())
    best = np.argsort(-products, kind="stable")[:most]
    a, b = pairs[:, best]
    mirrored = [
        np.einsum("md,md->m", small.odd[a[k : k + _BLOCK]], small.odd[b[k : k + _BLOCK]]) < 0
        for k in range(0, len(a), _BLOCK)
    ]
    return _Pairs(a, b, np.concatenate([np.empty(0, np.bool_), *mirrored]))


def _blocks(probes: NDArray[np.int64], M: int) -> Iterator[tuple[NDArray[np.int64], slice]]:
    """Yield the blocks to multiply: probes by images; for all images by all, each pair of blocks once."""
    for start in range(0, len(probes), _BLOCK):
        for column in range(start if len(probes) == M else 0, M, _BLOCK):
            yield probes[start : start + _BLOCK], slice(column, min(column + _BLOCK, M))


def _near(small: Sketches, labels: NDArray[np.int32], probes: NDArray[np.int64]) -> _Pairs:
    """Return the pairs of a probe and another image that are near copies."""
    alike = _alike(small, labels)
    # Each divided by the root of its limit: then the product of any two must reach 1.
    scale = (1 / np.sqrt(_between(_PRODUCT, alike)))[:, None].astype(np.float32)
    pairs = _candidates(Sketches(small.grays, small.even * scale, small.odd * scale), probes)
    pairs, shifts, correlation = _shifted(small, pairs)
    strict = np.maximum(alike[pairs.first], alike[pairs.second])
    kept = correlation >= _between(_MOVED, strict)
    pairs, shifts, strict = pairs[kept], shifts[kept], strict[kept]
    return pairs[_likeness(small, pairs, shifts) >= _between(LIKE, strict)]


def _between(limits: tuple[float, float], alike: NDArray[np.float64]) -> NDArray[np.float64]:
    return limits[0] + (limits[1] - limits[0]) * alike


def _alike(small: Sketches, labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return how uniformly similar each image's class is, from 0 to 1, estimated from random pairs within classes.

    A class with fewer than _FEW random pairs gets the value of all classes together.
    """
    M = len(labels)
    a = np.random.default_rng(0).integers(0, M, _RANDOM)
    by_class = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    place = np.empty(M, np.int64)
    place[by_class] = np.arange(M)
    first = np.cumsum(counts) - counts
    own = labels[a]
    further = 1 + np.random.default_rng(1).integers(0, 2**32, _RANDOM) % np.maximum(counts[own] - 1, 1)
    b = by_class[first[own] + (place[a] - first[own] + further) % counts[own]]
    pairs, shifts, _ = _shifted(small, _Pairs(a, b, np.einsum("md,md->m", small.odd[a], small.odd[b]) < 0))
    found = _likeness(small, pairs, shifts)
    meant = (found > -1) & (pairs.first != pairs.second)
    found, own = found[meant], labels[pairs.first][meant]
    if not len(found):
        return np.zeros(M)
    middle = np.full(len(counts), np.median(found))
    for k in np.flatnonzero(np.bincount(own, minlength=len(counts)) >= _FEW):
        middle[k] = (middle[k] + np.median(found[own == k])) / 2
    return np.clip((middle - ALIKE[0]) / (ALIKE[1] - ALIKE[0]), 0, 1)[labels]


def _shifted(small: Sketches, pairs: _Pairs) -> tuple[_Pairs, NDArray[np.float32], NDArray[np.float32]]:
    """Return the pairs sorted by their first image, the shift with the largest correlation of each, and its value."""
    pairs = pairs[np.argsort(pairs.first, kind="stable")]
    shifts, correlation = np.empty((len(pairs), 2), np.float32), np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _AT_ONCE):
        at = slice(start, start + _AT_ONCE)
        first, of_first = np.unique(pairs.first[at], return_inverse=True)
        a, b = alignment.spectra(small.grays[first])[of_first], alignment.spectra(_second(small, pairs[at]))
        correlation[at], shifts[at] = alignment.moved(a, b)
    return pairs, shifts, correlation


def _likeness(small: Sketches, pairs: _Pairs, shifts: NDArray[np.float32]) -> NDArray[np.float32]:
    found = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _TOGETHER):
        at = slice(start, start + _TOGETHER)
        some = pairs[at]
        found[at] = alignment.likeness(small.grays[some.first], _second(small, some), shifts[at])
    return found


def _second(small: Sketches, pairs: _Pairs) -> NDArray[np.uint8]:
    """Return the sketches of the second images, flipped back if they are mirrored."""
    grays = small.grays[pairs.second]
    return np.where(pairs.mirrored[:, None, None], grays[:, :, ::-1], grays)


def _grouped(M: int, pairs: _Pairs) -> NDArray[np.int64]:
    """Return for each image the lowest position in its group of linked images, −1 if it is in none."""
    root = np.arange(M)
    while True:
        lower = np.minimum(root[pairs.first], root[pairs.second])
        before = root.copy()
        np.minimum.at(root, pairs.first, lower)
        np.minimum.at(root, pairs.second, lower)
        root = root[root]
        if np.array_equal(root, before):
            break
    found = np.full(M, -1, np.int64)
    both = np.concatenate([pairs.first, pairs.second])
    found[both] = root[both]
    return found
