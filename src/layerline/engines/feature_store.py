"""The features of images: the values at the end of a frozen part, computed at an image's first use and stored.

They never change, so they are computed once, by the forward-only Program, and held as float32: 4 bytes per value, 5 kB
per image for 1,280 of them. If epochs flip images, an image N + k is image k mirrored, with features of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.compiler.code_key import key_of
from layerline.compiler.folding import folded_weights
from layerline.compiler.machine import host
from layerline.data.dataset import ImageSet, channels_last
from layerline.engines.feature_cache import FeatureCache
from layerline.engines.features import values_predictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import Scaling
    from layerline.engines.arena import Memory
    from layerline.engines.predictor import Predictor
    from layerline.network import Network
    from layerline.recipe import Recipe

WORK: Final = 1 << 33
"""Multiply-adds between checks for a stop request: a tenth of a second."""
WORTH: Final = 1 << 32
"""Multiply-adds, a twentieth of a second, from which features are looked for in the cache and stored there."""
_DIGESTS: Final = 256
"""Images whose digests are computed between checks for a stop request."""
_SETS: Final = 4
"""Maximum sets of images whose features are held: those of training, validation and test, and another."""


@final
@dataclass(eq=False)
class Features:
    """The features of the images of a set, as far as they were computed."""

    images: ImageSet
    values: NDArray[np.float32]
    """(N, C, H, W), or (2N, C, H, W) with those of mirrored images."""
    known: NDArray[np.bool_]
    """(N,) or (2N,)."""

    @property
    def set(self) -> ImageSet:
        """Return the features as images with the labels of theirs."""
        names, groups = self.images.names, self.images.groups
        labels = self.images.labels
        if len(self.values) > len(labels):
            return ImageSet(self.values, np.concatenate((labels, labels)))
        return ImageSet(self.values, labels, names=names, groups=groups)

    def pixels(self, rows: NDArray[np.int64]) -> ImageSet:
        """Return the images of some rows, mirrored where they are; their labels are not set."""
        N = len(self.images.labels)
        source, last = self.images.images, self.images.channels_last
        stored = source.transpose(0, 2, 3, 1) if last else source
        some = stored[rows % N]
        turned, axis = rows >= N, 2 if last else 3
        some[turned] = np.flip(some[turned], axis)
        return ImageSet(some.transpose(0, 3, 1, 2) if last else some, np.zeros(len(rows), np.int32))


@final
class FeatureStore:
    """Computes the features of images with the current weights of a frozen part, each once."""

    def __init__(
        self, network: Network, shape: tuple[int, int, int], scaling: Scaling, recipe: Recipe, threads: int
    ) -> None:
        """Prepare. network: the frozen part. shape: (C, H, W) of the features, as the head reads them."""
        self.network, self._shape, self._threads = network, shape, threads
        self._scaling, self._recipe = scaling, recipe
        self._flips = recipe.augment is not None
        self._weights: dict[str, NDArray[Any]] = {}
        self._memory: dict[Predictor, Memory] = {}
        self._predictors: dict[tuple[np.dtype[Any], bool], Predictor] = {}
        self._found: list[Features] = []
        self._stopping = False

    @property
    def weights(self) -> dict[str, NDArray[Any]]:
        """Return the weights."""
        return self._weights

    def set_weights(self, weights: dict[str, NDArray[Any]]) -> None:
        """Set the weights; with others than before, the features are computed anew."""
        if not _equal(weights, self._weights):
            self._weights = {name: np.array(array) for name, array in weights.items()}
            self._memory, self._found = {}, []

    def stop(self) -> None:
        """Ask a stoppable `features` to return."""
        self._stopping = True

    def holds(self, images: ImageSet) -> bool:
        """Return whether there is memory for the features of a set."""
        return any(each.images is images for each in self._found)

    def of(self, images: ImageSet) -> Features:
        """Return the features of a set, none of them computed if it is new."""
        for each in self._found:
            if each.images is images:
                return each
        count = len(images.labels) * (2 if self._flips else 1)
        found = Features(images, np.empty((count, *self._shape), np.float32), np.zeros(count, bool))
        self._found = [*self._found[1 - _SETS :], found]
        return found

    def features(self, images: ImageSet, rows: NDArray[np.int64], *, stoppable: bool = False) -> ImageSet | None:
        """Return the features of a set, those at `rows` computed; None if that was stopped."""
        found = self.of(images)
        missing = np.unique(rows[~found.known[rows]])
        cache = self._cache(images, len(missing))
        digests = {} if cache is None else self._recalled(found, missing, cache, stoppable=stoppable)
        missing = missing[~found.known[missing]]
        step = max(self._threads, WORK // max(1, self.network.multiply_adds))
        for first in range(0, len(missing), step):
            if stoppable and self._stopping:
                break
            some = missing[first : first + step]
            found.values[some] = self._computed(found, some)
            found.known[some] = True
        new = missing[found.known[missing]]
        if cache is not None and len(new):
            cache.keep([digests[row] for row in new.tolist()], found.values[new].reshape(len(new), -1))
        stopped, self._stopping = stoppable and self._stopping and not found.known[rows].all(), False
        return None if stopped else found.set

    def computed(self, images: ImageSet, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features of the images at `indices`, (M, C, H, W), which are not stored."""
        predictor = self.predictor_for(images.images)
        values = predictor.values(self._weighed(predictor), images, np.ascontiguousarray(indices))
        return values.reshape(len(indices), *self._shape)

    def predictor_for(self, images: NDArray[Any]) -> Predictor:
        """Return the code that computes the features of images of this type and memory layout."""
        key = (images.dtype, channels_last(images))
        if key not in self._predictors:
            made = values_predictor(self.network, self._scaling, self._recipe, images, self._threads)
            self._predictors[key] = made
        return self._predictors[key]

    def _computed(self, found: Features, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if (rows < len(found.images.labels)).all():
            return self.computed(found.images, rows)
        return self.computed(found.pixels(rows), np.arange(len(rows), dtype=np.int64))

    def _weighed(self, predictor: Predictor) -> Memory:
        if predictor not in self._memory:
            self._memory[predictor] = predictor.weighed(folded_weights(self.network, self._weights))
        return self._memory[predictor]

    def _cache(self, images: ImageSet, count: int) -> FeatureCache | None:
        """Return the cache for the features of that many images of a set; None if there is none, or it is not worth
        it."""
        if images.cache is None or count * self.network.multiply_adds < WORTH:
            return None
        predictor = self.predictor_for(images.images)
        code = key_of(predictor.compiled.schedule, host())
        if code is None:
            return None
        digest = hashlib.sha256(code)
        digest.update(self._weighed(predictor).arena.data)
        for name, array in sorted(predictor.constants.items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
        return FeatureCache(images.cache, digest.digest(), int(np.prod(self._shape)))

    def _recalled(
        self, found: Features, missing: NDArray[np.int64], cache: FeatureCache, *, stoppable: bool
    ) -> dict[int, bytes]:
        """Fill in what is cached, and return the digest of each missing row, or of some if that was stopped."""
        digests: dict[int, bytes] = {}
        for first in range(0, len(missing), _DIGESTS):
            if stoppable and self._stopping:
                return digests
            some = missing[first : first + _DIGESTS]
            stored = found.pixels(some)
            digests.update(zip(some.tolist(), cache.digests(stored, self._threads), strict=True))
        recalled = cache.find(list(digests.values()))
        for place, values in recalled.items():
            row = missing[place]
            found.values[row], found.known[row] = values.reshape(self._shape), True
        return digests


def _equal(a: dict[str, NDArray[Any]], b: dict[str, NDArray[Any]]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)
