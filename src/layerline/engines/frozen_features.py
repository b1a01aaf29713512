"""An engine for a network that begins with a frozen part, whose values are computed once for each image.

The network is divided at the last value of its frozen part. The values there are the features of an image: they never
change, so each image's are computed at its first use (feature_store.py). What follows is a network of its own, trained
by a compiled engine as if the features were images.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from layerline.data.augment.steps import MOVES
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines.arena import memory_of
from layerline.engines.compiled import CompiledEngine
from layerline.engines.feature_store import FeatureStore
from layerline.engines.interface import Engine, State
from layerline.engines.ranks import ALONE
from layerline.system.cores import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.engines.epoch import Epoch
    from layerline.engines.interface import Outputs, Running
    from layerline.engines.ranks import Ranks
    from layerline.network import Network
    from layerline.recipe import Recipe


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

        self._whole, self._recipe = network, recipe
        self._threads, self.ranks = threads or cores(), ranks
        frozen, head = network.until(network.frozen_end), network.after(network.frozen_end)
        self._store = FeatureStore(frozen, head.input_shape, scaling, recipe, self._threads)
        C = head.input_shape[0]
        plain = Scaling((1.0,) * C, (0.0,) * C)
        still = dataclasses.replace(recipe, augment=None)  # flips choose among the features
        self._head = CompiledEngine(head, plain, still, threads, ranks=ranks)
        weights = initial_weights(network, recipe.seed, recipe.init)
        self.set_state(State(weights, self._head.state().optimizer).with_averaged(weights))

    def train(self, epoch: Epoch, first: int) -> int:
        """Run steps as `Engine.train`; 0 if `stop` was called while features were computed."""
        rows = epoch.order
        if epoch.drawn is not None:
            rows = rows + len(epoch.images.labels) * epoch.drawn.moves[:, MOVES.index("flip")].astype(np.int64)
        features = self._store.features(epoch.images, rows, stoppable=True)
        if features is None:
            return 0
        return self._head.train(dataclasses.replace(epoch, images=features, order=rows, drawn=None), first)

    def prepare(self, images: ImageSet) -> None:
        """Generate the machine code for both parts."""
        self._store.predictor_for(images.images)
        self._head.prepare(self._store.of(images).set)

    def prepared(self, images: ImageSet) -> bool:
        """Return whether everything needed to train on these images is already allocated."""
        return self._store.holds(images) and self._head.prepared(self._store.of(images).set)

    def memory(self, images: ImageSet, batch_size: int) -> int:
        """Return the bytes that training on these images needs, their features included."""
        schedule, features = self._store.predictor_for(images.images).compiled.schedule, self._store.of(images)
        stored = 4 * math.prod(features.values.shape)
        return stored + memory_of(schedule, self._threads) + self._head.memory(features.set, batch_size)

    def facts(self) -> dict[str, Any]:
        """Return what the results depend on, as the compiled engine does."""
        return self._head.facts()

    def progress(self) -> int:
        """Return the number of steps done by the current or last call of `train`."""
        return self._head.progress()

    def stop(self) -> None:
        """Ask a running `train` to return."""
        self._store.stop()
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
        features = self._store.features(split.source, split.indices)
        assert features is not None  # noqa: S101 - it was not stoppable
        return self._head.evaluate(Split(features, split.indices))

    def probabilities(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities of images (N, C, H, W), whose features are not stored."""
        n = len(images)
        source = ImageSet(images, np.zeros(n, np.int32))
        return self._head.probabilities(self._store.computed(source, np.arange(n, dtype=np.int64)))

    def state(self) -> State:
        """Return a copy of the weights, frozen ones included, and of the optimizer's tensors."""
        head = self._head.state()
        weights = {**{name: array.copy() for name, array in self._store.weights.items()}, **head.weights}
        return State({name: weights[name] for name in self._whole.weights}, head.optimizer)

    def set_state(self, state: State) -> None:
        """Set weights and optimizer tensors; with other frozen weights, the features are computed anew."""
        frozen = {name: state.weights[name] for name in self._store.network.weights}
        self._store.set_weights(frozen)
        trained = {name: array for name, array in state.weights.items() if name not in frozen}
        self._head.set_state(State(trained, state.optimizer))
