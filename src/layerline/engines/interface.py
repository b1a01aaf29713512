"""The interface of an engine: it runs training steps, evaluates and predicts; its whole state can be read and set."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from layerline.data.dataset import ImageSet, Split
from layerline.engines.ranks import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from layerline.engines.desk import Desk
    from layerline.engines.epoch import Epoch
    from layerline.engines.ranks import Ranks


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Running:
    """Running metrics of the training steps since `reset_running`, each image before the update that it is part of."""

    loss: float
    """Sum over images of the objective (nats; by default the cross-entropy), in float64."""
    tallies: NDArray[np.int64]
    """(3, K): images of each class, predicted as it, correctly predicted as it: see `metrics.tallies`."""

    @property
    def images(self) -> int:
        """Return the number of images seen."""
        return int(self.tallies[0].sum())


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs of the network for each image of a split, in the split's order."""

    probabilities: NDArray[np.float32]
    """(M, K), each row sums to 1 within rounding."""
    losses: NDArray[np.float64]
    """(M,): cross-entropy (nats) of each image against its label."""

    @classmethod
    def empty(cls, images: int, classes: int) -> Outputs:
        """Return outputs to be written."""
        return cls(np.empty((images, classes), np.float32), np.empty(images, np.float64))


@dataclass(frozen=True, eq=False)
class State:
    """Everything that training changes, with PyTorch's names and layouts, whatever the engine uses internally."""

    weights: dict[str, NDArray[np.float32]]
    """As `network.to_torch().state_dict()`."""
    optimizer: dict[str, NDArray[np.float32]]
    """`momentum.<weight name>` for SGD with momentum and for weights updated by Muon; `exp_avg.<…>` and
    `exp_avg_sq.<…>` for AdamW and for weights that Muon leaves to it; `ema.<…>` for every trained weight if the recipe
    keeps averages."""

    @property
    def averaged(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights that are evaluated and saved: the averages if there are any, else the weights."""
        return {name: self.optimizer.get(f"ema.{name}", value) for name, value in self.weights.items()}

    def with_averaged(self, weights: Mapping[str, NDArray[np.float32]]) -> State:
        """Return the state with `weights` as its `averaged`, to evaluate with them."""
        averages = {f"ema.{name}": value for name, value in weights.items() if f"ema.{name}" in self.optimizer}
        return State(dict(weights), {**self.optimizer, **averages})


class Engine(abc.ABC):
    """A network built for a recipe. Final classes: `CompiledEngine`, `TorchEngine`.

    The constructors take `(network, scaling, recipe, threads=None)` with a checked Network, a Scaling and a Recipe, and
    start with the weights of `layerline.network.initial_weights(network, recipe)`.
    """

    name: ClassVar[str]
    ranks: Ranks = ALONE
    """The processes that train together; with several, `train` and `evaluate` are collective, and `train` takes this
    rank's part of each batch."""

    def prepare(self, images: ImageSet) -> None:  # noqa: B027 - most engines have nothing to prepare
        """Do the preparations of the first `train` on these images now, such as compiling; by default nothing."""

    def prepared(self, images: ImageSet) -> bool:
        """Return whether everything needed to train on images with this memory layout is already allocated."""
        del images
        return False

    def memory(self, images: ImageSet, batch_size: int) -> int:
        """Return the bytes that training on these images needs, without the images; 0 if the engine does not know."""
        del images, batch_size
        return 0

    def facts(self) -> dict[str, Any]:
        """Return what the results depend on besides network, data and recipe, as plain values for the run's record."""
        return {}

    @abc.abstractmethod
    def train(self, epoch: Epoch, first: int) -> int:
        """Run steps `first`, `first`+1, … of an epoch; return the number of steps done.

        Step k of the epoch takes images order[k·B : (k+1)·B] (B the batch size; the last batch may be smaller, its
        mean is over its own size) and the learning rate learning_rates[k]; there are ceil(len(order) / B) steps.
        Returns early if `stop` was called, or after the first step whose loss is not finite (then `diverged_step` is
        its number in the epoch). Called from one thread; `progress` and `stop` may be called from another.
        """

    def counted_together(self, train: Callable[[], T]) -> T:
        """Return train(), which counts this rank's images; then the tallies are those of all ranks, as the loss is."""
        before = self.running()
        self.set_running(Running(before.loss, np.zeros_like(before.tallies)))
        result = train()
        after = self.running()
        self.ranks.add_up([after.tallies])
        self.set_running(Running(after.loss, before.tallies + after.tallies))
        return result

    @abc.abstractmethod
    def progress(self) -> int:
        """Return the number of steps done by the current or last call of `train`."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ask a running `train` to return after its current step. Safe in a signal handler."""

    @property
    @abc.abstractmethod
    def diverged_step(self) -> int | None:
        """Return the step of the last `train` call at which the loss was not finite, or None."""

    @abc.abstractmethod
    def running(self) -> Running:
        """Return what the steps since `reset_running` have accumulated."""

    @abc.abstractmethod
    def set_running(self, running: Running) -> None:
        """Continue accumulating from there, as if this engine had done the earlier steps."""

    def reset_running(self) -> None:
        """Reset the running metrics to zero, for a new epoch."""
        self.set_running(Running(0.0, np.zeros_like(self.running().tallies)))

    @abc.abstractmethod
    def evaluate(self, split: Split) -> Outputs:
        """Return probabilities and losses of every image of `split` with the current weights."""

    def probabilities(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities of images (N, C, H, W) as in an ImageSet, float32 (N, K), with the current weights.

        They are those that `evaluate` returns, bit for bit.
        """
        n = len(images)
        split = Split(ImageSet(images, np.zeros(n, np.int32)), np.arange(n, dtype=np.int64))
        return self.evaluate(split).probabilities

    def desk(self, images: NDArray[Any]) -> Desk | None:
        """Return memory to predict a few images of this type and size repeatedly; None if that would gain nothing."""
        del images
        return None

    @abc.abstractmethod
    def state(self) -> State:
        """Return a copy of the weights and the optimizer's tensors."""

    @abc.abstractmethod
    def set_state(self, state: State) -> None:
        """Set weights and optimizer tensors; names and shapes must be the network's."""
