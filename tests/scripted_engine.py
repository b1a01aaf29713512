"""An engine that says what a script tells it to: for what the loop does with losses, stops and divergence."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from layerline.engines.interface import Engine, Outputs, Running, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from layerline.data.dataset import Split
    from layerline.engines.epoch import Epoch

INPUTS = 36
"""Of the FC layer: values of an image of small_data."""


class ScriptedEngine(Engine):
    """Every weight of its network, `Flat / FC classes`, is the number of epochs it has run; its losses come from
    `losses`, one an evaluation."""

    name: ClassVar[str] = "scripted"

    def __init__(self, losses: list[float], batch_size: int, K: int = 3) -> None:
        self.losses, self.batch_size, self.K = list(losses), batch_size, K
        self.orders: list[NDArray[np.int64]] = []
        self.rates: list[NDArray[np.float64]] = []
        self.evaluated: list[float] = []
        """The weight at each evaluation."""
        self.epoch = 0.0
        self.diverges_at: tuple[int, int] | None = None
        """(epoch from 1, step from 0)."""
        self.ruins_in: int | None = None
        self.during: Callable[[int, int], None] = lambda _epoch, _step: None
        """Called in each step with (epoch from 1, step from 0)."""
        self._stopping = False
        self._diverged: int | None = None
        self._done = 0

    def train(self, epoch: Epoch, first: int) -> int:
        self.orders.append(epoch.order)
        self.rates.append(epoch.learning_rates)
        self.epoch += 1
        steps = -(-len(epoch.order) // self.batch_size)
        for step in range(first, steps):
            self.during(int(self.epoch), step)
            self._done = step + 1
            if self.diverges_at == (self.epoch, step):
                self._diverged = step
                return self._done
            if self._stopping:
                self._stopping = False
                return self._done
        if self.ruins_in == self.epoch:
            self.epoch = float("nan")
        return steps

    def progress(self) -> int:
        return self._done

    def stop(self) -> None:
        self._stopping = True

    @property
    def diverged_step(self) -> int | None:
        return self._diverged

    def running(self) -> Running:
        images = len(self.orders[-1])
        tallies = np.zeros((3, self.K), np.int64)
        tallies[:, 0], tallies[0, 1] = (images - 10, images, images - 10), 10
        return Running(2.0 * images, tallies)

    def set_running(self, running: Running) -> None:
        pass

    def reset_running(self) -> None:
        pass

    def evaluate(self, split: Split) -> Outputs:
        self.evaluated.append(self.epoch)
        probabilities = np.full((len(split), self.K), 1 / self.K, np.float32)
        return Outputs(probabilities, np.full(len(split), self.losses.pop(0)))

    def state(self) -> State:
        shapes = {"1.weight": (self.K, INPUTS), "1.bias": (self.K,)}
        return State({name: np.full(shape, self.epoch, np.float32) for name, shape in shapes.items()}, {})

    def set_state(self, state: State) -> None:
        self.epoch = float(state.weights["1.bias"][0])
