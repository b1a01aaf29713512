"""Where the learning rates and the optimizer state of a fit come from, and where they go after each epoch."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, final

from layerline.errors import RecipeError
from layerline.training.pytorch import torch_optimizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn
    from torch.optim import Optimizer

    from layerline.engines.interface import State
    from layerline.layers import Shape
    from layerline.recipe import Recipe
    from layerline.training.pytorch.torch_schedule import TorchSchedule

Tensors = dict[str, "NDArray[np.float32]"]


class Optimization(abc.ABC):
    """The optimizer of a fit. Final classes: `TorchOptimization`, `RecipeOptimization`."""

    @abc.abstractmethod
    def start(self) -> tuple[Tensors, int]:
        """Return the optimizer's tensors by name in State.optimizer, without those that are 0, and its steps so far."""

    @abc.abstractmethod
    def rates(self, done: int) -> NDArray[np.float64]:
        """Return the learning rate of every step of the epoch after `done` epochs of this fit, float64 (steps,)."""

    @abc.abstractmethod
    def epoch_done(self, state: State, steps: int) -> None:
        """Take over the state after an epoch; steps: the optimizer's steps so far."""


@final
class TorchOptimization(Optimization):
    """The user's optimizer and scheduler, which are after every epoch as if PyTorch had trained it."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: TorchSchedule,
        parameters: Mapping[str, nn.Parameter],
        named: Mapping[str, nn.Parameter],
        shapes: Mapping[str, Shape],
    ) -> None:
        """Store them. parameters: of the module by our names, with our shapes; named: by the module's."""
        self._optimizer, self._schedule = optimizer, schedule
        self._parameters, self._named, self._shapes = dict(parameters), dict(named), shapes
        self._values = torch_optimizer.recipe_values(optimizer, named)

    def start(self) -> tuple[Tensors, int]:
        """Return the state of the user's optimizer."""
        return torch_optimizer.state_of(self._optimizer, self._parameters, self._shapes)

    def rates(self, done: int) -> NDArray[np.float64]:
        """Return the learning rates that optimizer and scheduler have by now for the next epoch."""
        del done
        if torch_optimizer.recipe_values(self._optimizer, self._named) != self._values:
            raise RecipeError(
                "optimizer: its settings were changed during the fit",
                "only the learning rate may change between epochs; for other changes, call fit_torch again",
            )
        return self._schedule.rates()

    def epoch_done(self, state: State, steps: int) -> None:
        """Fill the user's optimizer, and step the scheduler."""
        torch_optimizer.put_state(self._optimizer, self._parameters, state.optimizer, steps)
        self._schedule.epoch_done()


@final
class RecipeOptimization(Optimization):
    """An optimizer by name, with the schedule of a recipe over the epochs of this fit."""

    def __init__(self, recipe: Recipe, images: int, before: tuple[Tensors, int]) -> None:
        """Store the recipe. images: trained on per epoch; before: the tensors and steps of the previous fit."""
        self._recipe, self._images, self._before = recipe, images, before

    def start(self) -> tuple[Tensors, int]:
        """Return the state of the previous fit."""
        return self._before

    def rates(self, done: int) -> NDArray[np.float64]:
        """Return the learning rates of the recipe."""
        return self._recipe.learning_rates(self._images, done + 1)

    def epoch_done(self, state: State, steps: int) -> None:
        """Store the state for the next fit."""
        self._before = (state.optimizer, steps)
