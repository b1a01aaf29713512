"""What an engine is: it runs training steps, evaluates and predicts, and its whole state can be read and set."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet, Split
    from layerline.engines.epoch import Epoch


@dataclass(frozen=True, eq=False)
class Running:
    """What the training steps since `reset_running` have gathered, each image before the update it takes part in."""

    loss: float
    """Sum over images of the objective (nats; the cross-entropy, if the recipe does not say otherwise), in float64."""
    tallies: NDArray[np.int64]
    """(3, K): images of each class, taken for it, rightly taken for it: see `metrics.tallies`."""

    @property
    def images(self) -> int:
        """Return the number of images seen."""
        return int(self.tallies[0].sum())


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the network says of each image of a split, in the split's order."""

    probabilities: NDArray[np.float32]
    """(M, K), each row sums to 1 within rounding."""
    losses: NDArray[np.float64]
    """(M,): cross-entropy (nats) of each image against its label."""


@dataclass(frozen=True, eq=False)
class State:
    """All that training has changed, in PyTorch's names and layouts, whatever the engine keeps inside."""

    weights: dict[str, NDArray[np.float32]]
    """As `network.to_torch().state_dict()`."""
    optimizer: dict[str, NDArray[np.float32]]
    """`momentum.<weight name>` for SGD with momentum and what Muon moves; `exp_avg.<…>` and `exp_avg_sq.<…>` for AdamW
    and what Muon leaves to it; `ema.<…>` for every trained weight where the recipe keeps averages."""

    @property
    def averaged(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights that are evaluated and kept: the averages where there are any, else the weights."""
        return {name: self.optimizer.get(f"ema.{name}", value) for name, value in self.weights.items()}

    def with_averaged(self, weights: Mapping[str, NDArray[np.float32]]) -> State:
        """Return the state of which `averaged` is `weights`: what evaluates with them."""
        kept = {f"ema.{name}": value for name, value in weights.items() if f"ema.{name}" in self.optimizer}
        return State(dict(weights), {**self.optimizer, **kept})


class Engine(abc.ABC):
    """A network built for a recipe. Final classes: `CompiledEngine`, `TorchEngine`.

    The constructor of each takes `(network, scaling, recipe, threads=None)` with a checked Network, a Scaling and a
    Recipe, and starts with the weights that `layerline.network.initial_weights(network, recipe)` gives.
    """

    name: ClassVar[str]

    def prepare(self, images: ImageSet) -> None:  # noqa: B027 - most engines have nothing to prepare
        """Do now what the first `train` on these images would do first, such as writing code; nothing by default."""

    def prepared(self, images: ImageSet) -> bool:
        """Return whether all that training on images that lie in memory like these takes has been taken."""
        del images
        return False

    def memory(self, images: ImageSet, batch_size: int) -> int:
        """Return how many bytes training on these images takes beside them; 0 where the engine cannot tell."""
        del images, batch_size
        return 0

    def facts(self) -> dict[str, Any]:
        """Return what the bits depend on beside network, data and recipe, for the run's record; plain values."""
        return {}

    @abc.abstractmethod
    def train(self, epoch: Epoch, first: int) -> int:
        """Run steps `first`, `first`+1, … of an epoch; return how many steps were done.

        Step k of the epoch takes images order[k·B : (k+1)·B] (B the batch size; the last batch may be smaller, its
        mean is over its own size) and the learning rate learning_rates[k]; there are ceil(len(order) / B) steps.
        Returns early when `stop` was called, or after the first step whose loss is not finite (then `diverged_step`
        holds its number in the epoch). Called from one thread; `progress` and `stop` may be called from another.
        """

    @abc.abstractmethod
    def progress(self) -> int:
        """Return the number of steps done by the running or last call of `train`."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ask the running `train` to return after the step it is in. Safe in a signal handler."""

    @property
    @abc.abstractmethod
    def diverged_step(self) -> int | None:
        """Return the step of the last `train` call whose loss was not finite, or None."""

    @abc.abstractmethod
    def running(self) -> Running:
        """Return what the steps since `reset_running` have gathered."""

    @abc.abstractmethod
    def set_running(self, running: Running) -> None:
        """Go on gathering from there, as if the steps before had been done by this engine."""

    def reset_running(self) -> None:
        """Start gathering anew (a new epoch)."""
        self.set_running(Running(0.0, np.zeros_like(self.running().tallies)))

    @abc.abstractmethod
    def evaluate(self, split: Split) -> Outputs:
        """Return probabilities and losses of every image of `split`, weights as they are now."""

    @abc.abstractmethod
    def state(self) -> State:
        """Return a copy of the weights and the optimizer's tensors."""

    @abc.abstractmethod
    def set_state(self, state: State) -> None:
        """Take over weights and optimizer tensors; names and shapes must be the network's."""
