"""An engine for a network that begins with a frozen part, whose values are computed once for each image.

The network is divided at the last value of its frozen part. The values there are the features of an image: they never
change, so they are computed at an image's first use, by the forward-only Program, and stored as float32. What follows
is a network of its own, trained by a compiled engine as if the features were images. Features in memory take 4 bytes
per value: 5 kB per image for 1,280 of them.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, final

import numpy as np

from layerline.compiler.folding import folded_weights
from layerline.data.dataset import ImageSet, Scaling, Split, channels_last
from layerline.engines.arena import memory_of
from layerline.engines.compiled import CompiledEngine
from layerline.engines.features import values_predictor
from layerline.engines.interface import Engine, State
from layerline.engines.ranks import ALONE
from layerline.system.cores import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.engines.arena import Memory
    from layerline.engines.epoch import Epoch
    from layerline.engines.interface import Outputs, Running
    from layerline.engines.predictor import Predictor
    from layerline.engines.ranks import Ranks
    from layerline.network import Network
    from layerline.recipe import Recipe

WORK: Final = 1 << 33
"""Multiply-adds between checks for a stop request: a tenth of a second."""
_SETS: Final = 4
"""Maximum sets of images whose features are held: those of training, validation and test, and another."""


@dataclass(eq=False)
class _Features:
    """The features of the images of a set, as far as they were computed."""

    images: ImageSet
    values: NDArray[np.float32]
    """(N, C, H, W)."""
    known: NDArray[np.bool_]
    """(N,)."""

    @property
    def set(self) -> ImageSet:
        """Return the features as images with the labels of theirs."""
        return ImageSet(self.values, self.images.labels, names=self.images.names, groups=self.images.groups)


@final
class FeatureEngine(Engine):
    """Trains what follows the frozen part of a network, with the bits of a training without stored features.

    Only Dropout differs: its random numbers depend on the position of its layer, which is that in the head.
    """

    name: ClassVar[str] = "compiled"

    def __init__(
        self,
        network: Network,
        scaling: Scaling,
        recipe: Recipe,
        threads: int | None = None,
        *,
        ranks: Ranks = ALONE,
    ) -> None:
        """Prepare. network: `frozen_end` is not 0."""
        from layerline.network import initial_weights

        self._whole, self._scaling, self._recipe = network, scaling, recipe
        self._threads, self.ranks = threads or cores(), ranks
        self._frozen, head = network.until(network.frozen_end), network.after(network.frozen_end)
        C = head.input_shape[0]
        plain = Scaling((1.0,) * C, (0.0,) * C)
        self._head = CompiledEngine(head, plain, recipe, threads, ranks=ranks)
        self._weights: dict[str, NDArray[Any]] = {}
        self._memory: dict[Predictor, Memory] = {}
        self._predictors: dict[tuple[np.dtype[Any], bool], Predictor] = {}
        self._found: list[_Features] = []
        self._stopping = False
        weights = initial_weights(network, recipe.seed, recipe.init)
        self.set_state(State(weights, self._head.state().optimizer).with_averaged(weights))

    def train(self, epoch: Epoch, first: int) -> int:
        """Run steps as `Engine.train`; 0 if `stop` was called while features were computed."""
        features = self._features(epoch.images, epoch.order, stoppable=True)
        if features is None:
            return 0
        return self._head.train(dataclasses.replace(epoch, images=features), first)

    def prepare(self, images: ImageSet) -> None:
        """Generate the machine code for both parts."""
        self._predictor_for(images.images)
        self._head.prepare(self._of(images).set)

    def prepared(self, images: ImageSet) -> bool:
        """Return whether everything needed to train on these images is already allocated."""
        return any(each.images is images for each in self._found) and self._head.prepared(self._of(images).set)

    def memory(self, images: ImageSet, batch_size: int) -> int:
        """Return the bytes that training on these images needs, their features included."""
        schedule = self._predictor_for(images.images).compiled.schedule
        features = 4 * len(images.labels) * math.prod(self._frozen.nodes[-1].shape)
        return features + memory_of(schedule, self._threads) + self._head.memory(self._of(images).set, batch_size)

    def facts(self) -> dict[str, Any]:
        """Return what the results depend on, as the compiled engine does."""
        return self._head.facts()

    def progress(self) -> int:
        """Return the number of steps done by the current or last call of `train`."""
        return self._head.progress()

    def stop(self) -> None:
        """Ask a running `train` to return."""
        self._stopping = True
        self._head.stop()

    @property
    def diverged_step(self) -> int | None:
        """Return the step of the last `train` call at which the loss was not finite, or None."""
        return self._head.diverged_step

    def running(self) -> Running:
        """Return what the steps since `reset_running` have accumulated."""
        return self._head.running()

    def set_running(self, running: Running) -> None:
        """Continue accumulating from there."""
        self._head.set_running(running)

    def evaluate(self, split: Split) -> Outputs:
        """Return probabilities and losses of every image of `split` with the current weights."""
        features = self._features(split.source, split.indices)
        assert features is not None  # noqa: S101 - it was not stoppable
        return self._head.evaluate(Split(features, split.indices))

    def probabilities(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities of images (N, C, H, W), whose features are not stored."""
        n = len(images)
        source = ImageSet(images, np.zeros(n, np.int32))
        return self._head.probabilities(self._computed(source, np.arange(n, dtype=np.int64)))

    def state(self) -> State:
        """Return a copy of the weights, frozen ones included, and of the optimizer's tensors."""
        head = self._head.state()
        weights = {**{name: array.copy() for name, array in self._weights.items()}, **head.weights}
        return State({name: weights[name] for name in self._whole.weights}, head.optimizer)

    def set_state(self, state: State) -> None:
        """Set weights and optimizer tensors; with other frozen weights, the features are computed anew."""
        frozen = {name: state.weights[name] for name in self._frozen.weights}
        if not _equal(frozen, self._weights):
            self._weights = {name: np.array(array) for name, array in frozen.items()}
            self._memory, self._found = {}, []
        trained = {name: array for name, array in state.weights.items() if name not in frozen}
        self._head.set_state(State(trained, state.optimizer))

    def _features(self, images: ImageSet, indices: NDArray[np.int64], *, stoppable: bool = False) -> ImageSet | None:
        """Return the features of a set, those at `indices` computed; None if that was stopped."""
        found = self._of(images)
        missing = np.unique(indices[~found.known[indices]])
        step = max(self._threads, WORK // max(1, self._frozen.multiply_adds))
        for first in range(0, len(missing), step):
            if stoppable and self._stopping:
                break
            some = missing[first : first + step]
            found.values[some] = self._computed(images, some)
            found.known[some] = True
        stopped, self._stopping = stoppable and self._stopping and not found.known[indices].all(), False
        return None if stopped else found.set

    def _of(self, images: ImageSet) -> _Features:
        """Return the features of a set, none of them computed if it is new."""
        for each in self._found:
            if each.images is images:
                return each
        C, H, W = self._head_shape
        found = _Features(
            images, np.empty((len(images.labels), C, H, W), np.float32), np.zeros(len(images.labels), bool)
        )
        self._found = [*self._found[1 - _SETS :], found]
        return found

    @property
    def _head_shape(self) -> tuple[int, int, int]:
        return self._whole.after(self._whole.frozen_end).input_shape

    def _computed(self, images: ImageSet, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features of the images at `indices`, (M, C, H, W)."""
        predictor = self._predictor_for(images.images)
        if predictor not in self._memory:
            self._memory[predictor] = predictor.weighed(folded_weights(self._frozen, self._weights))
        values = predictor.values(self._memory[predictor], images, np.ascontiguousarray(indices))
        return values.reshape(len(indices), *self._head_shape)

    def _predictor_for(self, images: NDArray[Any]) -> Predictor:
        """Return the code that computes the features of images of this type and memory layout."""
        key = (images.dtype, channels_last(images))
        if key not in self._predictors:
            made = values_predictor(self._frozen, self._scaling, self._recipe, images, self._threads)
            self._predictors[key] = made
        return self._predictors[key]


def _equal(a: dict[str, NDArray[Any]], b: dict[str, NDArray[Any]]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)
